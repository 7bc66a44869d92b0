"""Conversion and revenue of leads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.statistics.classification import Estimate
from tiltmeter.statistics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRIMMED = 100
"""One lead in so many is left out at either end of the trimmed mean."""


def conversion_rate(converted: int, leads: int) -> Estimate | None:
    """Share of leads that became customers with Wilson's 95 % interval; None without leads.

    Args:
        converted: leads that became customers.
        leads: all leads of the cohort.
    """
    interval = wilson(converted, leads)
    return None if interval is None else Estimate(converted / leads, *interval)


@dataclass(frozen=True, slots=True)
class Revenue:
    """Revenue of a cohort in one currency.

    Args:
        per_lead: mean over all leads.
        median: of the leads that paid anything; None where none did.
        trimmed: mean over all leads without the largest and smallest 1 %: one deal of 50,000,000 stands in a real data
            set whose other values are mostly 0.
        leads: all leads of the cohort.
        paying: leads with revenue.
    """

    per_lead: float
    median: float | None
    trimmed: float
    leads: int
    paying: int


def revenue(amounts: Sequence[float] | np.ndarray, leads: int) -> Revenue | None:
    """Revenue per lead of a cohort; sums are rounded once, so no order of adding can change them.

    Args:
        amounts: revenue per lead that brought any; refunds are negative, zeros may be left out.
        leads: all leads of the cohort, at least `len(amounts)`.

    Returns:
        None without leads.
    """
    every = np.zeros(max(leads, len(amounts)))
    if not every.size:
        return None
    every[: len(amounts)] = amounts
    every.sort()
    cut = every.size // _TRIMMED
    kept, paid = every[cut : every.size - cut], every[every != 0.0]
    return Revenue(
        per_lead=math.fsum(every.tolist()) / every.size,
        median=float(np.median(paid)) if paid.size else None,
        trimmed=math.fsum(kept.tolist()) / kept.size,
        leads=every.size,
        paying=paid.size,
    )
