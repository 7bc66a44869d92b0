"""One request and its answer, watched from the outside while they pass."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from tiltmeter.capture.context import Note, current_note
from tiltmeter.capture.record import LoggedFields, RequestRecord, encode_record
from tiltmeter.capture.report import report
from tiltmeter.capture.writer import SpoolRefused, SpoolWriter
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.request import UNMATCHED, method_name, plain_id, trace_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from tiltmeter.capture.options import CaptureOptions

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_BLOCK_STEP_SECONDS = 0.02
_ERROR_FROM = 400
_REQUEST_IDS = frozenset({b"x-request-id", b"client_request_id"})
_ANSWER_HEADERS = frozenset({b"x-request-id", b"content-encoding"})
_PIECES = frozenset({"http.response.body", "http.response.zerocopysend", "http.response.pathsend"})
_UNHANDLED = 500
_CANCELLED = 499
"""The client went away, or the server ended the request, before there was an answer (a number nginx made common)."""

_UNAVAILABLE = b'{"detail":"the prediction could not be recorded"}'

_new_ids: list[str] = []
_IDS_AT_ONCE = 64
os.register_at_fork(after_in_child=_new_ids.clear)  # a child must not hand out its parent's ids


class Exchange(Note):
    """Stands between the server and the application for one request.

    Every microsecond here is paid by every request of the customer: what one request in a thousand needs stands in
    methods of its own, and `send` is no coroutine of its own, but hands out that of the server.

    Args:
        options: how capture behaves.
        writer: where the record goes.
        scope: of the request.
        receive: of the server.
        send: of the server.
    """

    __slots__ = (
        "_answer",
        "_answer_bytes",
        "_body",
        "_body_bytes",
        "_client_id",
        "_encoding",
        "_held",
        "_options",
        "_outer_root",
        "_patient",
        "_receive",
        "_request_id",
        "_scope",
        "_send",
        "_started_ns",
        "_status",
        "_time_us",
        "_traceparent",
        "_user",
        "_writer",
        "done",
    )

    def __init__(
        self, options: CaptureOptions, writer: SpoolWriter, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._started_ns = time.perf_counter_ns()
        self._time_us = time.time_ns() // 1000
        self.counters = writer.counters
        self.open = True
        self.said = None
        self._options = options
        self._writer = writer
        self._scope = scope
        self._receive = receive
        self._send = send
        self._outer_root = scope.get("root_path", "")
        self._body: bytes | list[bytes] = b""
        self._answer: bytes | list[bytes] = b""
        self._body_bytes = self._answer_bytes = self._status = 0
        self._encoding = ""
        self._held: Message | None = None
        self._patient = options.on_full != "drop" or writer.durability == "disk"
        self._traceparent = self._user = b""
        self._client_id: str | None = None
        self.done = False
        user = options.requester_header
        for name, value in scope["headers"]:
            if name in _REQUEST_IDS:
                self._client_id = self._client_id or plain_id(value)
            elif name == b"traceparent":
                self._traceparent = value
            elif name == user:
                self._user = value
        self._request_id = self._client_id or _new_id()
        current_note.set(self)

    async def receive(self) -> Message:
        """The server's next message; bodies are kept up to the cap."""
        message = await self._receive()
        body = message.get("body")
        if body:
            self._body = _joined(self._body, body, self._options.max_body - self._body_bytes)
            self._body_bytes += len(body)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the application's message on; the record is kept before the last byte of the answer."""
        if self.done:
            return self._send(message)
        kind = message["type"]
        if kind in _PIECES:
            body = message.get("body")
            if body:
                self._answer = _joined(self._answer, body, self._options.max_body - self._answer_bytes)
                self._answer_bytes += len(body)
            if self._patient:
                return self._pass_piece_patiently(message)
            if not message.get("more_body", False):
                self.done = True
                self._keep(self._status, _handled_error() if self._status >= _ERROR_FROM else None)
        elif kind == "http.response.start":
            try:
                self._begin_answer(message)
            except Exception as error:  # noqa: BLE001 - capture boundary: the answer goes out as it came
                self._trouble("answer_unreadable", error)
            if self._options.on_full == "fail_request":
                self._held = message  # until its record is kept, or its first piece shows that it is a stream
                return _nothing()
        return self._send(message)

    async def _pass_piece_patiently(self, message: Message) -> None:
        if not message.get("more_body", False):
            self.done = True
            error_type = _handled_error() if self._status >= _ERROR_FROM else None
            if not await self._keep_patiently(self._status, error_type):
                await self._refuse()
                return
        if self._held is not None:
            held, self._held = self._held, None
            await self._send(held)
        await self._send(message)

    async def fail(self, error: BaseException) -> None:
        """Record a request whose application raised before its answer was complete."""
        if self.done:
            return
        self.done = True
        if not isinstance(error, Exception):  # cancelled: nobody waits for the answer, and we must not wait either
            self._keep(self._status or _CANCELLED, type(error).__name__)
        elif self._patient:
            await self._keep_patiently(_UNHANDLED, type(error).__name__)
        else:
            self._keep(_UNHANDLED, type(error).__name__)

    def end(self) -> None:
        """Record a request that the application left without a complete answer: the client went away."""
        if not self.done:
            self.done = True
            self._keep(self._status or _CANCELLED, "IncompleteResponse")

    def _begin_answer(self, message: Message) -> None:
        self._status = message["status"]
        headers = message.get("headers") or ()
        named = False
        for name, value in headers:
            if name in _ANSWER_HEADERS:
                if name == b"x-request-id":
                    self._request_id = plain_id(value) or self._request_id
                    named = True
                else:
                    self._encoding = value.decode("latin-1").lower()
        if not named:
            message["headers"] = [*headers, (b"x-request-id", self._request_id.encode())]

    def _keep(self, status: int, error_type: str | None) -> None:
        payload = self._payload(status, error_type)
        if payload is None:
            return
        try:
            self._writer.put(payload)
        except SpoolRefused as refusal:
            self._count(refusal)
        except Exception as error:  # noqa: BLE001 - capture boundary: the answer goes out whatever goes wrong here
            self._trouble("record_failed", error)

    async def _keep_patiently(self, status: int, error_type: str | None) -> bool:
        """As `_keep`, waiting for room and for the disk as configured; False when the request must be refused."""
        payload = self._payload(status, error_type)
        if payload is None:
            return True
        deadline = time.monotonic() + self._options.block_seconds
        try:
            position = await self._put_when_there_is_room(payload, deadline)
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await self._writer.durable(position)
        except SpoolRefused as refusal:
            self._count(refusal)
        except (StoreError, TimeoutError):
            report("record_unsynced", "the disk did not take a record in time")
        except Exception as error:  # noqa: BLE001 - capture boundary: a bug of ours refuses no request
            self._trouble("record_failed", error)
            return True
        else:
            return True
        return self._options.on_full != "fail_request"

    async def _put_when_there_is_room(self, payload: bytes, deadline: float) -> int:
        while True:
            try:
                return self._writer.put(payload)
            except SpoolRefused:
                if self._options.on_full != "block" or time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_BLOCK_STEP_SECONDS)

    def _count(self, refusal: SpoolRefused) -> None:
        if refusal.counter != "unsynced_records":  # the writer counted those itself
            self.counters.add(refusal.counter)
        report("records_dropped", refusal)

    async def _refuse(self) -> None:
        self.counters.add("refused_requests")
        self.open = False
        if self._held is None:
            # The head of a stream is out: cutting the connection is the only way left to say that it failed.
            raise StoreError("the prediction could not be recorded", at=str(self._writer.spool), retryable=True)
        self._held = None
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_UNAVAILABLE)).encode())]
        headers.append((b"x-request-id", self._request_id.encode()))
        await self._send({"type": "http.response.start", "status": 503, "headers": headers})
        await self._send({"type": "http.response.body", "body": _UNAVAILABLE})

    def _payload(self, status: int, error_type: str | None) -> bytes | None:
        """The encoded record; None when this route is not recorded, or when making it failed (counted, reported)."""
        duration_us = (time.perf_counter_ns() - self._started_ns) // 1000
        self.open = False
        try:
            options, scope = self._options, self._scope
            route = route_template(scope, self._outer_root)
            model = options.model_of(route)
            if not model:
                return None
            trace_id, span_id = trace_of(self._traceparent) if self._traceparent else (None, None)
            request, response, said = _whole(self._body), _whole(self._answer), self.said
            if options.reduces:
                request, response, said = self._reduced(status, request, response, said)
            elif self._body_bytes > len(request) or self._answer_bytes > len(response):
                self.counters.add("cut_bodies")
            return encode_record(
                RequestRecord(
                    self._time_us,
                    model,
                    self._version(model),
                    method_name(scope["method"]),
                    route,
                    status,
                    duration_us,
                    self._request_id,
                    self._client_id,
                    trace_id,
                    span_id,
                    options.privacy.text("requester", plain_id(self._user)) if self._user else None,
                    error_type,
                    options.sampling,
                    request,
                    response,
                    self._body_bytes,
                    self._answer_bytes,
                    self._encoding,
                    options.reduces,
                    said,
                )
            )
        except Exception as error:  # noqa: BLE001 - capture boundary: the answer goes out whatever goes wrong here
            self._trouble("record_failed", error)
            return None
        finally:
            self._body = self._answer = b""

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
        self, status: int, request: bytes, response: bytes, said: list[LoggedFields] | None
    ) -> tuple[bytes, bytes, list[LoggedFields] | None]:
        privacy = self._options.privacy
        request, response, unreadable = privacy.exchange(
            request,
            response,
            status=status,
            is_whole=self._body_bytes == len(request),
            is_readable=self._answer_bytes == len(response) and not self._encoding,
        )
        if unreadable:
            self.counters.add("unreadable_bodies", unreadable)
        return request, response, [privacy.logged(one) for one in said] if said else None


def _joined(before: bytes | list[bytes], piece: bytes, room: int) -> bytes | list[bytes]:
    """A body so far and its next piece, of which `room` bytes are kept; a body of one piece stays as it came."""
    if room <= 0:
        return before
    if len(piece) > room or type(piece) is not bytes:
        piece = bytes(piece[:room])
    if not before:
        return piece
    if isinstance(before, list):
        before.append(piece)
        return before
    return [before, piece]


def _whole(body: bytes | list[bytes]) -> bytes:
    return b"".join(body) if isinstance(body, list) else body


def _new_id() -> str:
    try:
        return _new_ids.pop()
    except IndexError:
        many = os.urandom(16 * _IDS_AT_ONCE).hex()
        _new_ids.extend(many[start : start + 32] for start in range(32, len(many), 32))
        return many[:32]


async def _nothing() -> None:
    """The message is held back."""


def _handled_error() -> str | None:
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
    mounted: str = scope.get("root_path", "")[len(outer_root) :]
    if mounted:
        by_value = {str(value): name for name, value in (scope.get("path_params") or {}).items()}
        parts = [f"{{{by_value[part]}}}" if part in by_value else part for part in mounted.split("/")]
        path = "/".join(parts) + path
    return path or UNMATCHED
