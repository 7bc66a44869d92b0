"""Quantiles from fine bins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

QUANTILES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
"""The quantiles of feature statistics."""


def quantiles(
    edges: np.ndarray, counts: np.ndarray, limits: tuple[float, float], shares: Sequence[float] = QUANTILES
) -> list[float] | None:
    """Smallest values with at least that share of the rows at or below them, up to the width of a fine bin.

    Args:
        edges: upper limits of the fine bins but the last, ascending.
        counts: rows per fine bin, shape (edges + 1,).
        limits: least and greatest finite value; results are clipped to them.
        shares: in (0, 1].

    Returns:
        The upper edge of the bin that holds the rank, clipped: exact where the bin holds one value. None without rows.
    """
    below = np.cumsum(counts)
    rows = int(below[-1])
    if rows < 1:
        return None
    # The rank is a whole number: a relative 1e-12 keeps 0.07 · 100 = 7.000000000000001 at rank 7.
    ranks = [min(rows, max(1, math.ceil(share * rows * (1.0 - 1e-12)))) for share in shares]
    least, greatest = limits
    found = []
    for position in np.searchsorted(below, ranks, side="left").tolist():
        edge = float(edges[position]) if position < edges.size else greatest
        found.append(min(greatest, max(least, edge)))
    return found
