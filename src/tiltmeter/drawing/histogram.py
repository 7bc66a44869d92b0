"""Shares of rows in bars of equal width, from the fine bins of two profiles."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Bars of equal width.

    Args:
        low: left end of the first bar.
        high: right end of the last bar.
        shares: of all non-missing rows, shape (profiles, bars); what lies beyond an end is in the outer bar.
        beyond: share of rows beyond the ends, per profile: (below, above).
    """

    low: float
    high: float
    shares: np.ndarray
    beyond: tuple[tuple[float, float], ...]


def histogram(bins: NumericBins, profiles: Sequence[NumericProfile], *, bars: int = BARS) -> Histogram | None:
    """Bars of equal width that hold the bulk of all profiles; None where no profile has a finite value.

    Rows of a bin that can hold one value alone are drawn there; those of a wider bin are spread evenly over it.
    """
    fine = fine_bins(bins, profiles)
    ends = [(p.minimum, p.maximum) for p in profiles if p.minimum is not None and p.maximum is not None]
    if not ends:
        return None
    least, greatest = min(low for low, _ in ends), max(high for _, high in ends)
    lower = np.concatenate(([least], fine.edges)).clip(least, greatest)
    upper = np.concatenate((fine.edges, [greatest])).clip(least, greatest)
    lower = np.where(fine.single_valued(), upper, lower)
    low, high = _ends(lower, upper, fine.counts)
    if not high > low:
        low, high = _around(low)
    low, high, bars = _on_lattice(fine.single_valued(), fine.counts, upper, (low, high), bars)
    shares, beyond = [], []
    for counts in fine.counts:
        row, outside = _spread(counts, lower, upper, low, high, bars)
        shares.append(row)
        beyond.append(outside)
    return Histogram(low, high, np.stack(shares), tuple(beyond))


def _around(value: float) -> tuple[float, float]:
    width = abs(value) * 0.5 or 0.5
    return value - width, value + width


def _ends(lower: np.ndarray, upper: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The stretch that holds all but a half percent at either end of every profile."""
    lows, highs = [], []
    for row in counts:
        total = int(row.sum())
        if total == 0:
            continue
        running = np.cumsum(row)
        lows.append(float(lower[int(np.searchsorted(running, _TAIL * total, side="right"))]))
        highs.append(float(upper[int(np.searchsorted(running, (1 - _TAIL) * total, side="left"))]))
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def _on_lattice(
    alone: np.ndarray, counts: np.ndarray, values: np.ndarray, ends: tuple[float, float], bars: int
) -> tuple[float, float, int]:
    """Bars centred on the values where these are few and evenly spaced (counts, grades), else the ends as they are."""
    low, high = ends
    occupied = counts.sum(axis=0) > 0
    inside = occupied & (values >= low) & (values <= high)
    if not np.all(alone[inside][:-1]) or inside.sum() < 2:
        return low, high, bars
    gap = float(np.diff(values[inside]).min())
    steps = (high - low) / gap if gap > 0 else np.inf
    if not steps <= 1.5 * bars or abs(steps - round(steps)) > 1e-6:
        return low, high, bars
    return low - gap / 2, high + gap / 2, round(steps) + 1


def _spread(
    counts: np.ndarray, lower: np.ndarray, upper: np.ndarray, low: float, high: float, bars: int
) -> tuple[np.ndarray, tuple[float, float]]:
    total = int(counts.sum())
    if total == 0:
        return np.zeros(bars), (0.0, 0.0)
    edges = low + (high - low) / bars * np.arange(bars + 1)
    below = _rows_below(edges, counts, lower, upper)
    row = np.diff(below)
    outside = float(below[0]), float(total - below[-1])
    row[0] += outside[0]
    row[-1] += outside[1]
    return row / total, (outside[0] / total, outside[1] / total)


def _rows_below(points: np.ndarray, counts: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Rows at or below each point, rows of a wide bin taken as evenly spread."""
    width = upper - lower
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        part = (points[:, np.newaxis] - lower) / width
    part = np.where(width > 0, np.clip(np.nan_to_num(part), 0.0, 1.0), points[:, np.newaxis] >= upper)
    return np.asarray(part @ counts, dtype=np.float64)
