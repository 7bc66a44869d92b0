"""Rows outside the baseline's least and greatest value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltmeter.statistics.intervals import at_least_p_value

if TYPE_CHECKING:
    from tiltmeter.statistics.tested import Tested


def out_of_range(beyond: tuple[int, int], rows: tuple[int, int], tested: Tested) -> tuple[float, float] | None:
    """Share of all rows of the window out of range, and the chance of at least that many without drift.

    Args:
        beyond: rows outside the baseline's least and greatest value, reference and window. Rows of the reference out
            there (a rolling baseline, bins made from a sample) are expected in the window too.
        rows: all rows, reference and window.
        tested: rows as tests count them.

    Returns:
        None where a side has no rows.
    """
    n, m = tested.n, tested.m
    if min(rows) < 1 or n < 1 or m < 1:
        return None
    share = beyond[1] / rows[1]
    outside = beyond[0] * (m / rows[0])
    # Two rows of m lie at the very ends, so the next row falls outside with chance 2/m; what the reference itself holds
    # out there comes on top, with twice its standard error.
    likely = min(1.0, (outside + 2.0 + 2.0 * math.sqrt(outside)) / m)
    seen = beyond[1] if n == rows[1] else math.floor(share * n)
    return share, at_least_p_value(seen, n, likely)
