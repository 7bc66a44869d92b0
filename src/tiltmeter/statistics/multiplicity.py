"""Many tests at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


def q_values(p_values: Mapping[str, float | None]) -> dict[str, float]:
    """Benjamini-Hochberg q-values of one family.

    Args:
        p_values: by name; None is no test and gets no q-value.

    Returns:
        By name: the least false discovery rate at which this test would be called, in [0, 1].

    Source: Benjamini and Hochberg 1995, J. R. Statist. Soc. B 57, 289-300.
    """
    names = [name for name, p in p_values.items() if p is not None]
    if not names:
        return {}
    values = np.array([p for p in p_values.values() if p is not None], dtype=np.float64)
    return dict(zip(names, q_columns(values[:, None])[:, 0].tolist(), strict=True))


def q_columns(p_values: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg q-values of several families at once.

    Args:
        p_values: a column a family, NaN for no test, shape (tests, families).

    Returns:
        Of the same shape, NaN where there is no test.
    """
    order = np.argsort(p_values, axis=0, kind="stable")  # NaN comes last
    tests = np.count_nonzero(~np.isnan(p_values), axis=0)
    raised = np.take_along_axis(p_values, order, axis=0) * tests / np.arange(1, len(p_values) + 1)[:, None]
    lowered = np.fmin(1.0, np.fmin.accumulate(raised[::-1], axis=0)[::-1])
    lowered[np.arange(len(p_values))[:, None] >= tests] = np.nan
    found = np.empty(p_values.shape)
    np.put_along_axis(found, order, lowered, axis=0)
    return found
