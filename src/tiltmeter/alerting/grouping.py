"""Which incident an alert belongs to: people get one incident per cause, not one per alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.alerting.identity import incident_id
from tiltmeter.alerting.storm import is_storm
from tiltmeter.domain.alert import Incident, IncidentState
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.alerting.desk import Desk
    from tiltmeter.domain.alert import Alert
    from tiltmeter.domain.rule import Inhibition

JOIN_WITHIN = timedelta(minutes=30)
"""Alerts of one model that begin this close together, in window time, are taken for one cause."""


def assign(desk: Desk, fired: Sequence[Alert]) -> list[Alert]:
    """Put alerts that just began firing into incidents, opening one where none fits.

    Returns:
        The alerts with their incident, in the same order.
    """
    placed = []
    # Worst first: the incident is named after the alert that opened it, and milder ones join it.
    for alert in sorted(fired, key=lambda a: (-a.severity, a.rule, a.subject)):
        incident = _reopened(desk, alert) or _joinable(desk, alert) or _opened(desk, alert)
        if alert.id not in incident.alerts:
            incident = replace(incident, alerts=(*incident.alerts, alert.id))
        incident = replace(incident, severity=max(incident.severity, alert.severity))
        desk.put_incident(incident)
        alert = replace(alert, incident=incident.id)  # noqa: PLW2901 - the placed alert takes the place of the loose one
        desk.put_alert(alert)
        placed.append(alert)
    return placed


def _reopened(desk: Desk, alert: Alert) -> Incident | None:
    before = desk.incidents.get(alert.incident)
    if before is None or not alert.reopened:
        return None
    if before.state is IncidentState.OPEN:
        return before
    return replace(before, state=IncidentState.OPEN, resolved_at=None, reopened=before.reopened + 1)


def _joinable(desk: Desk, alert: Alert) -> Incident | None:
    candidates = [
        incident
        for incident in desk.incidents.values()
        if incident.state is IncidentState.OPEN and incident.model == alert.subject.model and not is_storm(incident)
    ]
    candidates.sort(key=lambda incident: (incident.opened_at, incident.id), reverse=True)
    inhibitions = desk.situation.rules.inhibitions
    for incident in candidates:
        if any(_belong_together(alert, other, inhibitions) for other in desk.members(incident)):
            return incident
    return None


def _belong_together(alert: Alert, other: Alert, inhibitions: Sequence[Inhibition]) -> bool:
    """Same rule or same feature while it is open (the 31st feature of next day), close in time, or cause and effect."""
    if alert.rule == other.rule and alert.subject.segment_key == other.subject.segment_key:
        return True
    if alert.subject.feature and alert.subject.feature == other.subject.feature:
        return True
    if (
        alert.fired_at is not None
        and other.fired_at is not None
        and abs(alert.fired_at - other.fired_at) <= JOIN_WITHIN
    ):
        return True
    return any(
        edge.source_rule == cause.rule and effect.rule in edge.target_rules and _may_be_cause(cause, effect)
        for edge in inhibitions
        for cause, effect in ((alert, other), (other, alert))
    )


def _may_be_cause(cause: Alert, effect: Alert) -> bool:
    """Whether the cause began first; a little later counts, since the two are looked at on different schedules."""
    return cause.fired_at is None or effect.fired_at is None or cause.fired_at - effect.fired_at <= JOIN_WITHIN


def _opened(desk: Desk, alert: Alert) -> Incident:
    name = incident_id(alert.id)
    desk.opened.add(name)
    return Incident(
        name,
        alert.subject.model,
        IncidentState.OPEN,
        Severity.NONE,
        opened_at=desk.now,
        updated_at=desk.now,
        alerts=(alert.id,),
    )
