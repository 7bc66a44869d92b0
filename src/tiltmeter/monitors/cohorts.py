"""The outcomes monitor: every day, the leads that have just become mature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.window import CLOCK_CHANGE
from tiltmeter.monitors.outcomes import outcome_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tiltmeter.domain.cohort import Cohort
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World

COHORT = timedelta(days=7)
"""Leads of a whole week: every weekday is in each cohort."""

MOST_PARTS = 50
"""Values of one segment column, and versions, whose outcomes are kept apart."""


def cohort_span(
    model: Model, start: datetime, end: datetime, *, before: timedelta = COHORT + CLOCK_CHANGE
) -> tuple[datetime, datetime]:
    """Between which moments the cohorts end that the days from `start` to `end` judged: what to ask the store for.

    Numbers about outcomes are stored by the end of their cohort, which lies `mature_after` before the day that judged.

    Args:
        model: whose cohorts.
        start: of the days that judged, aware UTC.
        end: likewise.
        before: how much further back, for the cohorts that these are compared with.
    """
    mature = model.outcomes.mature_after
    return start - mature - before, end - mature


@dataclass(frozen=True, slots=True)
class OutcomeMonitor:
    """Judges the week of leads that ends `mature_after` before the end of the window."""

    name: str = "outcomes"

    def measure(self, model: Model, window: Window, world: World) -> list[Metric]:
        """Conversion, precision, recall, calibration, revenue, of all leads and of each version and segment.

        The outcome clock says what it still lacks.
        """
        end = window.end - model.outcomes.mature_after
        cohort_window = replace(window, start=end - COHORT, end=end)
        cohort = world.log.cohort(model, cohort_window, window.end)
        subject = Subject(model.name)
        if not cohort.score.size:
            return []
        if not cohort.is_told:
            return [_untold(subject, cohort_window, int(cohort.score.size))]
        metrics = [
            metric
            for about, part in ((subject, cohort), *_parts(model, cohort))
            for metric in outcome_metrics(
                part, subject=about, window=cohort_window, threshold=model.threshold, min_rows=200
            )
        ]
        clock = Metric(
            "outcomes.observed_to_expected_z", subject, cohort_window, None, Status.TOO_LITTLE_HISTORY,
            f"needs {(model.outcomes.attribution + timedelta(days=28)).days} days of outcomes",
            n_current=int(cohort.score.size),
        )  # fmt: skip
        return [*metrics, clock]


def _untold(subject: Subject, window: Window, leads: int) -> Metric:
    """A rate of nothing would read as if every lead had been lost."""
    return Metric(
        "outcomes.conversion_rate", subject, window, None, Status.NO_DATA, "no outcome was reported", n_current=leads
    )


def _parts(model: Model, cohort: Cohort) -> Iterator[tuple[Subject, Cohort]]:
    """Every model version, where several scored, and every segment: those with most leads."""
    for column in cohort.values:
        names, counts = np.unique(cohort.values[column].astype(str), return_counts=True)
        known = [(int(n), str(name)) for name, n in zip(names, counts, strict=True) if name]
        is_segment = column in model.segments
        if not is_segment and len(known) < 2:
            continue
        for _, name in sorted(known, reverse=True)[:MOST_PARTS]:
            subject = Subject(model.name, "", "", column, name) if is_segment else Subject(model.name, name)
            yield subject, cohort.where(column, name)


OUTCOMES = OutcomeMonitor()
