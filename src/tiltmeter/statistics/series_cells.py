"""One feature in many windows: its comparison cells and the gaps of its fine bins, a NumPy call for all windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.statistics.blocks import EXACT_DOUBLE, FilledCells, Stretches, gaps_of
from tiltmeter.statistics.cells import MOST_LEVELS, least_rows
from tiltmeter.statistics.edges import fine_bins, tail_offset, with_last

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.profile import NumericBins, NumericProfile


@dataclass(frozen=True, slots=True, eq=False)
class WindowRows:
    """Rows of one feature in several windows, all with rows, and in the reference.

    Args:
        rows: all rows of each window, int64, shape (windows,), >= 1.
        missing: missing rows likewise.
        n: rows as tests count them likewise.
        reference_rows: all rows of the reference, >= 1.
        reference_missing: its missing rows.
        m: its rows as tests count them.
    """

    rows: np.ndarray
    missing: np.ndarray
    n: np.ndarray
    reference_rows: int
    reference_missing: int
    m: int


@dataclass(frozen=True, slots=True, eq=False)
class PooledWindows:
    """Comparison cells of all windows.

    Args:
        filled: the cells end to end.
        only_other: per window, whether everything was too rare to keep a cell.
    """

    filled: FilledCells
    only_other: np.ndarray


def pooled(sides: WindowRows, current: np.ndarray, reference: np.ndarray, *, are_levels: bool) -> PooledWindows:
    """What `comparison_cells` makes of each window.

    Args:
        sides: rows of both.
        current: rows per bin or level, shape (windows, bins).
        reference: same bins, shape (bins,).
        are_levels: whether the largest levels come first, at most a hundred; else all bins in their order.
    """
    smaller = np.minimum(sides.n, sides.m)
    least = least_rows(sides.reference_rows + sides.rows, np.maximum(smaller, 1))
    window, cell = _kept(current, reference, np.where(smaller >= 1, least, np.iinfo(np.int64).max))
    if are_levels:
        window, cell = _largest(window, cell, current[window, cell] + reference[cell])
    mine, theirs = current[window, cell], reference[cell]
    kept = np.bincount(window, minlength=sides.rows.size)
    rare = (
        sides.rows - sides.missing - _summed(window, mine, sides.rows.size),
        sides.reference_rows - sides.reference_missing - _summed(window, theirs, sides.rows.size),
    )
    has_other, has_missing = rare[0] + rare[1] > 0, sides.missing + sides.reference_missing > 0
    sizes = kept + has_other + has_missing
    starts = np.add.accumulate(sizes) - sizes
    places = np.arange(window.size) + (starts - (np.add.accumulate(kept) - kept))[window]
    others, lacking = (starts + kept)[has_other], (starts + sizes - 1)[has_missing]
    flat = []
    for own, other, missing in ((mine, rare[0], sides.missing), (theirs, rare[1], sides.reference_missing)):
        cells = np.empty(int(np.add.reduce(sizes)))
        cells[places] = own
        cells[others] = other[has_other]
        cells[lacking] = missing if isinstance(missing, int) else missing[has_missing]
        flat.append(cells)
    members = list(range(sides.rows.size))
    n, m = sides.n.astype(np.float64), np.full(sides.rows.size, float(sides.m))
    filled = FilledCells(members, Stretches(starts.astype(np.intp), sizes.astype(np.intp)), flat[0], flat[1], n, m)
    return PooledWindows(filled, has_other & (sizes == 1))


def _kept(current: np.ndarray, reference: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows and cells that the reference has and that hold enough rows, in this order."""
    # Most of thousands of levels are too rare in every window.
    cells = np.flatnonzero((reference > 0) & (current.max(axis=0) >= least.min() - reference))
    window, place = (current[:, cells] >= least[:, None] - reference[cells]).nonzero()
    return window, cells[place]


def _largest(window: np.ndarray, cell: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest levels of each window first, ties in their order."""
    order = np.lexsort((cell, -total, window))
    window, cell = window[order], cell[order]
    first = np.searchsorted(window, window)
    most = np.arange(window.size) - first < MOST_LEVELS
    return window[most], cell[most]


def _summed(window: np.ndarray, rows: np.ndarray, windows: int) -> np.ndarray:
    # Sums of whole numbers below 2^53: exact in doubles.
    return np.bincount(window, weights=rows, minlength=windows).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class WidestGaps:
    """The Kolmogorov-Smirnov statistic of each window.

    Args:
        ks: in [0, 1]; NaN where a side has no value.
        current: non-missing rows of the windows, float64.
        reference: non-missing rows of the reference.
    """

    ks: np.ndarray
    current: np.ndarray
    reference: int


def widest_gaps(
    bins: NumericBins, reference: NumericProfile, windows: Sequence[NumericProfile], below: np.ndarray
) -> WidestGaps:
    """What the fine bins of each window say.

    Args:
        bins: the frozen cells.
        reference: the reference rows in them.
        windows: the windows' rows in them.
        below: rows of the windows up to the end of each bin, float64, shape (windows, edges + 1).
    """
    ends = with_last(bins.fine, bins.edges.size)
    theirs = np.add.accumulate(reference.counts, dtype=np.int64).take(ends)
    m, n = int(theirs[-1]), below[:, -1]
    ks, held = np.full(n.size, np.nan), np.flatnonzero(n >= 1)
    if m < 1 or not held.size:
        return WidestGaps(ks, n, m)
    if _ends_inside(bins, theirs) and float(n.max()) * m <= EXACT_DOUBLE:
        gaps = below[held].take(ends, axis=1)
        gaps *= float(m)
        gaps -= n[held, None] * theirs.astype(np.float64)
        ks[held] = np.maximum(gaps.max(axis=1), -gaps.min(axis=1)) / (n[held] * float(m))
        return WidestGaps(ks, n, m)
    chosen = held.tolist()
    found = gaps_of([_below(bins, (reference, windows[i])) for i in chosen], chosen)
    widest = [int(gap) for gap in found.widest.tolist()]
    ks[held] = [gap / (rows * of) for gap, (rows, of) in zip(widest, found.values, strict=True)]
    return WidestGaps(ks, n, m)


def _ends_inside(bins: NumericBins, reference_below: np.ndarray) -> bool:
    """Whether log bins beyond the baseline's range cannot hold the widest gap.

    Where the reference has no row out there, its share is 0 or 1, and the window's gap only shrinks on the way out.
    An edge that the nearest log bin falls together with would be replaced by it (`fine_bins`).
    """
    if bins.fine.size == 0:
        return True
    first = float(bins.edges[bins.fine[0]])
    is_empty = reference_below[0] == 0 and reference_below[-2] == reference_below[-1]
    return bool(is_empty) and first - tail_offset(0, bins.scale) < first


def _below(bins: NumericBins, sides: tuple[NumericProfile, NumericProfile]) -> tuple[np.ndarray, np.ndarray]:
    before, after = fine_bins(bins, sides).below
    return after, before
