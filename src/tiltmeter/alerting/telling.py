"""What people were told of an incident is held against what is, and the gap is said.

Holding a message back (silence, mute timing, inhibition, catching up, storm) therefore needs no memory of its own: the
gap stays, and is said at once when the reason ends.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.alerting import storm
from tiltmeter.alerting.routing import channels_for, on_the_ladder, taken_before_told
from tiltmeter.domain.alert import AlertState, IncidentState
from tiltmeter.domain.message import MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.alerting.desk import Desk
    from tiltmeter.domain.alert import Alert, AlertEvent, Incident

FLAPPING_DIGEST = timedelta(hours=4)

_NOTES = ("alert_stale", "alert_corrected", "alert_calmed")
"""Events worth a line in the thread of an incident that people know of."""


def reconcile(desk: Desk, incident: Incident, news: Sequence[AlertEvent] = ()) -> None:
    """Tell people what they do not know of the incident yet, if they may be told now.

    Args:
        desk: where changes go.
        incident: as it is.
        news: events of this run, for the lines in the thread.
    """
    members = desk.members(incident)
    firing = [alert for alert in members if alert.state is AlertState.FIRING]
    if not firing:
        _finish(desk, incident, members)
        return
    if not incident.title or any(alert.fingerprint in desk.changed_alerts for alert in members):
        incident = _described(desk, incident, members, firing)
    if desk.situation.is_catching_up:
        return
    audible = _heard_of(desk, incident, firing)
    if audible and not storm.holds(desk, incident, audible):
        _tell(desk, desk.incidents[incident.id], audible, news)


def _heard_of(desk: Desk, incident: Incident, firing: Sequence[Alert]) -> list[Alert]:
    """Alerts that may be spoken of now; what keeps the others quiet is noted when it begins and when it ends."""
    reasons = {alert.id: desk.why_quiet(alert) for alert in firing}
    audible = [alert for alert in firing if not reasons[alert.id]]
    quiet = "; ".join(dict.fromkeys(reason for reason in reasons.values() if reason))
    told = incident.told_alerts
    if quiet:
        # What nobody may hear of now counts as untold: it is said again when the quiet ends and it still fires.
        told = tuple(name for name in told if not reasons.get(name, "gone"))
    if quiet != incident.quiet:
        desk.note(incident, "alert_silenced" if quiet else "alert_unsilenced", {"why": quiet or incident.quiet})
    desk.put_incident(replace(incident, told_alerts=told, quiet=quiet))
    return audible


def _described(desk: Desk, incident: Incident, members: Sequence[Alert], firing: Sequence[Alert]) -> Incident:
    worst = max(alert.severity for alert in firing)
    title, cause = desk.name(incident, members, firing)
    if incident.title and worst < incident.peak:
        # What made it loud is over and lesser alerts are left: people know it by what it was at its worst.
        title = incident.title
    return desk.put_incident(
        replace(
            incident,
            state=IncidentState.OPEN,
            resolved_at=None,
            severity=worst,
            peak=max(incident.peak, worst),
            told=min(incident.told, worst),
            title=title,
            cause=cause,
        )
    )


def _tell(desk: Desk, incident: Incident, audible: Sequence[Alert], news: Sequence[AlertEvent]) -> None:
    level = max(alert.severity for alert in audible)
    untold = [alert for alert in audible if alert.id not in incident.told_alerts]
    kind = _kind(incident, level, news, is_new=bool(untold))
    if kind is None:
        return
    rules = desk.situation.rules
    if level > incident.told:
        before = incident
        incident = on_the_ladder(before, rules, level, desk.now)
        if before.told is Severity.NONE and level <= before.acknowledged_untold:
            incident = taken_before_told(before, incident, desk.now)
        void = "" if incident.acknowledged_by else before.acknowledged_by
        if void:
            desk.note(incident, "alert_escalated", {"acknowledgement": "void", "by": void})
        channels = channels_for(rules, level, incident.escalation)
    else:
        loudest = max((alert.severity for alert in untold), default=level)
        channels = channels_for(rules, loudest, incident.escalation)
    if all(alert.flapping for alert in audible):
        incident = replace(incident, repeat_at=desk.now + FLAPPING_DIGEST)
    told = tuple(dict.fromkeys((*incident.told_alerts, *(alert.id for alert in audible))))
    incident = replace(incident, told=level, told_alerts=told)
    content = desk.words(kind, incident, news=news)
    is_taken = incident.acknowledged_by and kind is MessageKind.FIRED
    incident = desk.say(incident, kind, channels, content, severity=level)
    if is_taken:  # a pager would go on calling, for it did not hear of the acknowledgement
        words = desk.words(MessageKind.ACKNOWLEDGED, incident)
        desk.say(incident, MessageKind.ACKNOWLEDGED, channels, words)


def _kind(incident: Incident, level: Severity, news: Sequence[AlertEvent], *, is_new: bool) -> MessageKind | None:
    if _has(news, "alert_flapping"):
        return MessageKind.FLAPPING
    if incident.told is Severity.NONE:
        return MessageKind.REOPENED if incident.reopened and incident.heard else MessageKind.FIRED
    if level > incident.told:
        return MessageKind.WORSENED
    return MessageKind.UPDATED if is_new or any(_has(news, note) for note in _NOTES) else None


def _finish(desk: Desk, incident: Incident, members: Sequence[Alert]) -> None:
    if incident.state is IncidentState.RESOLVED or desk.situation.is_catching_up:
        return
    if incident.told > Severity.NONE and storm.is_raging(desk):
        return  # stays open; the recovery is said when the storm is over
    ended = max((alert.resolved_at for alert in members if alert.resolved_at is not None), default=desk.now)
    over = replace(
        incident,
        state=IncidentState.RESOLVED,
        resolved_at=ended,
        next_step_at=None,
        repeat_at=None,
        ack_expires_at=None,
        acknowledged_untold=Severity.NONE,
        storm="",
    )
    if incident.told > Severity.NONE:
        over = desk.say(over, MessageKind.RESOLVED, over.heard, desk.words(MessageKind.RESOLVED, over))
    desk.put_incident(replace(over, told=Severity.NONE, told_alerts=()))


def _has(news: Sequence[AlertEvent], kind: str) -> bool:
    return any(event.kind == kind for event in news)
