"""The outcomes monitor: every day, the leads that have just become mature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.monitors.outcomes import outcome_metrics

if TYPE_CHECKING:
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World

COHORT = timedelta(days=7)
"""Leads of a whole week: every weekday is in each cohort."""


@dataclass(frozen=True, slots=True)
class OutcomeMonitor:
    """Judges the week of leads that ends `mature_after` before the end of the window."""

    name: str = "outcomes"

    def measure(self, model: Model, window: Window, world: World) -> list[Metric]:
        """Conversion, precision, recall, calibration, revenue; the outcome clock says what it still lacks."""
        end = window.end - model.outcomes.mature_after
        cohort_window = replace(window, start=end - COHORT, end=end)
        cohort = world.log.cohort(model, cohort_window, window.end)
        subject = Subject(model.name)
        if not cohort.score.size:
            return []
        metrics = outcome_metrics(
            cohort, subject=subject, window=cohort_window, threshold=model.threshold, min_rows=200
        )
        clock = Metric(
            "outcomes.observed_to_expected_z", subject, cohort_window, None, Status.TOO_LITTLE_HISTORY,
            f"needs {(model.outcomes.attribution + timedelta(days=28)).days} days of outcomes",
            n_current=int(cohort.score.size),
        )  # fmt: skip
        return [*metrics, clock]


OUTCOMES = OutcomeMonitor()
