"""Long passes tell how far they are, to whoever listens in the same context."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from threading import Lock

Progress = Callable[[int, int | None], None]
"""Takes rows done and rows in all, where known."""

Listener = Callable[[str, int, int | None], None]
"""Takes what is done, in words, rows done and rows in all. May be called from any thread."""

LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""Who is told; None for nobody."""


def told(what: str) -> Progress | None:
    """The listener as progress of one pass; None where nobody listens."""
    listener = LISTENER.get()
    return None if listener is None else partial(listener, what)


class Told:
    """Adds up the rows that all threads have done."""

    def __init__(self, progress: Progress | None, total: int | None) -> None:
        """Nothing done yet of so many rows, where that is known."""
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = Lock()

    def done(self, rows: int) -> None:
        """So many more."""
        if self._progress is None:
            return
        with self._lock:
            self._done += rows
            self._progress(self._done, self._total)
