"""Wasserstein distance from bins: how far values moved on average, in the feature's own unit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Cells

_PARTS = ("wasserstein_in_std",)


def _compute(cells: Cells) -> Measured:
    n, m = cells.values
    if n < 1 or m < 1 or cells.minimum is None or cells.maximum is None:
        return Measured(None, {"wasserstein_in_std": None}, "no_values")
    ends = np.zeros(cells.current_below.size + 1)  # the gap at both ends of every bin
    np.subtract(cells.current_below / n, cells.reference_below / m, out=ends[1:])
    left, right = ends[:-1], ends[1:]
    # The outer bins end at the least and greatest value of both sides; beyond them both distributions are flat.
    limits = np.concatenate(((cells.minimum,), cells.fine_edges, (cells.maximum,)))
    np.minimum(np.maximum(limits, cells.minimum, out=limits), cells.maximum, out=limits)
    # Rows lie evenly inside a bin, so the gap is a straight line: a trapezoid, or two triangles where it crosses 0.
    sizes = np.abs(ends)
    heights = (sizes[:-1] + sizes[1:]) / 2.0
    crossing = (left * right < 0).nonzero()[0]
    heights[crossing] = (left[crossing] ** 2 + right[crossing] ** 2) / (4.0 * heights[crossing])
    with np.errstate(over="ignore", invalid="ignore"):
        distance = float(heights @ (limits[1:] - limits[:-1]))
    if not math.isfinite(distance):
        return Measured(None, {"wasserstein_in_std": None}, "beyond_double_range")
    relative = distance / cells.std_reference if cells.std_reference else None
    if relative is not None and not math.isfinite(relative):
        relative = None
    return Measured(distance, {"wasserstein_in_std": relative}, "std_zero_or_unknown" if relative is None else "")


WASSERSTEIN = DriftStatistic(
    name="wasserstein",
    title="Wasserstein distance",
    kinds=frozenset({FeatureKind.NUMERIC, FeatureKind.DATETIME}),
    bounds=(0.0, math.inf),
    unit=Unit.FEATURE,
    definition="∫ |F_cur(x) − F_ref(x)| dx, rows spread evenly inside each fine bin",
    reading=(
        "The mean distance that values would have to travel to turn one side into the other, in the feature's unit: "
        "for a pure shift it is the shift. `wasserstein_in_std` divides it by the reference's standard deviation. One "
        "huge value moves it, as it moves a mean."
    ),
    source="Vallender 1974, Theory Probab. Appl. 18, 784-786",
    parts=_PARTS,
    compute=_compute,
    order_matters=True,
)
