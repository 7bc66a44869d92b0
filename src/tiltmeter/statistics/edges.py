"""Bins as stretches of numbers: what one can hold, where the log bins beyond the baseline's range end, and names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.profile import TAIL_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiltmeter.domain.profile import NumericBins, NumericProfile


def tail_offset(index: int, scale: float) -> float:
    """Outer end of a log bin, as a distance from the baseline's least or greatest value.

    Args:
        index: of the bin; 0 is the nearest to the baseline's range, `TAIL_STEPS` the open last one.
        scale: s of the exact sums.

    Returns:
        scale · 2^(index/8 − 2); 0.0 below index 0, infinity for the last bin.
    """
    if index < 0:
        return 0.0
    if index >= TAIL_STEPS:
        return math.inf
    return scale * math.pow(2.0, index / 8.0 - 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class FineBins:
    """Fine bins of one or more profiles, the occupied log bins beyond the baseline's range included.

    Args:
        edges: upper limits of all bins but the last, ascending.
        below: rows up to the end of each bin, per profile, int64, shape (profiles, edges + 1).
    """

    edges: np.ndarray
    below: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Rows per bin and profile, int64, shape (profiles, edges + 1)."""
        return _steps(self.below)

    def single_valued(self) -> np.ndarray:
        """Per bin, whether it can hold only one double; the outer bins are open."""
        alone = np.zeros(self.edges.size + 1, dtype=bool)
        if self.edges.size > 1:
            ranks = _ranks(self.edges)
            np.equal(ranks[1:] - ranks[:-1], 1, out=alone[1:-1])
        return alone


def _ranks(ascending: np.ndarray) -> np.ndarray:
    """Places of doubles among all doubles, int64: neighbours differ by 1. A third of the time of `np.nextafter`."""
    ranks = ascending.view(np.int64) & np.int64(2**63 - 1)  # without the sign, bits are in the order of sizes
    below_zero = ranks[: ascending.searchsorted(0.0)]
    np.negative(below_zero, out=below_zero)
    return ranks


def rows_below(profiles: Sequence[NumericProfile]) -> np.ndarray:
    """Rows up to the end of each bin, int64, shape (profiles, edges + 1).

    Summed once: whatever coarser bins hold is then a difference of two of these.
    """
    counts = np.empty((len(profiles), profiles[0].counts.size), dtype=np.int64)
    for row, profile in enumerate(profiles):
        counts[row] = profile.counts
    return np.add.accumulate(counts, axis=1)


