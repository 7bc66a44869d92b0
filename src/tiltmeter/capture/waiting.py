"""Whoever waits for the disk, released together after one sync."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.errors import StoreError


_MOST_FAILURES = 1_000


class Waiting:
    """Positions up to which records are on the disk, and who waits for one.

    Args:
        wake: set whenever somebody begins to wait.
    """

    def __init__(self, wake: threading.Event) -> None:
        self._reached = 0
        self._failures: list[tuple[int, int, StoreError]] = []  # positions after the first, up to the second
        self._wake = wake
        self._lock = threading.Lock()
        self._futures: list[tuple[int, asyncio.Future[None]]] = []
        self._events: list[tuple[int, _Answer]] = []

    def __bool__(self) -> bool:
        return bool(self._futures or self._events)

    async def until(self, position: int) -> None:
        """Return when the position is reached.

        Raises:
            StoreError: it never will be.
        """
        with self._lock:
            if self._is_settled(position):
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._futures.append((position, future))
        if not self._wake.is_set():
            self._wake.set()
        await future

    def block_until(self, position: int, seconds: float) -> bool:
        """As `until`, for code without an event loop; False when the time is over."""
        with self._lock:
            if self._is_settled(position):
                return True
            answer = _Answer()
            self._events.append((position, answer))
        self._wake.set()
        if not answer.ready.wait(seconds):
            return False
        if answer.error is not None:
            raise answer.error
        return True

    def _is_settled(self, position: int) -> bool:
        if position > self._reached:
            return False
        for after, until, error in self._failures:
            if after < position <= until:
                raise error
        return True

    def release(self, position: int, error: StoreError | None = None) -> None:
        """The position is reached, or, with an error, never will be."""
        with self._lock:
            if error is not None and position > self._reached:
                # Whoever asks later must not take a lost record for a kept one.
                self._failures = [*self._failures[-_MOST_FAILURES:], (self._reached, position, error)]
            self._reached = max(self._reached, position)
            futures = [future for at, future in self._futures if at <= position]
            events = [answer for at, answer in self._events if at <= position]
            self._futures = [waiter for waiter in self._futures if waiter[0] > position]
            self._events = [waiter for waiter in self._events if waiter[0] > position]
        for loop in {future.get_loop() for future in futures}:
            if not loop.is_closed():  # one hand-over a loop: each wakes it through a pipe
                loop.call_soon_threadsafe(_settle, [f for f in futures if f.get_loop() is loop], error)
        for answer in events:
            answer.error = error
            answer.ready.set()


class _Answer:
    __slots__ = ("error", "ready")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.error: StoreError | None = None


def _settle(futures: Iterable[asyncio.Future[None]], error: StoreError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
