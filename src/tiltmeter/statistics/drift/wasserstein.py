"""Wasserstein distance from bins: how far values moved on average, in the feature's own unit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.statistics.blocks import alone, answered, fine_gaps

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Block, Cells
    from tiltmeter.statistics.blocks import FineGaps

_PARTS = ("wasserstein_in_std",)


def _compute_block(block: Block) -> list[Measured]:
    nothing, fine = Measured(None, {"wasserstein_in_std": None}, "no_values"), block.once(fine_gaps)
    if fine is None:
        return [nothing] * len(block.cells)
    chosen = [block.cells[member] for member in fine.members]
    with np.errstate(over="ignore", invalid="ignore"):
        distances = fine.stretches.total(_heights(fine) * _widths(fine, chosen)).tolist()
    found = (_measured(distance, cells) for distance, cells in zip(distances, chosen, strict=True))
    return answered(block, fine.members, found, nothing)


def _heights(fine: FineGaps) -> np.ndarray:
    """Mean gap of the shares inside each bin; 0 behind the last bin of a feature."""
    # Rows lie evenly inside a bin, so the gap is a straight line: a trapezoid, or two triangles where it crosses 0.
    gaps = fine.gaps.astype(np.float64, copy=False)
    gaps = gaps / fine.stretches.spread(np.array([float(n * m) for n, m in fine.values]))
    left, right, sizes = gaps[:-1], gaps[1:], np.abs(gaps)
    heights = np.zeros(gaps.size)
    inner = heights[:-1]
    np.add(sizes[:-1], sizes[1:], out=inner)
    inner *= 0.5
    crossing = (left * right < 0).nonzero()[0]
    inner[crossing] = (left[crossing] ** 2 + right[crossing] ** 2) / (4.0 * inner[crossing])
    heights[fine.stretches.starts + fine.stretches.sizes - 1] = 0.0
    return heights


def _widths(fine: FineGaps, chosen: list[Cells]) -> np.ndarray:
    """Width of each bin; the outer ones end at the least and greatest value of both sides, beyond them it is flat."""
    limits = np.zeros(fine.gaps.size)
    for start, cells in zip(fine.stretches.starts.tolist(), chosen, strict=True):
        if cells.minimum is None or cells.maximum is None:
            continue  # `_measured` gives no value: infinities alone
        end = start + cells.fine_edges.size + 1
        inner = limits[start + 1 : end]
        np.minimum(np.maximum(cells.fine_edges, cells.minimum, out=inner), cells.maximum, out=inner)
        limits[start], limits[end] = cells.minimum, cells.maximum
    widths = np.zeros(limits.size)
    np.subtract(limits[1:], limits[:-1], out=widths[:-1])
    widths[fine.stretches.starts + fine.stretches.sizes - 1] = 0.0
    return widths


def _measured(distance: float, cells: Cells) -> Measured:
    if cells.minimum is None or cells.maximum is None:
        return Measured(None, {"wasserstein_in_std": None}, "no_values")
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
    compute=alone(_compute_block),
    compute_block=_compute_block,
    order_matters=True,
)
