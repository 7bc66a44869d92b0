"""Kolmogorov-Smirnov statistic from bins, with a certain upper limit of the exact value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import kolmogorov

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.statistics.blocks import alone, answered, fine_gaps

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Block, Cells
    from tiltmeter.statistics.blocks import FineGaps

_PARTS = ("ks_upper", "ks_p_value")


def p_values(ks: np.ndarray, current: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Chance of at least these gaps without drift.

    Args:
        ks: the statistics.
        current: non-missing rows of the windows as tests count them.
        reference: of the reference likewise.

    Returns:
        In [0, 1]; NaN where no row of both sides is counted.
    """
    total = np.asarray(current + reference, np.float64)
    rows = np.divide(current * reference, total, out=np.full(total.shape, np.nan), where=total > 0.0)
    return np.asarray(kolmogorov(ks * np.sqrt(rows)))


def effective(values: np.ndarray, rows: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Non-missing rows as tests count them: scaled down where distinct entities are fewer than rows.

    Args:
        values: non-missing rows.
        rows: all rows, at least 1.
        tested: all rows as tests count them.
    """
    return np.where(rows > tested, values * (tested / rows), values)


def _compute_block(block: Block) -> list[Measured]:
    nothing, fine = Measured(None, dict.fromkeys(_PARTS), "no_values"), block.once(fine_gaps)
    if fine is None:
        return [nothing] * len(block.cells)
    chosen = [block.cells[member] for member in fine.members]
    rows = [n * m for n, m in fine.values]
    widest = [int(gap) for gap in fine.widest.tolist()]
    inside = [int(gap) for gap in fine.stretches.greatest(_inside(fine, chosen)).tolist()]
    ks = [gap / of for gap, of in zip(widest, rows, strict=True)]
    upper = [max(gap, within) / of for gap, within, of in zip(widest, inside, rows, strict=True)]
    chances = p_values(np.array(ks), *_tested(fine.values, chosen))
    known = [None if math.isnan(chance) else chance for chance in chances.tolist()]
    rows_of = zip(ks, upper, known, strict=True)
    measured = (Measured(value, {"ks_upper": limit, "ks_p_value": chance}) for value, limit, chance in rows_of)
    return answered(block, fine.members, measured, nothing)


def _inside(fine: FineGaps, chosen: list[Cells]) -> np.ndarray:
    """The widest gap that values inside each bin could make, in whole rows²; 0 where the bin holds one double."""
    shared = np.zeros(fine.gaps.size, dtype=bool)
    for start, cells in zip(fine.stretches.starts.tolist(), chosen, strict=True):
        np.logical_not(cells.single_valued, out=shared[start : start + cells.single_valued.size])
    # One side's end of the bin against the other side's start of it: D at an end and the bin's own rows beside it.
    widest = np.zeros(fine.gaps.size, dtype=fine.gaps.dtype)
    np.maximum(fine.gaps[1:], -fine.gaps[:-1], out=widest[:-1])
    widest[:-1] += fine.reference[1:] - fine.reference[:-1]
    return np.where(shared, widest, 0)


def _tested(values: list[tuple[int, int]], chosen: list[Cells]) -> tuple[np.ndarray, np.ndarray]:
    """Non-missing rows of both sides as tests count them, the window's first."""
    rows = np.array([(np.add.reduce(cells.current), np.add.reduce(cells.reference)) for cells in chosen], np.float64)
    tested = np.array([(cells.n, cells.m) for cells in chosen], np.float64)
    current, reference = effective(np.array(values, np.float64), rows, tested).T
    return current, reference


KS = DriftStatistic(
    name="ks",
    title="Kolmogorov-Smirnov",
    kinds=frozenset({FeatureKind.NUMERIC, FeatureKind.DATETIME}),
    bounds=(0.0, 1.0),
    unit=Unit.SHARE,
    definition="max |F_cur − F_ref| at the fine edges, missing values left out, infinities in the outer bins",
    reading=(
        "The widest gap between the two cumulative distributions: 0.2 says that somewhere 20 points more of the rows "
        "lie below. The statistic on the raw values lies between `ks` and `ks_upper`. `ks_p_value` is an upper limit "
        "of the p-value, very conservative on columns with few different values."
    ),
    source="Smirnov 1948, Ann. Math. Statist. 19, 279-281; Massey 1951, J. Amer. Statist. Assoc. 46, 68-78",
    parts=_PARTS,
    compute=alone(_compute_block),
    compute_block=_compute_block,
    order_matters=True,
)
