"""Conversion by tenths of the score: does a higher score mean more customers, and as many as it promised?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.statistics.classification import Estimate, calibration_curve
from tiltmeter.statistics.conversion import conversion_rate

if TYPE_CHECKING:
    from tiltmeter.domain.cohort import Cohort
    from tiltmeter.domain.window import Window

LIFT = "outcomes.top_decile_lift"

_GREATEST_SCORE = 1e100
"""No probability and no points of a scorecard: a broken row, whose sum with others would overflow."""


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


def decile_metric(cohort: Cohort, *, subject: Subject, window: Window, status: Status) -> Metric:
    """How many times as often the best tenth converts as all leads; the details keep every tenth.

    Args:
        cohort: matured leads.
        subject: model, version, segment.
        window: scoring times of the cohort.
        status: of every number of the cohort.
    """
    known = np.isfinite(cohort.score) & (np.abs(cohort.score) < _GREATEST_SCORE)
    converted = cohort.converted[known]
    curve = calibration_curve(cohort.score[known], converted)
    kept = [ScoreDecile(one.leads, round(one.observed.value * one.leads), one.predicted) for one in curve]
    leads, customers = int(converted.size), int(converted.sum())
    lift = kept[-1].conversion.value * leads / customers if customers else None
    lines = [f"{one.leads} {one.customers} {one.promised:.6g}" for one in kept]
    return Metric(
        LIFT, subject, window, lift, status, "" if lift is not None else "no customers", n_current=leads,
        details={"deciles": lines} if lines else {},
    )  # fmt: skip


def deciles_kept(metric: Metric) -> list[ScoreDecile]:
    """What the details of an `outcomes.top_decile_lift` say: the tenths, lowest scores first."""
    lines = metric.details.get("deciles")
    found = []
    for line in lines if isinstance(lines, list) else ():
        leads, customers, promised = line.split()
        found.append(ScoreDecile(int(leads), int(customers), float(promised)))
    return found
