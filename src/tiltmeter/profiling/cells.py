"""Frozen bins made ready for counting: what a kernel needs besides the values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiltmeter.domain.profile import TAIL_STEPS, NumericBins

# 2^(i/8), i = 0 … 7, written out so that every machine multiplies the same doubles.
_EIGHTHS = (
    1.0,
    1.0905077326652577,
    1.189207115002721,
    1.2968395546510096,
    1.4142135623730951,
    1.5422108254079407,
    1.681792830507429,
    1.8340080864093424,
)
TAIL_WIDTHS = np.array([math.ldexp(_EIGHTHS[i % 8], i // 8 - 2) for i in range(TAIL_STEPS)])
"""2^(i/8 − 2), i = 0 … 327."""


@dataclass(frozen=True, slots=True, eq=False)
class NumericCells:
    """Edges as values of one kind of float meet them.

    Args:
        bins: the frozen cells.
        edges: float64, ascending.
        minimum: the baseline's pred(min), nan without a range.
        maximum: the baseline's max.
    """

    bins: NumericBins
    edges: np.ndarray
    minimum: float
    maximum: float

    def low_limits(self) -> np.ndarray:
        """Limits of the log bins below the baseline's minimum, descending; empty without a range."""
        # Made when asked for: few windows leave the range, and kept for 10,000 features they would take 50 MB.
        with np.errstate(over="ignore"):
            return float(np.nextafter(self.minimum, math.inf)) - self._widths()

    def high_limits(self) -> np.ndarray:
        """Limits of the log bins above the baseline's maximum, ascending; empty without a range."""
        with np.errstate(over="ignore"):
            return self.maximum + self._widths()

    def _widths(self) -> np.ndarray:
        return np.empty(0) if self.bins.range is None else self.bins.scale * TAIL_WIDTHS


def cells_of(bins: NumericBins, *, float32: bool) -> NumericCells:
    """Cells for values that carry the rounding of 32-bit floats, or do not.

    Args:
        bins: the frozen cells.
        float32: whether the column to count holds 32-bit floats.
    """
    edges = float32_edges(bins.edges) if float32 and not bins.float32 else bins.edges
    if bins.range is None:
        return NumericCells(bins, edges, math.nan, math.nan)
    below, above = bins.range
    return NumericCells(bins, edges, float(edges[below]), float(edges[above]))


def float32_edges(edges: np.ndarray) -> np.ndarray:
    """Double edges as 32-bit values meet them: rounded, and the two edges round an atom stay one step apart.

    Rounding keeps order, so a value counted in bin i as a double is counted there as a rounded value too, unless its
    bin is narrower than the rounding.
    """
    with np.errstate(over="ignore"):
        rounded = edges.astype(np.float32)
        atom = np.flatnonzero(np.nextafter(edges[:-1], np.inf) == edges[1:])
        rounded[atom] = np.minimum(rounded[atom], np.nextafter(rounded[atom + 1], np.float32(-np.inf)))
    return np.asarray(np.maximum.accumulate(rounded.astype(np.float64)))
