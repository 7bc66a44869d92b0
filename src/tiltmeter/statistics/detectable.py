"""What a window of this size can tell from no drift."""

from __future__ import annotations

import math
from functools import lru_cache

from scipy.special import chdtri, chndtrinc

_FALSE_ALARMS = 0.01
"""Of all features of a run together."""

_POWER = 0.8
"""Chance of seeing a change of exactly this size."""


@lru_cache(maxsize=4096)
def _noncentrality(freedom: int, tests: int) -> float:
    critical = float(chdtri(freedom, _FALSE_ALARMS / tests))
    # P(χ′² <= critical) = 1 − power, solved for the noncentrality.
    return float(chndtrinc(critical, freedom, 1.0 - _POWER))


def minimum_detectable(cells: int, *, n: int, m: int, tests: int) -> float | None:
    """The least PSI that this window would show in 8 of 10 cases, at 1 % false alarms over all tests of the run.

    Args:
        cells: comparison cells, B.
        n: rows of the window as tests count them.
        m: rows of the reference likewise.
        tests: p-values in the run, the score's included.

    Returns:
        λ·(1/n + 1/m), λ the noncentrality of a chi-square with B − 1 degrees of freedom; None where nothing is tested.
    """
    if cells < 2 or n < 1 or m < 1 or tests < 1:
        return None
    value = _noncentrality(cells - 1, tests) * (1.0 / n + 1.0 / m)
    return value if math.isfinite(value) else None
