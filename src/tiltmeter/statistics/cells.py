"""The comparison cells of a feature: what PSI, KL, JS and chi-square see, made from integers alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tiltmeter.domain.profile import LevelBins, LevelProfile, NumericBins, NumericProfile
from tiltmeter.statistics.edges import range_names, rows_below, rows_between

OTHER = "(other)"
"""Name of the cell that holds everything rare or never seen in the reference."""

MISSING = "(missing)"
"""Name of the cell of missing values."""

_LEAST_EXPECTED = 5
"""Rows that a cell should hold on the smaller side: the usual condition of chi-square approximations (Cochran 1954)."""

MOST_LEVELS = 100
"""Levels that keep a cell of their own."""

_Rows = TypeVar("_Rows", int, np.ndarray)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side's rows before they are pooled.

    Args:
        counts: rows per bin or per frozen level, int64.
        rows: all rows, those in no frozen level and the missing ones included.
        missing: missing rows.
        rows_tested: rows as tests count them: distinct entities, and every row without an entity id.
    """

    counts: np.ndarray
    rows: int
    missing: int
    rows_tested: int


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonCells:
    """Cells that are not empty on both sides: the kept ones, then `(other)`, then `(missing)`, as far as present.

    Args:
        reference: rows per cell, int64.
        current: same cells.
        kept: positions of the kept bins (ascending) or levels (largest first).
        has_other: whether there is a cell `(other)`.
        has_missing: whether there is a cell of missing values.
    """

    reference: np.ndarray
    current: np.ndarray
    kept: np.ndarray
    has_other: bool
    has_missing: bool

    @property
    def only_other(self) -> bool:
        """Whether everything was too rare to keep a cell."""
        return self.has_other and self.reference.size == 1


def level_side(profile: LevelProfile, rows_tested: int) -> Side:
    """One side of a categorical feature in its frozen levels."""
    return Side(profile.counts, profile.rows, profile.missing, rows_tested)


def comparison_cells(reference: Side, current: Side, *, most: int | None = None) -> ComparisonCells:
    """Pool the rare, keep the rest.

    A bin or level is kept if the reference has it, if its share of all rows would put five rows on the smaller side,
    and if it is among the `most` largest by rows of both sides. Ranking by the reference alone would select lucky
    levels: p < .01 in all windows without drift.

    Args:
        reference: the reference side.
        current: the window, same bins.
        most: how many cells may be kept, None for all (bins).
    """
    total = reference.counts + current.counts
    kept = _kept(reference, current, total, most)
    reference_kept, current_kept = reference.counts.take(kept), current.counts.take(kept)
    pooled_reference = reference.rows - reference.missing - int(np.add.reduce(reference_kept))
    pooled_current = current.rows - current.missing - int(np.add.reduce(current_kept))
    has_other = pooled_reference + pooled_current > 0
    has_missing = reference.missing + current.missing > 0
    tail_reference, tail_current = [], []
    if has_other:
        tail_reference.append(pooled_reference)
        tail_current.append(pooled_current)
    if has_missing:
        tail_reference.append(reference.missing)
        tail_current.append(current.missing)
    return ComparisonCells(
        _with_tail(reference_kept, tail_reference), _with_tail(current_kept, tail_current), kept, has_other, has_missing
    )


def _with_tail(kept: np.ndarray, tail: list[int]) -> np.ndarray:
    return np.concatenate((kept, np.array(tail, dtype=np.int64))) if tail else kept


def least_rows(rows: _Rows, smaller: _Rows) -> _Rows:
    """Rows of both sides that a cell needs to be kept.

    Args:
        rows: of both sides, all cells.
        smaller: rows of the smaller side as tests count them, at least 1.
    """
    # (c + r)/(n + m) · min(n, m) ≥ 5, in integers that cannot overflow.
    least: _Rows = -(-_LEAST_EXPECTED * rows // smaller)
    return least


def _kept(reference: Side, current: Side, total: np.ndarray, most: int | None) -> np.ndarray:
    smaller = min(reference.rows_tested, current.rows_tested)
    if smaller < 1:
        return np.empty(0, dtype=np.int64)
    least = least_rows(reference.rows + current.rows, smaller)
    kept = ((reference.counts > 0) & (total >= least)).nonzero()[0]
    if most is None:
        return kept
    return kept[np.argsort(-total[kept], kind="stable")[:most]]


def numeric_cells(
    bins: NumericBins,
    sides: tuple[NumericProfile, NumericProfile],
    tested: tuple[int, int],
    below: np.ndarray | None = None,
) -> ComparisonCells:
    """Comparison cells of a numeric feature, its decile bins.

    Args:
        bins: the frozen cells.
        sides: reference and window.
        tested: rows of both as tests count them.
        below: rows of both up to the end of each bin, if they were summed before.
    """
    counts = rows_between(rows_below(sides) if below is None else below, bins.deciles)
    before, after = (Side(counts[row], side.rows, side.missing, tested[row]) for row, side in enumerate(sides))
    return comparison_cells(before, after)


def level_cells(sides: tuple[LevelProfile, LevelProfile], tested: tuple[int, int]) -> ComparisonCells:
    """Comparison cells of a categorical feature; `sides` and `tested` are reference first."""
    return comparison_cells(level_side(sides[0], tested[0]), level_side(sides[1], tested[1]), most=MOST_LEVELS)


def cell_names(bins: NumericBins | LevelBins, cells: ComparisonCells, *, dates: bool = False) -> list[str]:
    """A name for each cell, for pictures: the level, or the bin's range."""
    if isinstance(bins, LevelBins):
        names = [bins.levels[position] for position in cells.kept.tolist()]
    else:
        names = range_names(bins.edges[bins.deciles], cells.kept.tolist(), dates=dates)
    if cells.has_other:
        names.append(OTHER)
    if cells.has_missing:
        names.append(MISSING)
    return names
