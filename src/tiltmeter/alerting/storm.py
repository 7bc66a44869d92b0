"""Too much at once helps nobody: beyond a limit, one digest speaks for all, and what it holds back is said later.

The limits: more than ten incidents in ten minutes, or thirty messages to one channel in ten minutes. Five of the thirty
are kept for digests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiltmeter.alerting import storm_words
from tiltmeter.alerting.identity import incident_id
from tiltmeter.alerting.routing import channels_for, channels_of_people
from tiltmeter.alerting.situation import STORM_SPAN
from tiltmeter.domain.alert import Incident, IncidentState
from tiltmeter.domain.message import MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.alerting.desk import Desk
    from tiltmeter.domain.alert import Alert

MOST_INCIDENTS = 10
MOST_MESSAGES = 25
"""Per channel in ten minutes before a digest takes over; with the digests it stays under thirty."""


def is_raging(desk: Desk) -> bool:
    """Whether no incident may speak for itself now."""
    if desk.situation.load.incidents + len(desk.opened) > MOST_INCIDENTS:
        return True
    # The heartbeat's own messages, one a minute or more, are none that anybody reads.
    return any(desk.queued[name] >= MOST_MESSAGES for name in channels_of_people(desk.situation.rules))


def holds(desk: Desk, incident: Incident, audible: Sequence[Alert]) -> bool:
    """Hold the incident's message back and let the digest speak, when there is a storm; False when there is none."""
    if is_storm(incident):
        return True
    level = max(alert.severity for alert in audible)
    nothing_new = level <= incident.told and all(alert.id in incident.told_alerts for alert in audible)
    if nothing_new or not channels_for(desk.situation.rules, level, incident.escalation) or not is_raging(desk):
        if incident.storm and not is_raging(desk):
            desk.put_incident(replace(incident, storm=""))
        return False
    digest = _digest(desk)
    if incident.storm != digest.id:
        desk.note(incident, "message_held", {"why": "storm", "digest": digest.id})
    desk.put_incident(replace(incident, storm=digest.id))
    _speak(desk, digest, level)
    return True


def is_storm(incident: Incident) -> bool:
    """Whether it is a digest and not an incident of its own."""
    return incident.storm == incident.id


def settle(desk: Desk) -> None:
    """When the clock moves on: repeat the digest while it holds anything back, end it afterwards."""
    for digest in [i for i in desk.incidents.values() if is_storm(i) and i.state is IncidentState.OPEN]:
        held = _held(desk, digest)
        if held and digest.repeat_at is not None and digest.repeat_at <= desk.now:
            _say(desk, digest, held)
        elif not held:
            over = replace(digest, state=IncidentState.RESOLVED, resolved_at=desk.now, repeat_at=None)
            content = storm_words.storm_over(over, now=desk.now)
            desk.put_incident(desk.say(over, MessageKind.RESOLVED, over.heard, content))


def _digest(desk: Desk) -> Incident:
    for incident in desk.incidents.values():
        if is_storm(incident) and incident.state is IncidentState.OPEN:
            return incident
    name = incident_id(f"storm {desk.now.isoformat()}")
    made = Incident(name, "", IncidentState.OPEN, Severity.NONE, desk.now, desk.now, storm=name)
    return desk.put_incident(made)


def _held(desk: Desk, digest: Incident) -> list[Incident]:
    return [
        incident
        for incident in desk.incidents.values()
        if incident.storm == digest.id and incident.id != digest.id and incident.state is IncidentState.OPEN
    ]


def _speak(desk: Desk, digest: Incident, level: Severity) -> None:
    """Once at the start, again when it gets worse, else every ten minutes."""
    if level <= digest.told and digest.repeat_at is not None and digest.repeat_at > desk.now:
        return
    worse = replace(digest, severity=max(level, digest.severity), peak=max(level, digest.peak))
    _say(desk, worse, _held(desk, digest))


def _say(desk: Desk, digest: Incident, held: Sequence[Incident]) -> None:
    channels = channels_for(desk.situation.rules, digest.severity)
    content = storm_words.storm_digest(digest, held, desk.situation, now=desk.now)
    said = replace(digest, told=digest.severity, repeat_at=desk.now + STORM_SPAN, title=content.title)
    desk.say(said, MessageKind.DIGEST, channels, content)