def rows_between(below: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Rows per coarser bin and profile, int64, shape (profiles, ends + 1).

    Args:
        below: rows up to the end of each bin.
        ends: positions of the bins that end a coarser one; the last coarser bin ends with the last bin.
    """
    return _steps(below.take(with_last(ends, below.shape[1] - 1), axis=1))


def fine_bins(bins: NumericBins, profiles: Sequence[NumericProfile], below: np.ndarray | None = None) -> FineBins:
    """Rows per fine bin, the same bins for all profiles.

    Args:
        bins: the frozen cells.
        profiles: counted in them.
        below: their rows up to the end of each bin, if they were summed before.
    """
    below = rows_below(profiles) if below is None else below
    ends = with_last(bins.fine, bins.edges.size)
    if bins.fine.size == 0 or not any(profile.low_tail or profile.high_tail for profile in profiles):
        return FineBins(bins.edges.take(ends[:-1]), below.take(ends, axis=1))
    outer = below[:, ends[0]].tolist(), (below[:, -1] - below[:, ends[-2]]).tolist()
    low = _tail([profile.low_tail for profile in profiles], outer[0], bins.scale)
    high = _tail([profile.high_tail for profile in profiles], outer[1], bins.scale)
    return _with_tails(bins.edges, below, ends, low, high)


def _with_tails(edges: np.ndarray, below: np.ndarray, ends: np.ndarray, low: _Tail, high: _Tail) -> FineBins:
    first, last = float(edges[ends[0]]), float(edges[ends[-2]])
    lower = [first - distance for distance in reversed(low.distances)]
    upper = [last + distance for distance in high.distances]
    start, stop = len(lower), len(lower) + ends.size - 1
    whole = np.empty(stop + len(upper))
    whole[:start] = lower
    # `clip` writes straight into the given array; all positions are in it.
    edges.take(ends[:-1], out=whole[start:stop], mode="clip")
    whole[stop:] = upper
    rows = np.empty((below.shape[0], whole.size + 1), dtype=np.int64)
    for row, (side, before, after) in enumerate(zip(below, low.rows, high.rows, strict=True)):
        rows[row, : start + 1] = list(accumulate(reversed(before)))
        side.take(ends[1:-1], out=rows[row, start + 1 : stop], mode="clip")
        rows[row, stop:] = list(accumulate(after, initial=int(side[ends[-2]])))[1:]
    limits = [*pairwise((-math.inf, *lower, first)), *pairwise((last, *upper, math.inf))]
    grows = all(one < other for one, other in limits)
    return FineBins(whole, rows) if grows else _without_repeats(whole, rows)


def with_last(ends: np.ndarray, last: int) -> np.ndarray:
    """Positions of the bins that end a coarser one, the last bin's included."""
    positions = np.empty(ends.size + 1, dtype=np.intp)
    positions[:-1] = ends
    positions[-1] = last
    return positions


def _steps(below: np.ndarray) -> np.ndarray:
    counts = below.copy()
    counts[:, 1:] -= below[:, :-1]
    return counts


@dataclass(frozen=True, slots=True)
class _Tail:
    """Occupied log bins beyond one end of the baseline's range, nearest first.

    Args:
        distances: their ends, as distances from the range.
        rows: per profile, rows in each bin; one more than ends: the open bin, and infinities that no log bin counts.
    """

    distances: list[float]
    rows: list[list[int]]


def _tail(tails: Iterable[Mapping[int, int]], outer: Sequence[int], scale: float) -> _Tail:
    tails = list(tails)
    if not any(tails):
        return _Tail([], [[total] for total in outer])
    occupied = {index for tail in tails for index in tail if index < TAIL_STEPS}
    ends = sorted(occupied | {index - 1 for index in occupied if index > 0})
    rows = []
    for tail, total in zip(tails, outer, strict=True):
        named = [tail.get(index, 0) for index in ends]
        rows.append([*named, total - sum(named)])
    return _Tail([tail_offset(index, scale) for index in ends], rows)


def _without_repeats(edges: np.ndarray, below: np.ndarray) -> FineBins:
    # A distance below the resolution of the edge it is added to makes no new edge: its rows join the next bin out.
    kept = np.isfinite(edges)
    kept[1:] &= edges[1:] > edges[:-1]
    if np.count_nonzero(kept) == kept.size:
        return FineBins(edges, below)
    return FineBins(edges[kept], below[:, np.append(kept, [True])])


def short_number(value: float) -> str:
    """A number in at most four significant digits, thousands written out."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e7:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.3g}"


def _moment(value: float) -> str:
    try:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):  # beyond the years 1 to 9999
        return short_number(value)


def range_names(edges: np.ndarray, positions: Iterable[int], *, dates: bool = False) -> list[str]:
    """Names of the bins at these positions: "≤ 3", "3 – 8", "> 8", or the value where only one fits in.

    Args:
        edges: upper limits of all bins but the last.
        positions: which bins to name.
        dates: whether the numbers are epoch seconds.
    """
    say = _moment if dates else short_number
    limits = edges.tolist()
    if not limits:
        return ["all values" for _ in positions]
    said = [say(limit) for limit in limits]
    names = []
    for position in positions:
        if position == 0:
            names.append(f"≤ {said[0]}")
        elif position == len(limits):
            names.append(f"> {said[-1]}")
        elif math.nextafter(limits[position - 1], math.inf) == limits[position]:
            names.append(said[position])
        else:
            names.append(f"{said[position - 1]} – {said[position]}")
    return names
