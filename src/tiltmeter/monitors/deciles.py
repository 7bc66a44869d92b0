"""Conversion by tenths of the score: does a higher score mean more customers, and as many as it promised?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

from tiltmeter.domain.metric import Metric
from tiltmeter.statistics.classification import Estimate, calibration_curve
from tiltmeter.statistics.conversion import conversion_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.cohort import Cohort
    from tiltmeter.domain.metric import Status, Subject
    from tiltmeter.domain.window import Window

LIFT = "outcomes.top_decile_lift"

PRECISION_AT_K = "outcomes.precision_at_k"
RECALL_AT_K = "outcomes.recall_at_k"


Details = dict[str, "str | float | int | list[str]"]


class About(TypedDict):
    """What every number of a cohort has in common."""

    subject: Subject
    window: Window
    status: Status


def estimated(
    name: str, found: Estimate | None, *, n: int, details: Details | None = None, **about: Unpack[About]
) -> Metric:
    """An estimate as a metric with its interval; without a value it says why."""
    if found is None:
        missing = left_out(details or {})
        why = f"no revenue; {missing}" if missing else _WHY.get(name, "no customers")
        return Metric(name, value=None, why_missing=why, n_current=n, details=details or {}, **about)
    return Metric(
        name, value=found.value, lower=found.lower, upper=found.upper, n_current=n, details=details or {}, **about
    )


def left_out(details: Mapping[str, object]) -> str:
    """What the details of a number about revenue say of amounts that are not in it; empty where all are."""
    amounts, currencies = details.get("amounts_left_out"), details.get("other_currencies")
    if not isinstance(amounts, int) or not amounts:
        return ""
    named = f"in {', '.join(currencies)}" if isinstance(currencies, list) and currencies else "beyond reason"
    return f"{amounts:,} amount{'s' if amounts > 1 else ''} {named} left out"


_WHY = {
    "outcomes.precision": "no lead was predicted to become a customer",
    "outcomes.auc": "all or none of the leads became customers",
    "outcomes.brier": "no lead has a sound score",
    "outcomes.calibration": "the scores promise no customer",
    "outcomes.revenue_per_lead.median": "no revenue",
}
"""Why a number cannot be given, where it is not for want of customers."""


@dataclass(frozen=True, slots=True)
class ScoreDecile:
    """Leads of similar scores.

    Args:
        leads: about a tenth of the cohort; equal scores stand in one group.
        customers: of them.
        promised: mean score, the conversion that the model expected.
    """

    leads: int
    customers: int
    promised: float

    @property
    def conversion(self) -> Estimate:
        """Share that became customers, with Wilson's 95 % interval."""
        return conversion_rate(self.customers, self.leads) or Estimate(0.0)


def decile_metrics(cohort: Cohort, *, subject: Subject, window: Window, status: Status) -> list[Metric]:
    """What calling the best tenth alone would find: lift, precision and recall at k; the details of the lift keep all.

    k is a tenth of the leads, and whoever scored as high as the last of them. Precision at k is the share of these k
    that became customers, recall at k their share of all customers, both with Wilson's 95 % interval.

    Args:
        cohort: matured leads, with finite scores.
        subject: model, version, segment.
        window: scoring times of the cohort.
        status: of every number of the cohort.
    """
    curve = calibration_curve(cohort.score, cohort.converted)
    kept = [ScoreDecile(one.leads, round(one.observed.value * one.leads), one.predicted) for one in curve]
    leads, customers = int(cohort.converted.size), int(cohort.converted.sum())
    best = kept[-1] if kept else ScoreDecile(0, 0, 0.0)
    precision, recall = conversion_rate(best.customers, best.leads), conversion_rate(best.customers, customers)
    lift = Estimate(precision.value * leads / customers) if precision and customers else None
    lines = [f"{one.leads} {one.customers} {one.promised:.6g}" for one in kept]
    k: Details = {"k": best.leads, "hits": best.customers}
    about = About(subject=subject, window=window, status=status)
    return [
        estimated(LIFT, lift, n=leads, details={"deciles": lines} if lines else {}, **about),
        estimated(PRECISION_AT_K, precision, n=best.leads, details=k, **about),
        estimated(RECALL_AT_K, recall, n=customers, details=k, **about),
    ]


def deciles_kept(metric: Metric) -> list[ScoreDecile]:
    """What the details of an `outcomes.top_decile_lift` say: the tenths, lowest scores first."""
    lines = metric.details.get("deciles")
    found = []
    for line in lines if isinstance(lines, list) else ():
        leads, customers, promised = line.split()
        found.append(ScoreDecile(int(leads), int(customers), float(promised)))
    return found
