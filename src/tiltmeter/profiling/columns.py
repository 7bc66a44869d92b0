"""Columns made plain: numbers as float64, levels as codes, text as lengths and hashes. What every kernel counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumn:
    """Numbers or datetimes (epoch seconds) of some rows.

    Args:
        values: float64; NaN where missing, or anything where `present` says so.
        present: bool, None where only NaN is missing.
        hashes: of the exact values, where float64 does not hold them all (big integers, decimals); else None.
        float32: whether the column held 32-bit floats.
    """

    values: np.ndarray
    present: np.ndarray | None = None
    hashes: np.ndarray | None = None
    float32: bool = False

    def __len__(self) -> int:
        return int(self.values.size)

    def is_known(self) -> np.ndarray:
        """Whether each row holds a value."""
        known: np.ndarray = ~np.isnan(self.values)
        return known if self.present is None else known & self.present

    def known(self) -> np.ndarray:
        """The values of the rows that hold one; no copy where all do."""
        known = self.is_known()
        return self.values if np.count_nonzero(known) == known.size else self.values[known]

    def take(self, order: np.ndarray) -> NumberColumn:
        """The rows in that order."""
        return NumberColumn(self.values[order], _taken(self.present, order), _taken(self.hashes, order), self.float32)

    def slice(self, start: int, stop: int) -> NumberColumn:
        """Rows `[start, stop)`, without a copy."""
        rows = slice(start, stop)
        return NumberColumn(self.values[rows], _taken(self.present, rows), _taken(self.hashes, rows), self.float32)


@dataclass(frozen=True, slots=True, eq=False)
class LevelColumn:
    """Categories of some rows.

    Args:
        codes: any integer type; positions in `targets`, -1 where missing.
        targets: int64; where each code counts: position among the baseline's levels, or behind them among `new`; -1
            where the value means missing.
        new: names that the baseline lacks, without repeats.
    """

    codes: np.ndarray
    targets: np.ndarray
    new: Sequence[str] = ()

    def __len__(self) -> int:
        return int(self.codes.size)

    def take(self, order: np.ndarray) -> LevelColumn:
        """The rows in that order."""
        return LevelColumn(self.codes[order], self.targets, self.new)

    def slice(self, start: int, stop: int) -> LevelColumn:
        """Rows `[start, stop)`, without a copy."""
        return LevelColumn(self.codes[start:stop], self.targets, self.new)


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """Free text of some rows.

    Args:
        lengths: characters, int64.
        hashes: uint64.
        present: bool.
    """

    lengths: np.ndarray
    hashes: np.ndarray
    present: np.ndarray

    def __len__(self) -> int:
        return int(self.present.size)

    def take(self, order: np.ndarray) -> TextColumn:
        """The rows in that order."""
        return TextColumn(self.lengths[order], self.hashes[order], self.present[order])

    def slice(self, start: int, stop: int) -> TextColumn:
        """Rows `[start, stop)`, without a copy."""
        rows = slice(start, stop)
        return TextColumn(self.lengths[rows], self.hashes[rows], self.present[rows])


Column = NumberColumn | LevelColumn | TextColumn


@dataclass(frozen=True, slots=True)
class WrongType:
    """The column cannot be counted in its bins: what it holds instead."""

    found: str


def _taken(values: np.ndarray | None, rows: np.ndarray | slice) -> np.ndarray | None:
    return None if values is None else values[rows]
