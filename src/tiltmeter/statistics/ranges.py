"""Rows outside the baseline's least and greatest value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltmeter.statistics.intervals import at_least_p_value
from tiltmeter.statistics.outliers import rows_beyond

if TYPE_CHECKING:
    from tiltmeter.domain.profile import NumericProfile


def out_of_range(
    fence: tuple[int, int], reference: NumericProfile, current: NumericProfile, *, n: int, m: int
) -> tuple[float, float] | None:
    """Share of all rows of the window out of range, and the chance of at least that many without drift.

    Args:
        fence: positions in the edges of pred(least) and of the greatest value of the rows that made the bins.
        reference: the reference side; rows of its own out there (a rolling baseline, bins made from a sample) are
            expected in the window too.
        current: the window.
        n: rows of the window as tests count them.
        m: rows of the reference likewise.

    Returns:
        None where a side has no rows.
    """
    if current.rows < 1 or reference.rows < 1 or n < 1 or m < 1:
        return None
    rows = rows_beyond(current, fence)
    share = rows / current.rows
    outside = rows_beyond(reference, fence) * (m / reference.rows)
    # Two rows of m lie at the very ends, so the next row falls outside with chance 2/m; what the reference itself holds
    # out there comes on top, with twice its standard error.
    likely = min(1.0, (outside + 2.0 + 2.0 * math.sqrt(outside)) / m)
    tested = rows if n == current.rows else math.floor(share * n)
    return share, at_least_p_value(tested, n, likely)
