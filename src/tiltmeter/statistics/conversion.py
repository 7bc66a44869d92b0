"""Conversion and revenue of leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """Revenue of a cohort in minor units of one currency (cents).

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


def revenue(minor_units: Sequence[int], leads: int) -> Revenue | None:
    """Revenue per lead of a cohort; sums are integers, so no order of adding can change them.

    Args:
        minor_units: revenue per lead that brought any; refunds are negative, zeros may be left out.
        leads: all leads of the cohort, at least `len(minor_units)`.

    Returns:
        None without leads.
    """
    leads = max(leads, len(minor_units))
    if leads == 0:
        return None
    paid = sorted(value for value in minor_units if value != 0)
    cut, zeros = leads // _TRIMMED, leads - len(paid)
    lowest = _sum_of_lowest(paid, zeros, cut)
    highest = -_sum_of_lowest([-value for value in reversed(paid)], zeros, cut)
    return Revenue(
        per_lead=sum(paid) / leads,
        median=_median(paid),
        trimmed=(sum(paid) - lowest - highest) / (leads - 2 * cut),
        leads=leads,
        paying=len(paid),
    )


def _median(paid: Sequence[int]) -> float | None:
    if not paid:
        return None
    middle = len(paid) // 2
    return float(paid[middle]) if len(paid) % 2 else (paid[middle - 1] + paid[middle]) / 2


def _sum_of_lowest(paid: Sequence[int], zeros: int, cut: int) -> int:
    """Sum of the `cut` lowest of sorted payments and so many zeros: refunds, zeros, then the smallest payments."""
    refunds = sum(value < 0 for value in paid)
    lowest = paid[: min(cut, refunds)]
    beyond_zeros = max(0, cut - len(lowest) - zeros)
    return sum(lowest) + sum(paid[refunds : refunds + beyond_zeros])
