"""Population stability index: how far the shares of the cells moved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.statistics.shares import has_rows, shares

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Cells

_PARTS = ("psi_p_value", "psi_noise_floor", "psi_lower", "psi_bins")
_ONE_SIDED_95 = 1.645
"""Standard normal quantile at 95 %."""


def _index(current: np.ndarray, reference: np.ndarray) -> float:
    # max: the terms are >= 0 each, but the last digits of a sum over equal shares may not be.
    return max(0.0, float(np.add.reduce((current - reference) * np.log(current / reference))))


def _variance(current: np.ndarray, reference: np.ndarray, n: int, m: int) -> float:
    """Delta-method variance of PSI, plus the variance it keeps when nothing moved."""
    ratio = current / reference
    logs = np.log(ratio)
    by_current = logs + 1.0 - 1.0 / ratio
    by_reference = 1.0 - logs - ratio
    spread_current = float(current @ by_current**2 - (current @ by_current) ** 2)
    spread_reference = float(reference @ by_reference**2 - (reference @ by_reference) ** 2)
    both = 1.0 / n + 1.0 / m
    return max(0.0, spread_current) / n + max(0.0, spread_reference) / m + 2.0 * (current.size - 1) * both**2


def _compute(cells: Cells) -> Measured:
    if not has_rows(cells.current, cells.reference) or cells.n < 1 or cells.m < 1:
        return Measured(None, dict.fromkeys(_PARTS), "no_rows")
    freedom = cells.current.size - 1
    current, reference = shares(cells.current, cells.reference)
    index = _index(current, reference)
    both = 1.0 / cells.n + 1.0 / cells.m
    floor = freedom * both
    p_value = None
    if freedom > 0:
        halved = _index(*shares(cells.current, cells.reference, always=True))
        p_value = float(chdtrc(freedom, halved / both))
    spread = math.sqrt(_variance(current, reference, cells.n, cells.m))
    lower = max(0.0, index - floor - _ONE_SIDED_95 * spread)
    parts = {"psi_p_value": p_value, "psi_noise_floor": floor, "psi_lower": lower, "psi_bins": freedom + 1}
    return Measured(index, parts, "one_cell" if p_value is None else "")


PSI = DriftStatistic(
    name="psi",
    title="Population stability index",
    kinds=frozenset({FeatureKind.NUMERIC, FeatureKind.DATETIME, FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN}),
    bounds=(0.0, math.inf),
    unit=Unit.NONE,
    definition="Σ (cᵢ − rᵢ) ln(cᵢ / rᵢ) over the comparison cells",
    reading=(
        "0 is no change. On a normal feature 0.25 is a shift of 0.51 standard deviations (or a spread × 1.6) and 0.5 a "
        "shift of 0.73. Without drift it lies near `psi_noise_floor` = (B − 1)(1/n + 1/m); `psi_lower` is the value "
        "that drift reaches with 95 % confidence; `psi_p_value` is the chance of at least this value without drift."
    ),
    source=(
        "Kullback and Leibler 1951, Ann. Math. Statist. 22, 79-86 (the symmetric divergence J); null distribution: "
        "Yurdakul and Naranjo 2020, J. Risk Model Validation 14(4)"
    ),
    parts=_PARTS,
    compute=_compute,
)
