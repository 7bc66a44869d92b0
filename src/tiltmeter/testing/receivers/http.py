"""An HTTP server on a port chosen by the system that answers as told, and misbehaves as told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """How the next matching request is mistreated.

    Args:
        reply: answer this instead of the real answer.
        accept: handle the request before misbehaving (it arrived, only the sender does not hear so).
        drop: close the connection without an answer.
        half: send half of the answer, then close the connection.
        hang_s: wait so long before answering.
        path: only requests whose path contains this.
        times: how many requests; None means all of them.
    """

    reply: Reply | None = None
    accept: bool = False
    drop: bool = False
    half: bool = False
    hang_s: float = 0.0
    path: str = ""
    times: int | None = 1


class HttpReceiver:
    """A server in a thread of its own; use it in a `with` statement.

    Args:
        answer: from request to reply, called by one thread a connection.
        port: 0 lets the system choose.
    """

    def __init__(self, answer: Callable[[Received], Reply], *, port: int = 0) -> None:
        self.requests: list[Received] = []
        self._answer = answer
        self._faults: list[list[object]] = []
        self._lock = Lock()
        self._stopped = Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, *faults: Fault) -> None:
        """Mistreat the next requests, in this order."""
        with self._lock:
            self._faults += [[fault, fault.times] for fault in faults]

    def heal(self) -> None:
        """Forget all faults that are still to come."""
        with self._lock:
            self._faults.clear()

    def start(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the server and everything that hangs."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def respond(self, request: Received) -> tuple[Reply | None, bool]:
        """The reply to a request (None to drop the connection) and whether only half of it is sent."""
        with self._lock:
            self.requests.append(request)
        fault = self._next_fault(request.path)
        if fault is None:
            return self._answer(request), False
        real = self._answer(request) if fault.accept or fault.half or not _replaces(fault) else None
        if fault.hang_s:
            self._stopped.wait(fault.hang_s)
        if fault.drop:
            return None, False
        return fault.reply or real, fault.half

    def _next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for entry in self._faults:
                fault, left = entry
                if isinstance(fault, Fault) and fault.path in path:
                    if isinstance(left, int):
                        entry[1] = left - 1
                        if left <= 1:
                            self._faults.remove(entry)
                    return fault
        return None


def _replaces(fault: Fault) -> bool:
    return fault.reply is not None or fault.drop


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that went away is part of the game."""


def _handler(receiver: HttpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._exchange()

        def do_GET(self) -> None:
            self._exchange()

        def _exchange(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply, half = receiver.respond(Received(self.command, urlsplit(self.path).path, headers, body))
            self.close_connection = True
            if reply is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if half else reply.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """Requests are kept, not printed."""

    return Handler
