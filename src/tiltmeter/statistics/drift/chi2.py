"""Pearson's chi-square of the table of cells by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.statistics.shares import has_rows

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Cells

_PARTS = ("chi2_p_value", "chi2_df", "cramers_v")


def _compute(cells: Cells) -> Measured:
    if not has_rows(cells.current, cells.reference) or cells.n < 1 or cells.m < 1:
        return Measured(None, dict.fromkeys(_PARTS), "no_rows")
    both = (cells.current + cells.reference).astype(np.float64)
    filled = both > 0
    both = both[filled]
    rows_current, rows_reference = float(np.add.reduce(cells.current)), float(np.add.reduce(cells.reference))
    rows = rows_current + rows_reference
    expected_current, expected_reference = both * (rows_current / rows), both * (rows_reference / rows)
    value = float(
        np.add.reduce((cells.current[filled] - expected_current) ** 2 / expected_current)
        + np.add.reduce((cells.reference[filled] - expected_reference) ** 2 / expected_reference)
    )
    freedom = both.size - 1
    if freedom < 1:
        return Measured(0.0, {"chi2_p_value": None, "chi2_df": 0, "cramers_v": None}, "one_cell")
    # The table holds rows; the test counts each entity once. Without an entity id both factors are the same number.
    by_rows = rows_current * rows_reference / rows
    by_entities = float(cells.n) * float(cells.m) / (float(cells.n) + float(cells.m))
    p_value = float(chdtrc(freedom, value * (by_entities / by_rows)))
    strength = min(1.0, math.sqrt(value / rows))
    return Measured(value, {"chi2_p_value": p_value, "chi2_df": freedom, "cramers_v": strength})


CHI2 = DriftStatistic(
    name="chi2",
    title="Chi-square",
    kinds=frozenset({FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN}),
    bounds=(0.0, math.inf),
    unit=Unit.NONE,
    definition="Pearson's Σ (O − E)²/E on the 2 × B contingency table of sides by comparison cells, raw counts",
    reading=(
        "Grows with the number of rows, so read `chi2_p_value` for surprise and `cramers_v` (0 to 1) for size: 0.1 is "
        "small, 0.3 medium, 0.5 large. `chi2_df` is B − 1."
    ),
    source="Pearson 1900, Phil. Mag. 50, 157-175; Cramér 1946, Mathematical Methods of Statistics, section 21.9",
    parts=_PARTS,
    compute=_compute,
)
