"""Pearson's chi-square of the table of cells by side."""

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

_PARTS = ("chi2_p_value", "chi2_df", "cramers_v")


def in_columns(filled: FilledCells) -> dict[str, np.ndarray]:
    """Chi-square and its parts of all members, by name; NaN where there is none."""
    value, p_values, freedom, strengths, rows = _columns(filled)
    tested, some = (rows >= 1) & (freedom >= 1), rows >= 1
    return {
        "chi2": np.where(tested, value, np.where(some, 0.0, np.nan)),
        "chi2_df": np.where(some, np.maximum(freedom, 0), np.nan),
        "chi2_p_value": np.where(tested, p_values, np.nan),
        "cramers_v": np.where(tested, strengths, np.nan),
    }


def _columns(filled: FilledCells) -> tuple[np.ndarray, ...]:
    """Value, p-value, degrees of freedom, Cramér's V, and rows of the smaller side."""
    total, spread = filled.stretches.total, filled.stretches.spread
    both = filled.current + filled.reference
    rows_current, rows_reference = total(filled.current), total(filled.reference)
    rows = rows_current + rows_reference
    # A cell without rows expects none and adds nothing.
    expected_current, expected_reference = both * spread(rows_current / rows), both * spread(rows_reference / rows)
    divisors = np.where(both > 0, expected_current, 1.0), np.where(both > 0, expected_reference, 1.0)
    value = total((filled.current - expected_current) ** 2 / divisors[0])
    value += total((filled.reference - expected_reference) ** 2 / divisors[1])
    freedom = total((both > 0).astype(np.int64)) - 1
    # The table holds rows; the test counts each entity once. Without an entity id both factors are the same number.
    by_rows = rows_current * rows_reference / rows
    by_entities = filled.n * filled.m / np.maximum(filled.n + filled.m, 1.0)
    p_values = chdtrc(np.maximum(1, freedom), value * (by_entities / by_rows))
    strengths = np.minimum(1.0, np.sqrt(value / rows))
    return value, p_values, freedom, strengths, np.minimum(filled.n, filled.m)


def _compute_block(block: Block) -> list[Measured]:
    nothing, filled = Measured(None, dict.fromkeys(_PARTS), "no_rows"), block.once(filled_cells)
    if filled is None:
        return [nothing] * len(block.cells)
    found = zip(*(column.tolist() for column in _columns(filled)), strict=True)
    return answered(block, filled.members, (_measured(*row) if row[-1] >= 1 else nothing for row in found), nothing)


def _measured(value: float, p_value: float, freedom: int, strength: float, _rows: float) -> Measured:
    if freedom < 1:
        return Measured(0.0, {"chi2_p_value": None, "chi2_df": 0, "cramers_v": None}, "one_cell")
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
    compute=alone(_compute_block),
    compute_block=_compute_block,
)
