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
    order = np.argsort(values, kind="stable")
    raised = values[order] * values.size / np.arange(1, values.size + 1)
    lowered = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    found = np.empty(values.size)
    found[order] = lowered
    return dict(zip(names, found.tolist(), strict=True))
