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
    seen = beyond[1] if n == rows[1] else math.floor(share * n)
    return share, at_least_p_value(seen, n, likely_share(beyond[0], rows[0], m))


def likely_share(beyond: int, rows: int, m: int) -> float:
    """Share of rows that chance puts out of range at most.

    Args:
        beyond: rows of the reference outside the baseline's least and greatest value.
        rows: all rows of the reference, at least 1.
        m: its rows as tests count them, at least 1.
    """
    outside = beyond * (m / rows)
    # Two rows of m lie at the very ends, so the next row falls outside with chance 2/m; what the reference itself holds
    # out there comes on top, with twice its standard error.
    return min(1.0, (outside + 2.0 + 2.0 * math.sqrt(outside)) / m)
