"""Which channels hear of a severity, and the ladder that is climbed while nobody acknowledges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.alert import Incident
    from tiltmeter.domain.rule import Escalation, Route, RuleSet


def route_for(rules: RuleSet, severity: Severity) -> Route | None:
    """The route of the severity, or of the next lower one that has a route; None without any."""
    fitting = [route for route in rules.routes if route.severity <= severity]
    return max(fitting, key=lambda route: route.severity, default=None)


def channels_for(rules: RuleSet, severity: Severity, snapshot: Escalation | None = None) -> tuple[str, ...]:
    """Channels that hear of the severity at once: the route's, or the first step of its ladder.

    Args:
        rules: with the routes.
        severity: how bad it is.
        snapshot: ladder that the incident took when it opened; edits since then do not change it.
    """
    route = route_for(rules, severity)
    if route is None:
        return ()
    if not route.escalation:
        return route.to
    ladder = snapshot or rules.escalations.get(route.escalation)
    return ladder.steps[0].to if ladder and ladder.steps else ()


def channels_of_people(rules: RuleSet) -> frozenset[str]:
    """Every channel that a route or a ladder names, the dashboard left out: it calls nobody."""
    steps = (step for ladder in rules.escalations.values() for step in ladder.steps)
    named = (*(route.to for route in rules.routes), *(step.to for step in steps))
    return frozenset(name for names in named for name in names) - {"dashboard"}


def on_the_ladder(incident: Incident, rules: RuleSet, severity: Severity, now: datetime) -> Incident:
    """The incident at the foot of its ladder, reminders set: when it fires, and again when it gets worse."""
    route = route_for(rules, severity)
    ladder = incident.escalation
    if ladder is None and route is not None and route.escalation:
        ladder = rules.escalations.get(route.escalation)
    climbing = ladder if route is not None and route.escalation else None
    return replace(
        incident,
        escalation=ladder,
        step=1 if climbing else 0,
        escalated_at=now,
        next_step_at=next_step(climbing, 1, now),
        repeat_at=now + route.repeat if route is not None and route.repeat else None,
        acknowledged_by="",
        acknowledged_at=None,
        ack_expires_at=None,
        note="",
        acknowledged_untold=Severity.NONE,
    )


def taken_before_told(incident: Incident, told: Incident, now: datetime) -> Incident:
    """The incident as it goes to people for the first time, still in the hands of whoever took it before.

    Args:
        incident: as it was acknowledged.
        told: the same at the foot of its ladder.
        now: an acknowledgement that ended before is void.
    """
    at, ladder = incident.acknowledged_at, told.escalation
    if not incident.acknowledged_by or at is None:
        return told
    ends = None if ladder is None or ladder.ack_expires is None else at + ladder.ack_expires
    if told.severity is not Severity.CRITICAL:
        ends = None
    if ends is not None and ends <= now:
        return told
    return replace(
        told,
        acknowledged_by=incident.acknowledged_by,
        acknowledged_at=at,
        note=incident.note,
        next_step_at=None,
        repeat_at=None,
        ack_expires_at=ends,
    )


def next_step(ladder: Escalation | None, done: int, started: datetime) -> datetime | None:
    """When the next step is due; None at the top or without a ladder."""
    if ladder is None or done >= len(ladder.steps):
        return None
    return started + ladder.steps[done].after
