"""`/metrics`, `/live` and `/healthz` of a host that only ships: the standard library is enough, on loopback alone."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.ingest.shipper import Shipper


class LiveServer:
    """Serves while the context is open; does nothing without a port.

    Args:
        shipper: whose numbers.
        port: on 127.0.0.1; 0 lets the system choose, None serves nothing.
    """

    def __init__(self, shipper: Shipper, port: int | None) -> None:
        self._shipper = shipper
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self.address = ""

    def __enter__(self) -> Self:
        """Start serving."""
        if self._port is not None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self._shipper))
            self._server.daemon_threads = True
            self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
            Thread(target=self._server.serve_forever, name="live", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _handler(shipper: Shipper) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            """Answer the three paths."""
            answers: dict[str, Callable[[], tuple[str, str]]] = {
                "/healthz": lambda: ("application/json", '{"status": "ok"}'),
                "/live": lambda: ("application/json", json.dumps(shipper.live_snapshot())),
                "/metrics": lambda: ("text/plain; version=0.0.4; charset=utf-8", shipper.prometheus()),
            }
            answer = answers.get(self.path.partition("?")[0])
            kind, text = answer() if answer else ("application/json", '{"detail": "Not Found"}')
            body = text.encode("utf-8", "replace")
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
            """Scrapes are not worth a line each."""

    return Handler
