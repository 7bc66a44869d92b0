"""Jensen-Shannon distance: a bounded, symmetric divergence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.statistics.shares import has_rows, shares

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Cells


def _compute(cells: Cells) -> Measured:
    if not has_rows(cells.current, cells.reference):
        return Measured(None, {}, "no_rows")
    current, reference = shares(cells.current, cells.reference)
    middle = (current + reference) / 2.0
    divergence = float(
        np.add.reduce(current * np.log2(current / middle)) + np.add.reduce(reference * np.log2(reference / middle))
    )
    return Measured(math.sqrt(min(1.0, max(0.0, divergence / 2.0))), {})


JS = DriftStatistic(
    name="js_distance",
    title="Jensen-Shannon distance",
    kinds=frozenset({FeatureKind.NUMERIC, FeatureKind.DATETIME, FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN}),
    bounds=(0.0, 1.0),
    unit=Unit.NONE,
    definition="√(½ Σ cᵢ log₂(cᵢ/aᵢ) + ½ Σ rᵢ log₂(rᵢ/aᵢ)), aᵢ = (cᵢ + rᵢ)/2, over the comparison cells",
    reading=(
        "0 for equal shares, 1 for sides that have no cell in common. Symmetric, and a metric: distances obey the "
        "triangle inequality, so several windows can be laid out by it."
    ),
    source="Endres and Schindelin 2003, IEEE Trans. Inf. Theory 49, 1858-1860",
    parts=(),
    compute=_compute,
)
