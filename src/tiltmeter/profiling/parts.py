"""Rows read in parts, side by side where they can be, or a few columns at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from tiltmeter.ports import Rows
from tiltmeter.profiling.progress import Told, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from tiltmeter.profiling.progress import Progress

_Found = TypeVar("_Found")


class Partitioned(Rows, Protocol):
    """Rows that can be read in independent parts, such as the row groups of a file."""

    def parts(self) -> Sequence[Rows]:
        """The parts, in row order."""
        ...


class Portioned(Rows, Protocol):
    """Rows that are best read a few columns at a time."""

    def portions(self, columns: Sequence[str]) -> Iterator[Iterator[pa.RecordBatch]]:
        """Rows after rows, each as batches of different columns, which are read before the next rows are asked for."""
        ...


def over_parts(
    rows: Rows,
    work: Callable[[Rows, Told], _Found],
    *,
    doing: str,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Iterator[_Found]:
    """What the work gives for each part of the rows, in their order; parts side by side where rows have `parts`.

    Args:
        rows: of any size.
        work: takes a part, and tells how many rows it has done.
        doing: what is done to them, in words, for whoever listens.
        progress: told after each batch, from any thread; None tells the listener of the context.
        threads: at most so many parts at once; None takes the cores of this process.
    """
    parts: Sequence[Rows] = cast(Partitioned, rows).parts() if hasattr(rows, "parts") else [rows]
    workers = min(len(parts), threads or len(os.sched_getaffinity(0)))
    tell = Told(progress or told(f"{doing} {rows.name}"), rows.count())
    if workers <= 1:
        yield from (work(part, tell) for part in parts)
    else:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(lambda part: work(part, tell), parts)


def in_portions(rows: Rows, columns: Sequence[str]) -> Iterator[Iterator[pa.RecordBatch]]:
    """Rows after rows, each a few columns at a time where they are to be had so, else all columns in one batch."""
    if hasattr(rows, "portions"):
        return cast(Portioned, rows).portions(columns)
    return (iter([batch]) for batch in rows.batches(columns))


__all__ = ["Partitioned", "Portioned", "in_portions", "over_parts"]
