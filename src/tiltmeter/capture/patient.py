"""An exchange whose answer may wait: for room in the spool, for the disk, or for leave to go out at all."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tiltmeter.capture.exchange import ERROR_FROM, PIECES, UNHANDLED, Exchange, handled_error
from tiltmeter.capture.report import report
from tiltmeter.capture.writer import SpoolRefused
from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tiltmeter.capture.exchange import Message

_BLOCK_STEP_SECONDS = 0.02
_UNAVAILABLE = b'{"detail":"the prediction could not be recorded"}'


class PatientExchange(Exchange):
    """For `disk` durability and every `on_full` but `drop`: the last byte waits until its record is kept."""

    _held: Message | None = None

    def send(self, message: Message) -> Awaitable[None]:
        """As `Exchange`; with `fail_request` the head of the answer is held back with its first piece."""
        if self.done:
            return self._send(message)
        kind = message["type"]
        if kind in PIECES:
            self._see_piece(message)
            return self._pass_piece(message)
        if kind == "http.response.start":
            self._begin_answer(message)
            if self._options.on_full == "fail_request":
                self._held = message  # until its record is kept, or its first piece shows that it is a stream
                return _nothing()
        return self._send(message)

    async def _pass_piece(self, message: Message) -> None:
        if not message.get("more_body", False):
            self.done = True
            error_type = handled_error() if self._status >= ERROR_FROM else None
            if not await self._keep_patiently(self._status, error_type):
                await self._refuse()
                return
        if self._held is not None:
            held, self._held = self._held, None
            await self._send(held)
        await self._send(message)

    async def _keep_failed(self, error_type: str) -> None:
        await self._keep_patiently(UNHANDLED, error_type)

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


async def _nothing() -> None:
    """The message is held back."""
