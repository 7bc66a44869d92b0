"""Kullback-Leibler divergence of the window from the reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.statistics.blocks import alone, answered, filled_cells

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Block
    from tiltmeter.statistics.blocks import FilledCells


def in_columns(filled: FilledCells) -> dict[str, np.ndarray]:
    """The divergence of all members."""
    return {"kl": np.maximum(0.0, filled.stretches.total(filled.shares[0] * filled.logs)) + 0.0}


def _compute_block(block: Block) -> list[Measured]:
    nothing, filled = Measured(None, {}, "no_rows"), block.once(filled_cells)
    if filled is None:
        return [nothing] * len(block.cells)
    found = in_columns(filled)["kl"].tolist()
    return answered(block, filled.members, (Measured(value, {}) for value in found), nothing)


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
    compute=alone(_compute_block),
    compute_block=_compute_block,
)
