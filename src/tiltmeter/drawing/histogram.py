"""Shares of rows in bars of equal width, from the fine bins of two profiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.statistics.edges import fine_bins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.profile import NumericBins, NumericProfile

BARS = 40
"""Bars of a picture of 360 points: nine points each."""

_TAIL = 0.005
"""Share of rows at either end that is drawn at the edge of the picture, so that one outlier cannot squeeze the rest."""

_SQUEEZED = 0.5
"""Share of a side in the first bar from which the rest of its shape cannot be seen on a linear scale."""

_KNOWN = 0.9
"""Share of rows whose value must be known exactly before bars follow the values."""

_MOST_STEPS = 100_000
"""Steps of a lattice; beyond it, values are as good as continuous."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Bars of equal width; on a logarithmic scale where that was asked for and is needed.

    Args:
        low: left end of the first bar.
        high: right end of the last bar.
        shares: of all non-missing rows, shape (profiles, bars); what lies beyond an end is in the outer bar.
        beyond: share of rows beyond the ends, per profile: (below, above).
        centred: whether each bar stands for the one value in its middle.
        is_logarithmic: whether the bars have equal width in the logarithm of the value.
    """

    low: float
    high: float
    shares: np.ndarray
    beyond: tuple[tuple[float, float], ...]
    centred: bool = False
    is_logarithmic: bool = False

    @property
    def edges(self) -> np.ndarray:
        """Ends of the bars, one more than there are bars."""
        return _edges(self.low, self.high, self.shares.shape[1], is_logarithmic=self.is_logarithmic)


_LAST_DOUBLE = float(np.finfo(np.float64).max)


def histogram(
    bins: NumericBins, profiles: Sequence[NumericProfile], *, bars: int = BARS, may_be_logarithmic: bool = False
) -> Histogram | None:
    """Bars of equal width that hold the bulk of all profiles; None where no profile has a finite value.

    Rows of a bin that can hold one value alone are drawn there; those of a wider bin are spread evenly over it.

    Args:
        bins: cells of the profiles.
        profiles: sides to draw on one scale.
        bars: of a picture whose values are not counts, grades or years.
        may_be_logarithmic: take a logarithmic scale where a linear one would squeeze a side into its first bar.
    """
    fine = fine_bins(bins, profiles)
    ends = [(p.minimum, p.maximum) for p in profiles if p.minimum is not None and p.maximum is not None]
    if not ends:
        return None
    least, greatest = min(low for low, _ in ends), max(high for _, high in ends)
    lower = np.concatenate(([least], fine.edges)).clip(least, greatest)
    upper = np.concatenate((fine.edges, [greatest])).clip(least, greatest)
    lower = np.where(fine.single_valued(), upper, lower)
    # A profile's own extremes say more than a wide bin: a window of one value is drawn as that value.
    stretches = [_within(lower, upper, profile) for profile in profiles]
    low, high = _ends(stretches, fine.counts)
    if not high > low:
        low, high = _around(low)
    values = _values(stretches, fine.counts, low, high)
    lattice = _lattice(values, low, high, bars)
    centred = False
    if lattice is not None:
        low, high, bars, centred = lattice
    linear = _drawn(fine.counts, stretches, _edges(low, high, bars, is_logarithmic=False))
    if may_be_logarithmic and lattice is None and low > 0 and linear[0][:, 0].max() > _SQUEEZED:
        shares, beyond = _drawn(fine.counts, stretches, _edges(low, high, bars, is_logarithmic=True))
        return Histogram(low, high, shares, beyond, is_logarithmic=True)
    return Histogram(low, high, *linear, centred)


def _edges(low: float, high: float, bars: int, *, is_logarithmic: bool) -> np.ndarray:
    steps = np.arange(bars + 1) / bars
    if is_logarithmic:
        return low * (high / low) ** steps
    width = float(high) - float(low)
    # From one end of the doubles to the other the width is none any more.
    return low + width * steps if math.isfinite(width) else low * (1 - steps) + high * steps


def _drawn(
    counts: np.ndarray, stretches: Sequence[tuple[np.ndarray, np.ndarray]], edges: np.ndarray
) -> tuple[np.ndarray, tuple[tuple[float, float], ...]]:
    rows = [_spread(side, left, right, edges) for side, (left, right) in zip(counts, stretches, strict=True)]
    return np.stack([row for row, _ in rows]), tuple(beyond for _, beyond in rows)


def _within(lower: np.ndarray, upper: np.ndarray, profile: NumericProfile) -> tuple[np.ndarray, np.ndarray]:
    if profile.minimum is None or profile.maximum is None:
        return lower, upper
    return lower.clip(profile.minimum, profile.maximum), upper.clip(profile.minimum, profile.maximum)


def _around(value: float) -> tuple[float, float]:
    width = abs(value) * 0.5 or 0.5
    # Around the last double there is room on one side only.
    return max(value - width, -_LAST_DOUBLE), min(value + width, _LAST_DOUBLE)


def _ends(stretches: Sequence[tuple[np.ndarray, np.ndarray]], counts: np.ndarray) -> tuple[float, float]:
    """The stretch that holds all but a half percent at either end of every profile."""
    lows, highs = [], []
    for row, (lower, upper) in zip(counts, stretches, strict=True):
        total = int(row.sum())
        if total == 0:
            continue
        running = np.cumsum(row)
        lows.append(float(lower[int(np.searchsorted(running, _TAIL * total, side="right"))]))
        highs.append(float(upper[int(np.searchsorted(running, (1 - _TAIL) * total, side="left"))]))
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def _values(
    stretches: Sequence[tuple[np.ndarray, np.ndarray]], counts: np.ndarray, low: float, high: float
) -> np.ndarray:
    """Every value between the ends that is known exactly; none where too many rows have an unknown one."""
    found, known, total = [], 0, 0
    for row, (lower, upper) in zip(counts, stretches, strict=True):
        inside = (row > 0) & (upper >= low) & (lower <= high)
        exact = inside & (lower == upper)
        known, total = known + int(row[exact].sum()), total + int(row[inside].sum())
        found.append(upper[exact])
    return np.unique(np.concatenate(found)) if known >= _KNOWN * total else np.empty(0)


def _lattice(values: np.ndarray, low: float, high: float, bars: int) -> tuple[float, float, int, bool] | None:
    """Ends and number of bars that fit evenly spaced values (counts, grades, years); whether each bar is one value.

    Bars of another width would hold now two, now three of the values and look like a comb.
    """
    if values.size < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # values at the end of the doubles are on no lattice
        gap = float(np.diff(values).min())
        steps = (values - values[0]) / gap
    if not steps[-1] < _MOST_STEPS or np.abs(steps - np.round(steps)).max() > 1e-6:
        return None
    first = float(values[0]) + gap * np.floor((low - values[0]) / gap + 0.5)
    number = int(np.floor((high - first) / gap + 0.5)) + 1
    each = 1 if number <= 1.5 * bars else -(-number // bars)
    made = -(-number // each)
    start, end = float(first) - gap / 2, float(first) - gap / 2 + made * each * gap
    return (start, end, made, each == 1) if math.isfinite(start) and math.isfinite(end) else None


def _spread(
    counts: np.ndarray, lower: np.ndarray, upper: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, tuple[float, float]]:
    total = int(counts.sum())
    if total == 0:
        return np.zeros(edges.size - 1), (0.0, 0.0)
    below = _rows_below(edges, counts, lower, upper)
    row = np.diff(below)
    outside = float(below[0]), float(total - below[-1])
    row[0] += outside[0]
    row[-1] += outside[1]
    return row / total, (outside[0] / total, outside[1] / total)


def _rows_below(points: np.ndarray, counts: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Rows at or below each point, rows of a wide bin taken as evenly spread."""
    # A quarter of what spans nearly all doubles: the width of [-1e308, 1.8e308] is beyond the largest of them.
    scale = np.where(np.maximum(np.abs(lower), np.abs(upper)) > 1e300, 0.25, 1.0)
    width = upper * scale - lower * scale
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        part = (points[:, np.newaxis] * scale - lower * scale) / width
    part = np.where(width > 0, np.clip(np.nan_to_num(part), 0.0, 1.0), points[:, np.newaxis] >= upper)
    return np.asarray(part @ counts, dtype=np.float64)
