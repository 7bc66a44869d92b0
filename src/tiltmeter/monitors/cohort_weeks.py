"""Precision and recall at k week by week of scoring: weeks that share no lead, up to those that are not mature yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.window import CLOCK_CHANGE, Grain, Window, local_days, nearest
from tiltmeter.monitors.deciles import PRECISION_AT_K, RECALL_AT_K

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.metric import Metric

WEEK = timedelta(days=7)
MOST_WEEKS = 12
"""Matured weeks that are shown at most."""


@dataclass(frozen=True, slots=True, eq=False)
class CohortWeek:
    """Leads of one week of scoring.

    Args:
        start: of the week, aware UTC.
        end: exclusive.
        is_mature: whether enough time has passed to know nearly all conversions.
        precision: precision at k; None where it is not known.
        recall: recall at k, likewise.
    """

    start: datetime
    end: datetime
    is_mature: bool
    precision: Metric | None = None
    recall: Metric | None = None

    def name(self, zone: ZoneInfo) -> str:
        """`01 Nov`: its first day on the zone's calendar."""
        return f"{local_days(Window(self.start, self.end, Grain.WEEK), zone)[0]:%d %b}"


def scored_words(window: Window, zone: ZoneInfo) -> str:
    """`01 Nov to 07 Nov 2026`: days on which the leads of a cohort were scored, both among them."""
    first, last = local_days(window, zone)
    return f"{first:%d %b} to {last:%d %b %Y}"


def cohort_weeks(metrics: Iterable[Metric], *, since: datetime, until: datetime) -> list[CohortWeek]:
    """Weeks in order of time, counted back from the newest matured cohort; open ones up to now behind them.

    Args:
        metrics: of one subject by day, any names; a cohort of a week ends every day.
        since: weeks that end earlier are left out.
        until: now, or the end of what is shown.

    Returns:
        Nothing where no cohort is mature. A matured week without numbers (no leads, or judged by an older release)
        stays in its place.
    """
    by_end: dict[datetime, dict[str, Metric]] = {}
    for metric in metrics:
        if metric.name in (PRECISION_AT_K, RECALL_AT_K):
            by_end.setdefault(metric.window.end, {})[metric.name] = metric
    if not by_end:
        return []
    newest = max(by_end)
    ends = [newest - place * WEEK for place in range(MOST_WEEKS)]
    matured = [_week(end, _nearest(by_end, end)) for end in ends if end > max(since, min(by_end) - CLOCK_CHANGE)]
    opened = [
        CohortWeek(newest + place * WEEK, newest + (place + 1) * WEEK, is_mature=False) for place in range(MOST_WEEKS)
    ]
    return [*reversed(matured), *(week for week in opened if week.start < until)]


def _nearest(by_end: Mapping[datetime, Mapping[str, Metric]], end: datetime) -> Mapping[str, Metric]:
    found = nearest(by_end, end)
    return by_end[found] if found is not None else {}


def _week(end: datetime, found: Mapping[str, Metric]) -> CohortWeek:
    return CohortWeek(
        end - WEEK, end, is_mature=True, precision=found.get(PRECISION_AT_K), recall=found.get(RECALL_AT_K)
    )
