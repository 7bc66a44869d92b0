"""Which bins can hold one double alone, by hand at the ends of every kind of double."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tiltmeter.statistics.edges import FineBins

LEAST = 5e-324  # the least double above zero
LAST_SUBNORMAL, FIRST_NORMAL = 2.225073858507201e-308, 2.2250738585072014e-308
GREATEST = 1.7976931348623157e308


@pytest.mark.parametrize(
    ("edges", "alone"),
    [
        # Bins are (edge, next edge]; the outer two are open and hold many.
        ([-LEAST, 0.0, LEAST, 2 * LEAST, 1.0], [True, True, True, False]),
        ([-2 * LEAST, -LEAST, 0.0], [True, True]),
        ([-LEAST, -0.0, LEAST], [True, True]),
        ([-2 * LEAST, 0.0], [False]),
        ([-LEAST, LEAST], [False]),
        ([LAST_SUBNORMAL, FIRST_NORMAL], [True]),
        ([-FIRST_NORMAL, -LAST_SUBNORMAL], [True]),
        ([LAST_SUBNORMAL - LEAST, FIRST_NORMAL], [False]),
        ([GREATEST, math.inf], [True]),
        ([-math.inf, -GREATEST], [True]),
        ([-math.inf, math.inf], [False]),
        ([1.0, 1.0000000000000002, 1.0000000000000007], [True, False]),
        ([1.9999999999999998, 2.0, 2.0000000000000004], [True, True]),
        ([-2.0, -1.9999999999999998], [True]),
    ],
)
def test_a_bin_between_neighbouring_doubles_holds_one_value(edges, alone):
    bins = FineBins(np.array(edges), np.zeros((1, len(edges) + 1), dtype=np.int64))
    assert bins.single_valued().tolist() == [False, *alone, False]
