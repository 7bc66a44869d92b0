"""What goes wrong in the history, when, and which alerts may come of it: the declared truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.demo.world import JOB_GRACE, JOB_HOUR, JOB_NAME
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np

    from tiltmeter.demo.world import Period

SCORE = "score"
ROUTE = "POST /score"

UNIT_FACTOR = 100.0
NEW_LEVEL_SHARE = 0.15
MISSING_SHARE = 0.30
SLOW_FACTOR = 18.0
"""Latencies of the slow deploy against usual ones (median 25 ms): P95 about one second."""

ERROR_SHARE = 0.09
SCORE_SHIFT = 1.5
"""Shift of the log-odds in their own standard deviations: a retrained version whose intercept was forgotten."""

CONVERSION_FACTOR = 0.35

UNIT_SUBJECTS = ("company_size", "annual_revenue", "distance_km", "minutes_on_site")
LEVEL_SUBJECTS = {"lead_source": "partner-x", "industry": "aerospace", "plan_interest": "plus", "device": "tv"}
MISSING_SUBJECTS = ("annual_revenue", "website_visits", "language", "job_title", "emails_opened", "domain_age")
FALLING_SOURCE = "paid-search"

MIN_DAYS, MAX_DAYS = 8, 120
_QUIET_START = timedelta(days=3)
_SHORTEST_SLOT = 6
"""Days of a slot: two with a long incident, two until daily rules have recovered, one with a short one, one quiet."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One planted incident.

    Args:
        id: `unit-change` … `conversion-fall`.
        kind: feature, score, service, job or outcome.
        subject: feature name, `score`, a route or a job name.
        start: aware UTC; of a job, the moment from which it is late.
        end: exclusive.
        severity: the worst that its alerts reach.
        may_move: subjects whose alerts belong to it.
        required: whether it has to be found.
        level: name of the new level, empty for other kinds.
    """

    id: str
    kind: str
    subject: str
    start: datetime
    end: datetime
    severity: Severity
    may_move: tuple[str, ...]
    required: bool = True
    level: str = ""


def plan_incidents(rng: np.random.Generator, period: Period) -> tuple[Incident, ...]:
    """Place the incidents with room between them and quiet stretches around.

    The history is cut into up to four slots. Each holds a long incident of some thirty-six hours and, where the slot
    has room, a short one four days later, so that a daily rule has recovered before the next thing happens.

    Args:
        rng: the only source of chance.
        period: whole days, 8 to 120; a short one holds fewer incidents.

    Returns:
        In order of their start.

    Raises:
        UsageError: the history is too short or too long.
    """
    days = (period.end - period.start).days
    if not MIN_DAYS <= days <= MAX_DAYS:
        raise UsageError(f"a history of {days} days cannot be built", hint=f"use {MIN_DAYS} to {MAX_DAYS} days")
    slots = min(4, max(1, (days - 4) // _SHORTEST_SLOT))
    step = (days - 4) // slots
    long_ones = [_LONG[i] for i in rng.permutation(4)[:slots]]
    short_ones = [_SHORT[i] for i in rng.permutation(3)]
    planted: list[Incident] = []
    for slot, plan in enumerate(long_ones):
        first = period.start + _QUIET_START + timedelta(days=slot * step)
        planted.append(plan(rng, first + timedelta(hours=int(rng.integers(5, 10)))))
        if step >= _SHORTEST_SLOT and short_ones:
            planted.append(short_ones.pop()(rng, first + timedelta(days=4)))
    fall = period.start + timedelta(days=days // 3)
    planted.append(
        Incident(
            "conversion-fall", "outcome", f"lead_source={FALLING_SOURCE}", fall, fall + timedelta(days=days // 2),
            Severity.CRITICAL, (f"lead_source={FALLING_SOURCE}", "conversion"), required=False,
        )
    )  # fmt: skip
    return tuple(sorted(planted, key=lambda incident: (incident.start, incident.id)))


def _long_end(rng: np.random.Generator, start: datetime) -> datetime:
    # Through the next evening: both daily windows then hold mostly changed rows.
    return start + timedelta(hours=int(rng.integers(34, 38)))


def _unit_change(rng: np.random.Generator, start: datetime) -> Incident:
    subject = UNIT_SUBJECTS[int(rng.integers(len(UNIT_SUBJECTS)))]
    return Incident(
        "unit-change", "feature", subject, start, _long_end(rng, start), Severity.CRITICAL, (subject, SCORE)
    )


def _new_level(rng: np.random.Generator, start: datetime) -> Incident:
    subject = tuple(LEVEL_SUBJECTS)[int(rng.integers(len(LEVEL_SUBJECTS)))]
    return Incident(
        "new-level", "feature", subject, start, _long_end(rng, start), Severity.CRITICAL, (subject, SCORE),
        level=LEVEL_SUBJECTS[subject],
    )  # fmt: skip


def _missing_jump(rng: np.random.Generator, start: datetime) -> Incident:
    subject = MISSING_SUBJECTS[int(rng.integers(len(MISSING_SUBJECTS)))]
    return Incident(
        "missing-jump", "feature", subject, start, _long_end(rng, start), Severity.CRITICAL, (subject, SCORE)
    )


def _score_shift(rng: np.random.Generator, start: datetime) -> Incident:
    return Incident("score-shift", "score", SCORE, start, _long_end(rng, start), Severity.CRITICAL, (SCORE,))


_LONG = (_unit_change, _new_level, _missing_jump, _score_shift)


def _slow_deploy(rng: np.random.Generator, day: datetime) -> Incident:
    start = day + timedelta(hours=int(rng.integers(9, 16)))
    end = start + timedelta(minutes=int(rng.integers(40, 60)))
    return Incident("slow-deploy", "service", ROUTE, start, end, Severity.WARNING, (ROUTE,))


def _error_burst(rng: np.random.Generator, day: datetime) -> Incident:
    start = day + timedelta(hours=int(rng.integers(9, 16)))
    end = start + timedelta(minutes=int(rng.integers(25, 35)))
    return Incident("error-burst", "service", ROUTE, start, end, Severity.CRITICAL, (ROUTE,))


def _job_absent(rng: np.random.Generator, day: datetime) -> Incident:
    del rng  # the night is given by the slot
    start = day + timedelta(hours=JOB_HOUR) + JOB_GRACE
    end = day + timedelta(days=1, hours=JOB_HOUR)
    return Incident("job-absent", "job", JOB_NAME, start, end, Severity.CRITICAL, (JOB_NAME,))


if TYPE_CHECKING:
    from collections.abc import Callable

    _Plan = Callable[[np.random.Generator, datetime], Incident]

_SHORT = (_slow_deploy, _error_burst, _job_absent)
