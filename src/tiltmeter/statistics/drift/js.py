"""Jensen-Shannon distance: a bounded, symmetric divergence."""

from __future__ import annotations

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
    """The distance of all members."""
    current, reference = filled.shares
    middle = (current + reference) / 2.0
    total = filled.stretches.total
    divergences = total(current * np.log2(current / middle)) + total(reference * np.log2(reference / middle))
    return {"js_distance": np.sqrt(np.minimum(1.0, np.maximum(0.0, divergences / 2.0)))}


def _compute_block(block: Block) -> list[Measured]:
    nothing, filled = Measured(None, {}, "no_rows"), block.once(filled_cells)
    if filled is None:
        return [nothing] * len(block.cells)
    found = in_columns(filled)["js_distance"].tolist()
    return answered(block, filled.members, (Measured(value, {}) for value in found), nothing)


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
    compute=alone(_compute_block),
    compute_block=_compute_block,
)
