"""Columns of numbers side by side, as many rows each and in ascending order, so that one NumPy call serves them all.

A call on 1,000 values takes as long to begin as to do its work; ten thousand columns make half a million of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiltmeter.profiling.columns import NumberColumn

BLOCK_VALUES = 2**15
"""Values of a block: 256 kB, so that what is made of them stays in the second-level cache of a core."""

BLOCK_ROWS = 2**14
"""Longer columns gain nothing from company."""


@dataclass(frozen=True, slots=True, eq=False)
class SideBySide:
    """Numbers of some columns.

    Args:
        values: float64, shape (columns, rows), each column ascending, -0.0 as 0.0, NaN behind where a row has no value.
        sizes: values of each column, int64, shape (columns,).
    """

    values: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[Sequence[NumberColumn]], rounded: Sequence[bool]) -> SideBySide:
        """The columns, at least one.

        Args:
            columns: each in pieces; all of as many rows, at least one.
            rounded: by column, whether its values are rounded to float32 first.
        """
        values = np.empty((len(columns), sum(map(len, columns[0]))))
        for into, pieces, is_rounded in zip(values, columns, rounded, strict=True):
            start = 0
            for piece in pieces:
                _fill(into[start : start + len(piece)], piece)
                start += len(piece)
            if is_rounded:
                with np.errstate(over="ignore"):
                    np.add(into.astype(np.float32), 0.0, out=into)  # what rounds to -0.0 is 0.0 as well
        values.sort(axis=1)
        return cls(values, _sizes(values))

    @property
    def rows(self) -> int:
        """Rows of each column."""
        return int(self.values.shape[1])

    @property
    def is_full(self) -> bool:
        """Whether every row of every column holds a value."""
        return bool(np.minimum.reduce(self.sizes) == self.rows)

    def beyond(self) -> np.ndarray:
        """Whether each place lies behind the values of its column, bool, shape (columns, rows)."""
        return np.asarray(np.arange(self.rows) >= self.sizes[:, None])

    def greatest(self) -> np.ndarray:
        """The last value of each column; NaN where it has none."""
        return np.asarray(self.values[np.arange(self.sizes.size), self.sizes - 1])


def columns_of_block(rows: int) -> int:
    """Columns of so many rows, at least one, that make a block."""
    return max(1, BLOCK_VALUES // rows)


def blocks_of(columns: int, rows: int) -> Iterator[slice]:
    """So many columns of so many rows, at least one, cut into blocks."""
    size = columns_of_block(rows)
    return (slice(start, min(start + size, columns)) for start in range(0, columns, size))


def pays_side_by_side(columns: int, rows: int) -> bool:
    """Whether so many columns of so many rows are quicker together than one by one."""
    return columns > 1 and 0 < rows <= BLOCK_ROWS


def _fill(into: np.ndarray, column: NumberColumn) -> None:
    np.add(column.values, 0.0, out=into)  # -0.0 is 0.0
    if column.present is not None:
        np.copyto(into, np.nan, where=~column.present)


def _sizes(ordered: np.ndarray) -> np.ndarray:
    columns, rows = ordered.shape
    sizes = np.full(columns, rows, dtype=np.int64)
    short = np.isnan(ordered[:, -1]).nonzero()[0]
    sizes[short] -= np.count_nonzero(np.isnan(ordered[short]), axis=1)
    return sizes
