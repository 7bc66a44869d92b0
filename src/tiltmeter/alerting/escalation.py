"""What time and people change: acknowledgement, escalation steps, reminders, and silences that end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiltmeter.alerting import storm
from tiltmeter.alerting.desk import Desk
from tiltmeter.alerting.routing import channels_for, next_step, on_the_ladder, route_for
from tiltmeter.alerting.telling import FLAPPING_DIGEST, reconcile
from tiltmeter.domain.alert import AlertState, IncidentState
from tiltmeter.domain.message import MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tiltmeter.alerting.situation import Advance, Situation
    from tiltmeter.domain.alert import Alert, Incident


def acknowledge(situation: Situation, incident_id: str, *, by: str, note: str = "", now: datetime) -> Advance:
    """Somebody takes care: escalation and reminders stop, every channel that knows of the incident hears who.

    A second acknowledgement, by whomever and however it came, changes nothing; nor does one of a resolved incident.

    Raises:
        KeyError: there is no incident of that id in the situation.
    """
    desk = Desk.of(situation, now)
    incident = desk.incidents[incident_id]
    if incident.acknowledged_by or incident.state is IncidentState.RESOLVED:
        return desk.advance()
    ladder = incident.escalation
    expires = now + ladder.ack_expires if ladder is not None and ladder.ack_expires is not None else None
    incident = replace(
        incident,
        acknowledged_by=by or "somebody",
        acknowledged_at=now,
        note=note,
        next_step_at=None,
        repeat_at=None,
        ack_expires_at=expires if incident.severity is Severity.CRITICAL else None,
        acknowledged_untold=incident.severity if incident.told is Severity.NONE else Severity.NONE,
    )
    incident = desk.put_incident(incident)
    desk.note(incident, "alert_acknowledged", {"by": incident.acknowledged_by, "note": note})
    if incident.told > Severity.NONE:
        desk.say(incident, MessageKind.ACKNOWLEDGED, incident.heard, desk.words(MessageKind.ACKNOWLEDGED, incident))
    return desk.advance()


def unacknowledge(situation: Situation, incident_id: str, *, reason: str, now: datetime) -> Advance:
    """Take an acknowledgement back: the ladder starts again from its foot.

    Raises:
        KeyError: there is no incident of that id in the situation.
    """
    desk = Desk.of(situation, now)
    incident = desk.incidents[incident_id]
    if incident.acknowledged_by and incident.state is IncidentState.OPEN:
        _restart(desk, incident, reason)
    return desk.advance()


def tick(situation: Situation, *, now: datetime) -> Advance:
    """What is due at this moment, from stored times alone: a restart in between changes nothing.

    In this order: acknowledgements that expired, messages that were held back, escalation steps, reminders.
    """
    desk = Desk.of(situation, now)
    standing = [i for i in desk.incidents.values() if i.state is IncidentState.OPEN and not storm.is_storm(i)]
    for incident in standing:
        reconcile(desk, incident)
    # Only then the ladders: after a storm a first message goes before a second one about something else.
    for incident in standing:
        _climb(desk, desk.incidents[incident.id])
    storm.settle(desk)
    return desk.advance()


def _climb(desk: Desk, incident: Incident) -> None:
    due = (incident.next_step_at, incident.repeat_at, incident.ack_expires_at)
    if incident.state is not IncidentState.OPEN or incident.told is Severity.NONE:
        return
    if not any(moment is not None and moment <= desk.now for moment in due):
        return
    audible = desk.audible(alert for alert in desk.members(incident) if alert.state is AlertState.FIRING)
    if not audible or storm.is_raging(desk):
        return
    if incident.acknowledged_by:
        if incident.ack_expires_at is not None and incident.ack_expires_at <= desk.now:
            _restart(desk, incident, f"acknowledgement of {incident.acknowledged_by} expired")
        return
    while incident.next_step_at is not None and incident.next_step_at <= desk.now:
        incident = _escalate(desk, incident)
    if incident.repeat_at is not None and incident.repeat_at <= desk.now:
        _remind(desk, incident, audible)


def _escalate(desk: Desk, incident: Incident) -> Incident:
    ladder, done = incident.escalation, incident.step
    if ladder is None or done >= len(ladder.steps):
        return desk.put_incident(replace(incident, next_step_at=None))
    step, started = ladder.steps[done], incident.escalated_at or desk.now
    climbed = replace(incident, step=done + 1, next_step_at=next_step(ladder, done + 1, started))
    content = desk.words(MessageKind.ESCALATED, climbed)
    climbed = desk.say(climbed, MessageKind.ESCALATED, step.to, content, broadcast=step.broadcast)
    desk.note(climbed, "alert_escalated", {"step": done, "channels": ", ".join(step.to)})
    return climbed


def _remind(desk: Desk, incident: Incident, audible: Sequence[Alert]) -> None:
    rules = desk.situation.rules
    route = route_for(rules, incident.severity)
    flapping = all(alert.flapping for alert in audible)
    pause = FLAPPING_DIGEST if flapping else route.repeat if route else None
    kind = MessageKind.FLAPPING if flapping else MessageKind.REMINDED
    due = incident.repeat_at or desk.now
    # After a long stop there is one reminder, not one for every time it was missed.
    again = None if pause is None else due + pause if due + pause > desk.now else desk.now + pause
    incident = replace(incident, repeat_at=again)
    content = desk.words(kind, incident)
    channels = [*channels_for(rules, incident.severity, incident.escalation)]
    if incident.escalation is not None:
        channels += [name for done in incident.escalation.steps[: incident.step] for name in done.to]
    desk.say(incident, kind, channels, content)


def _restart(desk: Desk, incident: Incident, reason: str) -> None:
    before = incident.acknowledged_by
    incident = on_the_ladder(incident, desk.situation.rules, incident.severity, desk.now)
    desk.note(incident, "alert_escalated", {"acknowledgement": reason, "by": before})
    content = desk.words(MessageKind.REMINDED, incident, remark=reason)
    channels = channels_for(desk.situation.rules, incident.severity, incident.escalation)
    desk.say(incident, MessageKind.REMINDED, channels, content)
