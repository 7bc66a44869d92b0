"""Bins as stretches of numbers: what one can hold, where the log bins beyond the baseline's range end, and names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
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
    """Fine bins of two or more profiles, the occupied log bins beyond the baseline's range included.

    Args:
        edges: upper limits of all bins but the last, ascending.
        counts: rows per bin and profile, int64, shape (profiles, edges + 1).
    """

    edges: np.ndarray
    counts: np.ndarray

    def single_valued(self) -> np.ndarray:
        """Per bin, whether it can hold only one double; the outer bins are open."""
        alone = np.zeros(self.edges.size + 1, dtype=bool)
        if self.edges.size > 1:
            alone[1:-1] = np.nextafter(self.edges[:-1], math.inf) == self.edges[1:]
        return alone


def fine_bins(bins: NumericBins, profiles: Sequence[NumericProfile]) -> FineBins:
    """Rows per fine bin, the same bins for all profiles."""
    counts = np.empty((len(profiles), bins.fine.size + 1), dtype=np.int64)
    if bins.fine.size == bins.edges.size:  # as with every value a bin of its own
        edges = bins.edges
        for row, profile in enumerate(profiles):
            counts[row] = profile.counts
    else:
        edges, starts = bins.edges[bins.fine], starts_behind(bins.fine)
        for row, profile in enumerate(profiles):
            np.add.reduceat(profile.counts, starts, dtype=np.int64, out=counts[row])
    if edges.size == 0:
        return FineBins(edges, counts)
    high_edges, high = _tail([profile.high_tail for profile in profiles], counts[:, -1], bins.scale)
    low_edges, low = _tail([profile.low_tail for profile in profiles], counts[:, 0], bins.scale)
    if high_edges.size == 0 and low_edges.size == 0:
        return FineBins(edges, counts)
    with np.errstate(over="ignore"):  # an edge beyond the doubles is dropped below
        below, above = edges[0] - low_edges[::-1], edges[-1] + high_edges
    return _without_repeats(
        np.concatenate((below, edges, above)), np.concatenate((low[:, ::-1], counts[:, 1:-1], high), axis=1)
    )


def starts_behind(positions: np.ndarray) -> np.ndarray:
    """Where bins that end at these positions begin: 0, and one behind each."""
    starts = np.zeros(positions.size + 1, dtype=np.intp)
    np.add(positions, 1, out=starts[1:], dtype=np.intp)
    return starts


def _tail(tails: Iterable[Mapping[int, int]], outer: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the occupied log bins as distances, and the rows per bin between them, nearest first.

    The last column holds what lies beyond the last end: the open bin, and infinities that no log bin counts.
    """
    tails = list(tails)
    occupied = {index for tail in tails for index in tail if index < TAIL_STEPS}
    if not occupied:
        return np.empty(0), outer[:, np.newaxis]
    ends = sorted(occupied | {index - 1 for index in occupied if index > 0})
    distances = np.array([tail_offset(index, scale) for index in ends])
    rows = np.array([[tail.get(index, 0) for index in ends] for tail in tails], dtype=np.int64)
    beyond = outer - rows.sum(axis=1)
    return distances, np.concatenate((rows, beyond[:, np.newaxis]), axis=1)


def _without_repeats(edges: np.ndarray, counts: np.ndarray) -> FineBins:
    # A distance below the resolution of the edge it is added to makes no new edge: its rows join the next bin out.
    new = np.concatenate(([True], edges[1:] > edges[:-1])) & np.isfinite(edges)
    starts = np.concatenate(([0], np.flatnonzero(new) + 1))
    return FineBins(edges[new], np.add.reduceat(counts, starts, axis=1))


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
