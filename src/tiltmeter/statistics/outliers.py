"""Shares of rows beyond the baseline's fences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tiltmeter.domain.profile import NumericProfile


def rows_beyond(profile: NumericProfile, fence: tuple[int, int]) -> int:
    """Rows below the lower or above the upper fence.

    Args:
        profile: one side.
        fence: positions in the edges of pred(lower) and of upper; a row beyond is in bin <= lower or bin > upper.
    """
    lower, upper = fence
    return int(np.add.reduce(profile.counts[: lower + 1])) + int(np.add.reduce(profile.counts[upper + 1 :]))


def share_beyond(profile: NumericProfile, fence: tuple[int, int]) -> float | None:
    """Rows beyond the fence as a share of all rows, missing included; None without rows."""
    return rows_beyond(profile, fence) / profile.rows if profile.rows else None
