"""A progress bar on standard error for passes that take longer than a moment, on a terminal only."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

PATIENCE_S = 0.7
"""Work that is over by then needs no bar."""


@contextmanager
def shown_progress() -> Iterator[None]:
    """Show a bar for every long pass inside; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from tiltmeter.profiling.progress import LISTENER

    bar = _Bar()
    token = LISTENER.set(bar.tell)
    try:
        yield
    finally:
        LISTENER.reset(token)
        bar.close()


@dataclass(slots=True)
class _Bar:
    """One line for the pass that runs; it vanishes at the end."""

    _begun: float = field(default_factory=time.monotonic)
    _lock: Lock = field(default_factory=Lock)
    _progress: Progress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def tell(self, what: str, done: int, total: int | None) -> None:
        with self._lock:
            if self._progress is None:
                if time.monotonic() - self._begun < PATIENCE_S:
                    return
                self._progress = _started()
            if what not in self._tasks:
                for task in self._tasks.values():
                    self._progress.update(task, visible=False)
                self._tasks[what] = self._progress.add_task(_short(what), total=total, unit=_unit(what))
            self._progress.update(self._tasks[what], completed=done, total=total)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def _started() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True, markup=False, highlight=False), transient=True)
    progress.start()
    return progress


def _unit(what: str) -> str:
    return "windows" if what == "judging windows" else "rows"


def _short(what: str) -> str:
    """The words with the file's name alone, without control characters."""
    word, _, place = what.partition(" ")
    name = "".join(character if character.isprintable() else "·" for character in Path(place).name or place)
    return f"{word} {name[:40]}"
