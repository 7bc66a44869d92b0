"""What is new in a message about an incident that people know: one line that stands before everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.phrases import clock_time, length_of, name_of
from tiltmeter.domain.message import MessageKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident


def names_of(alerts: Sequence[Alert]) -> str:
    """Subjects of alerts, three at most: `plan, region, size and 4 more`."""
    names = list(dict.fromkeys(name_of(a.subject.feature or a.subject.segment_value or a.rule) for a in alerts))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def news_line(
    kind: MessageKind,
    incident: Incident,
    members: Sequence[Alert],
    news: Sequence[AlertEvent],
    zone: ZoneInfo,
    now: datetime,
    remark: str,
) -> str:
    """What happened to the incident in this message, empty for its first one.

    Args:
        kind: of the message.
        incident: as it is now.
        members: its alerts.
        news: events of this run.
        zone: of the times.
        now: wall clock.
        remark: a sentence that says more than the kind.
    """
    by_fingerprint = {alert.fingerprint: alert for alert in members}

    def about(event_kind: str) -> list[Alert]:
        return [by_fingerprint[e.fingerprint] for e in news if e.kind == event_kind and e.fingerprint in by_fingerprint]

    if kind is MessageKind.UPDATED:
        return _update_line(about("alert_fired"), about("alert_stale"), about("alert_corrected"), about("alert_calmed"))
    waited = length_of(now - (incident.escalated_at or incident.opened_at))
    person, note = name_of(incident.acknowledged_by), f": {name_of(incident.note)}" if incident.note else ""
    lines = {
        MessageKind.WORSENED: f"now {incident.severity.word}",
        MessageKind.ESCALATED: f"nobody acknowledged for {waited}: level {incident.step}",
        MessageKind.REOPENED: f"back within 30 minutes, reopened {incident.reopened}×",
        MessageKind.FLAPPING: "fires and recovers again and again; further changes come as a digest every 4 h",
        MessageKind.REMINDED: remark or f"still {incident.severity.word}, {clock_time(now, zone)}",
        MessageKind.ACKNOWLEDGED: f"{person} takes care of it, {clock_time(now, zone)}{note}",
    }
    return lines.get(kind, remark)


def _update_line(
    fired: Sequence[Alert], stale: Sequence[Alert], corrected: Sequence[Alert], calmed: Sequence[Alert]
) -> str:
    parts = []
    if fired:
        parts.append(f"{len(fired)} more: {names_of(fired)}")
    if stale:
        parts.append(f"no fresh data for {names_of(stale)}")
    if corrected:
        parts.append(f"corrected by late rows: {names_of(corrected)} was fine in an earlier window")
    if calmed:
        parts.append(f"no longer flapping: {names_of(calmed)}")
    return "; ".join(parts) or "quiet time over, still firing"
