"""Kullback-Leibler divergence of the window from the reference."""

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
    return Measured(max(0.0, float(np.add.reduce(current * np.log(current / reference)))), {})


KL = DriftStatistic(
    name="kl",
    title="Kullback-Leibler divergence",
    kinds=frozenset({FeatureKind.NUMERIC, FeatureKind.DATETIME, FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN}),
    bounds=(0.0, math.inf),
    unit=Unit.NATS,
    definition="Σ cᵢ ln(cᵢ / rᵢ) over the comparison cells, current ‖ reference",
    reading=(
        "0 is no change. Nats lost for each row when the reference's shares stand in for the window's; roughly half of "
        "PSI for small changes. Not symmetric: what is new in the window weighs more than what left it."
    ),
    source="Kullback and Leibler 1951, Ann. Math. Statist. 22, 79-86",
    parts=(),
    compute=_compute,
)
