"""Shares of rows beyond the baseline's fences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def rows_beyond(below: np.ndarray, fence: tuple[int, int]) -> int:
    """Rows below the lower or above the upper fence.

    Args:
        below: cumulated rows per bin.
        fence: positions in the edges of pred(lower) and of upper; a row beyond is in bin <= lower or bin > upper.
    """
    lower, upper = fence
    return int(below[lower]) + int(below[-1]) - int(below[upper])
