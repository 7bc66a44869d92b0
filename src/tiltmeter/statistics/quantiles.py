"""Quantiles from fine bins."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

QUANTILES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
"""The quantiles of feature statistics."""


def quantiles(
    edges: np.ndarray, below: np.ndarray, limits: tuple[float, float], shares: tuple[float, ...] = QUANTILES
) -> list[float] | None:
    """Smallest values with at least that share of the rows at or below them, up to the width of a fine bin.

    Args:
        edges: upper limits of the fine bins but the last, ascending.
        below: rows up to the end of each fine bin, int64, shape (edges + 1,).
        limits: least and greatest finite value; results are clipped to them.
        shares: in (0, 1].

    Returns:
        The upper edge of the bin that holds the rank, clipped: exact where the bin holds one value. None without rows.
    """
    rows = int(below[-1])
    if rows < 1:
        return None
    least, greatest = limits
    positions = below.searchsorted(_ranks(rows, shares))
    if edges.size == 0:
        return [greatest] * len(shares)
    last = edges.size
    uppers = edges.take(positions, mode="clip").tolist()
    found = [edge if position < last else greatest for position, edge in zip(positions.tolist(), uppers, strict=True)]
    if least <= min(found) and max(found) <= greatest:
        return found
    return [min(greatest, max(least, edge)) for edge in found]


@lru_cache(maxsize=64)
def _ranks(rows: int, shares: tuple[float, ...]) -> np.ndarray:
    # The rank is a whole number: a relative 1e-12 keeps 0.07 · 100 = 7.000000000000001 at rank 7.
    return np.array([min(rows, max(1, math.ceil(share * rows * (1.0 - 1e-12)))) for share in shares], dtype=np.int64)
