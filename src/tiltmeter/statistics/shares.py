"""Counts as shares, with the one rule for empty cells."""

from __future__ import annotations

import numpy as np

PSEUDO_ROWS = 0.5
"""Rows added to every cell of both sides once any cell is empty.

Half a row costs what the sample can support. A fixed epsilon would let PSI grow with the number of empty cells: 54 %
of windows without drift above 0.25 at 1,000 rows and 20 cells.
"""


def shares(current: np.ndarray, reference: np.ndarray, *, always: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Shares of both sides, half a row added to all cells if any cell is empty on either side, else the plain shares.

    Args:
        current: rows per cell, shape (B,), B >= 1.
        reference: same cells.
        always: add the half row even where no cell is empty, as the p-value of PSI does.

    Returns:
        Shares of the current and of the reference side; each sums to 1, and all are above 0.
    """
    # count_nonzero and add.reduce skip the Python layers of ndarray.all and .sum, which matter at 10,000 features.
    if always or np.count_nonzero(current) < current.size or np.count_nonzero(reference) < reference.size:
        current, reference = current + PSEUDO_ROWS, reference + PSEUDO_ROWS
    return current / np.add.reduce(current), reference / np.add.reduce(reference)


def has_rows(current: np.ndarray, reference: np.ndarray) -> bool:
    """Whether both sides hold at least one row in these cells."""
    return bool(np.count_nonzero(current)) and bool(np.count_nonzero(reference))
