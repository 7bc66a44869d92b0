"""Kolmogorov-Smirnov statistic from bins, with a certain upper limit of the exact value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import kolmogorov

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import DriftStatistic, Measured

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import Cells

_PARTS = ("ks_upper", "ks_p_value")
_SAFE_PRODUCT = 2**62
"""Up to here products of counts stay exact in 64 bits."""


def _effective(values: int, cells: np.ndarray, tests_count: int) -> float:
    """Non-missing rows as tests count them: scaled down where distinct entities are fewer than rows."""
    rows = int(np.add.reduce(cells))
    return values * (tests_count / rows) if rows > tests_count else float(values)


def _from_zero(below: np.ndarray) -> np.ndarray:
    """Rows up to each limit of a bin, the lower limit of the first one included."""
    whole = np.zeros(below.size + 1, dtype=below.dtype)
    whole[1:] = below
    return whole


def _compute(cells: Cells) -> Measured:
    n, m = cells.values
    if n < 1 or m < 1:
        return Measured(None, dict.fromkeys(_PARTS), "no_values")
    exact = np.int64 if n * m <= _SAFE_PRODUCT else object
    # Gaps in whole rows² at the upper limit of every bin: floats would break the bound in the last digit.
    current = _from_zero(cells.current_below.astype(exact, copy=False) * m)
    reference = _from_zero(cells.reference_below.astype(exact, copy=False) * n)
    gaps = current - reference
    widest = max(int(np.maximum.reduce(gaps)), -int(np.minimum.reduce(gaps)))
    shared = (~cells.single_valued).nonzero()[0]
    inside = widest
    if shared.size:
        # One side's limit of the bin against the other side's start of it.
        ends = shared + 1
        above = current.take(ends) - reference.take(shared)
        below = reference.take(ends) - current.take(shared)
        inside = max(int(np.maximum.reduce(above)), int(np.maximum.reduce(below)))
    ks = widest / (n * m)
    n_test, m_test = _effective(n, cells.current, cells.n), _effective(m, cells.reference, cells.m)
    p_value = float(kolmogorov(ks * math.sqrt(n_test * m_test / (n_test + m_test))))
    return Measured(ks, {"ks_upper": max(widest, inside) / (n * m), "ks_p_value": p_value})


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
    compute=_compute,
    order_matters=True,
)
