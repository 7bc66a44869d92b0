"""Connections that ask nothing cost nothing: silent ones are closed in time, and those beyond a number at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    import asyncio

SILENT_SECONDS = 10.0
"""From the opening of a connection, or the last answer on it, to the end of the next request's headers."""

MOST_OPEN = 2_000
"""Open connections; a further one is closed before it is read."""


class BoundedConnection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # h11 or httptools, whichever is installed
    """One connection; the server keeps none open that sends no request (reliability.md, S9)."""

    silent_seconds: ClassVar[float] = SILENT_SECONDS
    most_open: ClassVar[int] = MOST_OPEN
    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request, or hang up where too many wait already."""
        super().connection_made(transport)
        if len(self.connections) > self.most_open:
            transport.abort()
            return
        self._wait_for_request()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._silence is not None:
            self._silence.cancel()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self.loop.call_later(self.silent_seconds, self._hang_up)

    def _hang_up(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering and not self.transport.is_closing():
            self.transport.abort()
