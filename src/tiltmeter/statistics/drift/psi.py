"""Population stability index: how far the shares of the cells moved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.statistics.blocks import alone, answered, filled_cells

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Block
    from tiltmeter.statistics.blocks import FilledCells

_PARTS = ("psi_p_value", "psi_noise_floor", "psi_lower", "psi_bins")
_ONE_SIDED_95 = 1.645
"""Standard normal quantile at 95 %."""


def _indices(filled: FilledCells, current: np.ndarray, reference: np.ndarray, logs: np.ndarray) -> np.ndarray:
    # maximum: the terms are >= 0 each, but the last digits of a sum over equal shares may not be.
    return np.asarray(np.maximum(0.0, filled.stretches.total((current - reference) * logs)))


def _variances(filled: FilledCells, freedom: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Delta-method variances of PSI, plus the variance it keeps when nothing moved."""
    (current, reference), logs, total = filled.shares, filled.logs, filled.stretches.total
    ratio = current / reference
    by_current = logs + 1.0 - 1.0 / ratio
    by_reference = 1.0 - logs - ratio
    spread_current = total(current * by_current**2) - total(current * by_current) ** 2
    spread_reference = total(reference * by_reference**2) - total(reference * by_reference) ** 2
    n, m = np.maximum(filled.n, 1.0), np.maximum(filled.m, 1.0)
    moved = np.maximum(0.0, spread_current) / n + np.maximum(0.0, spread_reference) / m
    return np.asarray(moved + 2.0 * freedom * both**2)


def in_columns(filled: FilledCells) -> dict[str, np.ndarray]:
    """PSI and its parts of all members, by name; NaN where there is none."""
    index, p_values, floor, lower, freedom, rows = _columns(filled)
    p_values = np.where(freedom >= 1, p_values, np.nan)
    found = {"psi": index, "psi_p_value": p_values, "psi_noise_floor": floor, "psi_lower": lower}
    return {
        "psi_bins": np.where(rows >= 1, freedom + 1.0, np.nan),
        **{name: np.where(rows >= 1, column, np.nan) for name, column in found.items()},
    }


def _columns(filled: FilledCells) -> tuple[np.ndarray, ...]:
    """Index, p-value, noise floor, lower limit, degrees of freedom, and rows of the smaller side."""
    freedom = filled.stretches.sizes - 1
    both = 1.0 / np.maximum(filled.n, 1.0) + 1.0 / np.maximum(filled.m, 1.0)
    index = _indices(filled, *filled.shares, filled.logs)
    floor = freedom * both
    current, reference = filled.halved_shares
    halved = _indices(filled, current, reference, np.log(current / reference))
    p_values = chdtrc(np.maximum(1, freedom), halved / both)
    spread = np.sqrt(_variances(filled, freedom, both))
    lower = np.maximum(0.0, index - floor - _ONE_SIDED_95 * spread)
    return index, p_values, floor, lower, freedom, np.minimum(filled.n, filled.m)


def _compute_block(block: Block) -> list[Measured]:
    nothing, filled = Measured(None, dict.fromkeys(_PARTS), "no_rows"), block.once(filled_cells)
    if filled is None:
        return [nothing] * len(block.cells)
    rows = zip(*(column.tolist() for column in _columns(filled)), strict=True)
    return answered(block, filled.members, (_measured(*row) if row[-1] >= 1 else nothing for row in rows), nothing)


def _measured(index: float, p_value: float, floor: float, lower: float, freedom: int, _rows: float) -> Measured:
    parts = {"psi_p_value": p_value, "psi_noise_floor": floor, "psi_lower": lower, "psi_bins": freedom + 1}
    if freedom < 1:
        return Measured(index, {**parts, "psi_p_value": None}, "one_cell")
    return Measured(index, parts)


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
    compute=alone(_compute_block),
    compute_block=_compute_block,
)
