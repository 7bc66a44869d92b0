"""One request and its answer, watched from the outside while they pass."""

from __future__ import annotations

import os
import sys
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tiltmeter.capture.context import current_note
from tiltmeter.capture.options import REQUEST_IDS
from tiltmeter.capture.record import LoggedFields, RequestRecord, encode_record
from tiltmeter.capture.report import report
from tiltmeter.capture.swift import COMPILED, Passage, connect
from tiltmeter.capture.writer import SpoolRefused, SpoolWriter
from tiltmeter.domain.request import METHODS, UNMATCHED, method_name, plain_id, trace_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from tiltmeter.capture.counters import Counters
    from tiltmeter.capture.options import CaptureOptions

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

ERROR_FROM = 400
_ANSWER_HEADERS = frozenset({b"x-request-id", b"content-encoding"})
PIECES = frozenset({"http.response.body", "http.response.zerocopysend", "http.response.pathsend"})
UNHANDLED = 500
_CANCELLED = 499
"""The client went away, or the server ended the request, before there was an answer (a number nginx made common)."""

_new_ids: list[str] = []
_IDS_AT_ONCE = 64
os.register_at_fork(after_in_child=_new_ids.clear)  # a child must not hand out its parent's ids


class Exchange:
    """Stands between the server and the application for one request.

    Every microsecond here is paid by every request of the customer, and in a service that does other work in between
    each instruction costs several times what a loop shows: what one request in a thousand needs stands in methods of
    its own, what most requests never set is read from the class, and `send` is no coroutine of its own, but hands out
    that of the server.

    Args:
        options: how capture behaves.
        writer: where the record goes.
        scope: of the request.
        receive: of the server.
        send: of the server.
    """

    _long_body: _Pieces | None = None
    _long_answer: _Pieces | None = None
    _status: int = 0
    open: bool = True  # until the record is made
    said: list[LoggedFields] | None
    _encoding: str = ""
    _client_id: str | None = None
    _traceparent: bytes = b""
    _user: bytes = b""

    def __init__(
        self, options: CaptureOptions, writer: SpoolWriter, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._started_ns = perf_counter_ns()
        self._time_us = time_ns() // 1000
        self._options = options
        self._writer = writer
        self._scope = scope
        self._receive = receive
        self._send = send
        self._outer_root = scope.get("root_path", "")
        self._body = self._answer = b""
        self.said = None
        self.done = False
        self._is_plain = True  # whole bodies, and nothing known but what every request has
        headers = scope["headers"]
        self._request_id = new_id() if options.looked_for.isdisjoint(dict(headers)) else self._sent_id(headers)
        current_note.set(self)

    @property
    def counters(self) -> Counters:
        """Of the writer."""
        return self._writer.counters

    def _sent_id(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The id that the client or a proxy gave the request; keeps what else they said."""
        self._is_plain = False
        user = self._options.requester_header
        for name, value in headers:
            if name in REQUEST_IDS:
                self._client_id = self._client_id or plain_id(value)
            elif name == b"traceparent":
                self._traceparent = value
            elif name == user:
                self._user = value
        return self._client_id or new_id()

    async def receive(self) -> Message:
        """The server's next message; bodies are kept up to the cap."""
        message = await self._receive()
        self._see_body(message)
        return message

    def _see_body(self, message: Message) -> None:
        body = message.get("body")
        if body:
            if type(body) is bytes and not self._body and len(body) <= self._options.max_body:
                self._body = body  # most bodies come whole
            else:
                self._long_body = self._long_body or _Pieces(self._body)
                self._body = self._long_body.add(body, self._options.max_body)
                self._is_plain = False

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the application's message on; the record is kept before the last byte of the answer."""
        if not self.done:
            kind = message["type"]
            if kind == "http.response.start":
                self._begin_answer(message)
            elif kind in PIECES:
                self._see_piece(message)
                if not message.get("more_body"):
                    self.done = True
                    self._keep_answer()
        return self._send(message)

    def _see_piece(self, message: Message) -> None:
        body = message.get("body")
        if body:
            if type(body) is bytes and not self._answer and len(body) <= self._options.max_body:
                self._answer = body
            else:
                self._long_answer = self._long_answer or _Pieces(self._answer)
                self._answer = self._long_answer.add(body, self._options.max_body)
                self._is_plain = False

    async def fail(self, error: BaseException) -> None:
        """Record a request whose application raised before its answer was complete."""
        if self.done:
            return
        self.done = True
        if isinstance(error, Exception):
            await self._keep_failed(type(error).__name__)
        else:  # cancelled: nobody waits for the answer, and we must not wait either
            self._keep(self._status or _CANCELLED, type(error).__name__)

    async def _keep_failed(self, error_type: str) -> None:
        self._keep(UNHANDLED, error_type)

    def end(self) -> None:
        """Record a request that the application left without a complete answer: the client went away."""
        if not self.done:
            self.done = True
            self._keep(self._status or _CANCELLED, "IncompleteResponse")

    def _begin_answer(self, message: Message) -> None:
        try:
            self._status = message["status"]
            headers = message.get("headers") or ()
            if _ANSWER_HEADERS.isdisjoint(dict(headers)) or not self._read_answer(headers):
                message["headers"] = [*headers, (b"x-request-id", self._request_id.encode())]
        except Exception as error:  # noqa: BLE001 - capture boundary: the answer goes out as it came
            self._trouble("answer_unreadable", error)

    def _read_answer(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Take what the answer says of itself; whether it names its id."""
        named = False
        for name, value in headers:
            if name == b"x-request-id":
                self._request_id = plain_id(value) or self._request_id
                named = True
            elif name == b"content-encoding":
                self._encoding = value.decode("latin-1").lower()
                self._is_plain = False
        return named

    def _keep_answer(self) -> None:
        self._keep(self._status, handled_error() if self._status >= ERROR_FROM else None)

    def _keep(self, status: int, error_type: str | None) -> None:
        payload = self._payload(status, error_type)
        if payload is None:
            return
        try:
            self._writer.put(payload)
        except Exception as error:  # noqa: BLE001 - capture boundary: the answer goes out whatever goes wrong here
            self._went_wrong(error)

    def _went_wrong(self, error: Exception) -> None:
        if isinstance(error, SpoolRefused):
            self._count(error)
        else:
            self._trouble("record_failed", error)

    def _count(self, refusal: SpoolRefused) -> None:
        if refusal.counter != "unsynced_records":  # the writer counted those itself
            self.counters.add(refusal.counter)
        report("records_dropped", refusal)

    def _payload(self, status: int, error_type: str | None) -> bytes | None:
        """The encoded record; None when this route is not recorded, or when making it failed (counted, reported)."""
        duration_us = (perf_counter_ns() - self._started_ns) // 1000
        self.open = False
        try:
            options, scope = self._options, self._scope
            route = route_template(scope, self._outer_root)
            model = options.model_of(route) if options.models else options.model
            if not model:
                return None
            request, response = self._body, self._answer
            record = RequestRecord(
                self._time_us,
                model,
                self._version(model) if options.fixed_version is None else options.fixed_version,
                method_name(scope["method"]),
                route,
                status,
                duration_us,
                self._request_id,
                None,
                None,
                None,
                None,
                error_type,
                options.sampling,
                request,
                response,
                len(request),
                len(response),
            )
            if options.reduces or not self._is_plain or self.said:
                record = self._completed(record)
            return encode_record(record)
        except Exception as error:  # noqa: BLE001 - capture boundary: the answer goes out whatever goes wrong here
            self._trouble("record_failed", error)
            return None
        finally:
            self._body = self._answer = b""

    def _completed(self, record: RequestRecord) -> RequestRecord:
        """The record of a request of which more is known, or less may be stored, than of most."""
        options, said = self._options, self.said
        request, response = record.request, record.response
        request_bytes, response_bytes = record.request_bytes, record.response_bytes
        if self._long_body is not None:
            request, request_bytes = self._long_body.whole()
        if self._long_answer is not None:
            response, response_bytes = self._long_answer.whole()
        self._long_body = self._long_answer = None
        if options.reduces:
            sizes = (request_bytes, response_bytes)
            request, response, said = self._reduced(record.status, request, response, said, sizes)
        elif request_bytes > len(request) or response_bytes > len(response):
            self.counters.add("cut_bodies")
        trace_id, span_id = trace_of(self._traceparent) if self._traceparent else (None, None)
        return replace(
            record,
            client_request_id=self._client_id,
            trace_id=trace_id,
            span_id=span_id,
            requester=options.privacy.text("requester", plain_id(self._user)) if self._user else None,
            request=request,
            response=response,
            request_bytes=request_bytes,
            response_bytes=response_bytes,
            response_encoding=self._encoding,
            reduced=options.reduces,
            logged=said,
        )

    def _version(self, model: str) -> str:
        try:
            return self._options.version_of(model)
        except Exception as error:  # noqa: BLE001 - capture boundary: a record without its version beats none
            self._trouble("model_version_failed", error)
            return ""

    def _trouble(self, event: str, error: Exception) -> None:
        self.counters.add("capture_errors")
        report(event, "a request was not recorded as it should be", error=error)

    def _reduced(
        self,
        status: int,
        request: bytes,
        response: bytes,
        said: list[LoggedFields] | None,
        sizes: tuple[int, int],
    ) -> tuple[bytes, bytes, list[LoggedFields] | None]:
        privacy = self._options.privacy
        request, response, unreadable = privacy.exchange(
            request,
            response,
            status=status,
            is_whole=sizes[0] == len(request),
            is_readable=sizes[1] == len(response) and not self._encoding,
        )
        if unreadable:
            self.counters.add("unreadable_bodies", unreadable)
        return request, response, [privacy.logged(one) for one in said] if said else None


class SwiftExchange(Passage, Exchange):
    """An exchange whose plain course is compiled; every other course is that of `Exchange`, on the same attributes."""

    _send_slowly = Exchange.send

    async def _receive_slowly(self, coming: Awaitable[Message]) -> Message:
        message = await coming
        self._see_body(message)
        return message

    def _reduced_bodies(self) -> tuple[bytes, bytes]:
        """Both bodies, which came whole, as they may be stored."""
        request, response = self._body, self._answer
        sizes = (len(request), len(response))
        return self._reduced(self._status, request, response, None, sizes)[:2]


class _Pieces:
    """A body that came in pieces, or beyond the cap."""

    __slots__ = ("_kept", "_size")

    def __init__(self, first: bytes) -> None:
        self._kept = [first]
        self._size = len(first)

    def add(self, piece: bytes, most: int) -> bytes:
        """Keep a piece as far as `most` bytes of all allow; what was kept last."""
        room = most - self._size
        if room > 0:
            self._kept.append(bytes(piece[:room]))
        self._size += len(piece)
        return self._kept[-1]

    def whole(self) -> tuple[bytes, int]:
        """What was kept, and the size of all that came."""
        return b"".join(self._kept), self._size


def new_id() -> str:
    """Thirty-two hexadecimal digits nobody can guess."""
    try:
        return _new_ids.pop()
    except IndexError:
        many = os.urandom(16 * _IDS_AT_ONCE).hex()
        _new_ids.extend([many[start : start + 32] for start in range(32, len(many), 32)])
        return many[:32]


def handled_error() -> str | None:
    """Class of the exception whose handler is sending this very answer."""
    error = sys.exc_info()[1]
    return None if error is None else type(error).__name__


def route_template(scope: Scope, outer_root: str) -> str:
    """Path of the matched route with its parameters by name, "(unmatched)" when none matched."""
    route = scope.get("route")
    if route is None:
        return UNMATCHED
    path: str = getattr(route, "path", "") if hasattr(route, "methods") else ""
    extras = scope.get("fastapi")
    if extras:
        # Routes of an included router know their own part of the path only.
        effective = extras.get("effective_route_context")
        if effective is not None and getattr(effective, "original_route", None) is route:
            path = effective.path_format
    inner_root = scope.get("root_path", "")
    if inner_root != outer_root:
        mounted: str = inner_root[len(outer_root) :]
        by_value = {str(value): name for name, value in (scope.get("path_params") or {}).items()}
        parts = [f"{{{by_value[part]}}}" if part in by_value else part for part in mounted.split("/")]
        path = "/".join(parts) + path
    return path or UNMATCHED


connect(current_note, _new_ids, new_id, METHODS)
SWIFTEST = SwiftExchange if COMPILED else Exchange
"""What watches a request whose answer never waits."""
