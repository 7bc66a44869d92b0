"""Holds what was raised against what was planted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltmeter.demo.features import FEATURES
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, windows_between

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    from tiltmeter.demo.incidents import Incident
    from tiltmeter.demo.world import Period

MOST_WINDOWS = 2
"""An alert belongs to an incident when it begins at most this many windows after it."""


@dataclass(frozen=True, slots=True)
class Raised:
    """One episode of an alert, as the demo reports it.

    Args:
        id: `alr_…`.
        incident: `inc_…`, empty for an alert that nobody is told of.
        rule: rule id.
        severity: the worst it reached.
        subject: feature, `score`, route or job.
        since: end of the window in which it began.
        until: when it was over, None while it fires.
        window: length of the window behind it: the longer of the rule's `every` and the span judged, plus its `for`.
    """

    id: str
    incident: str
    rule: str
    severity: Severity
    subject: str
    since: datetime
    until: datetime | None
    window: timedelta


@dataclass(frozen=True, slots=True)
class Matched:
    """An alert and the incident that explains it, if one does; `delay_windows` counts from the incident's start."""

    alert: Raised
    planted: str | None
    delay_windows: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The demo in a few numbers; info alerts and incidents that are not required are outside of it."""

    planted: int
    matched: int
    missed: tuple[str, ...]
    unexplained: int


def match(alerts: Sequence[Raised], incidents: Sequence[Incident]) -> list[Matched]:
    """Give every alert its incident: by subject, and by an onset at most two windows after the incident's start."""
    return [_matched(alert, incidents) for alert in sorted(alerts, key=lambda a: (a.since, a.rule, a.subject))]


def _matched(alert: Raised, incidents: Sequence[Incident]) -> Matched:
    for incident in incidents:
        delay = _delay(alert, incident)
        if delay is not None:
            return Matched(alert, incident.id, delay)
    return Matched(alert, None, None)


def _delay(alert: Raised, incident: Incident) -> int | None:
    if alert.subject not in incident.may_move or alert.since < incident.start:
        return None
    windows = (alert.since - incident.start) / alert.window
    return math.ceil(windows) if windows <= MOST_WINDOWS else None


def summarise(matched: Sequence[Matched], incidents: Sequence[Incident]) -> Summary:
    """Count what was found, what was missed, and what nobody planted."""
    loud = [m for m in matched if m.alert.severity >= Severity.WARNING]
    found = {m.planted for m in loud}
    required = [incident.id for incident in incidents if incident.required]
    missed = tuple(name for name in required if name not in found)
    unexplained = sum(1 for m in loud if m.planted is None)
    return Summary(len(required), len(required) - len(missed), missed, unexplained)


def quiet_share(incidents: Sequence[Incident], period: Period, zone: ZoneInfo) -> float:
    """Share of feature-windows (hours and days) in which nothing is planted that may move the feature."""
    quiet = total = 0
    for grain in (Grain.HOUR, Grain.DAY):
        for window in windows_between(period.start, period.end, grain, zone):
            active = [i for i in incidents if i.start < window.end and window.start < i.end]
            moved = {subject for incident in active for subject in incident.may_move}
            total += len(FEATURES)
            quiet += sum(1 for feature in FEATURES if feature not in moved)
    return quiet / total if total else 1.0
