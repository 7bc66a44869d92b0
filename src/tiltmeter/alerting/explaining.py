"""Why an alert fired, and why people were, or were not, told: read from events and deliveries, in sentences.

Nothing is judged again here. What was decided left an event, and the events are put into words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltmeter.alerting.phrases import bound_of, length_of, local_time, measure_of, name_of
from tiltmeter.alerting.routing import channels_for
from tiltmeter.domain.alert import AlertState, IncidentState
from tiltmeter.domain.message import DeliveryStatus
from tiltmeter.domain.metric import reason_in_words
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident
    from tiltmeter.domain.message import Delivery
    from tiltmeter.domain.rule import Rule, RuleSet

DASHBOARD = "dashboard"


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence and the moment it speaks of; None for what holds now."""

    at: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """Why things are as they are.

    Args:
        upstream: what changed before: the likely cause, empty when unknown.
        fired: how the alerts came to fire, end, or still wait.
        told: every message, what became of it and why.
        quiet: what kept people from being told, and what happens next.
    """

    upstream: str
    fired: tuple[Line, ...]
    told: tuple[Line, ...]
    quiet: tuple[Line, ...]


def story_of(
    alerts: Sequence[Alert],
    incident: Incident | None,
    events: Iterable[AlertEvent],
    deliveries: Iterable[Delivery],
    *,
    rules: RuleSet,
    zone: ZoneInfo,
    now: datetime,
) -> Story:
    """The story of an incident, or of one alert that has none yet.

    Args:
        alerts: whose story it is.
        incident: they belong to; None for an alert that only waits.
        events: of the incident and of the alerts, in any order.
        deliveries: of the incident.
        rules: as they are now.
        zone: of the times inside sentences.
        now: wall clock.
    """
    by_fingerprint = {alert.fingerprint: alert for alert in alerts}
    known = {rule.id: rule for rule in rules.rules}
    ordered = sorted(events, key=lambda event: (event.evaluated_at, event.seq))
    fired = [
        Line(event.window_end, _transition(event, by_fingerprint[event.fingerprint], known))
        for event in ordered
        if event.fingerprint in by_fingerprint and event.kind in _TRANSITIONS
    ]
    fired += [Line(None, _waits(alert, known.get(alert.rule))) for alert in alerts if alert.state is AlertState.PENDING]
    told = [Line(one.sent_at or one.due_at, _delivered(one, zone)) for one in deliveries]
    quiet = [
        Line(event.evaluated_at, _QUIET[event.kind](event))
        for event in ordered
        if not event.fingerprint and event.kind in _QUIET
    ]
    if incident is not None:
        quiet += [Line(None, text) for text in _standing(incident, rules, zone, now)]
    return Story(incident.cause if incident else "", tuple(fired), tuple(told), tuple(quiet))


def subject_of(alert: Alert) -> str:
    """`lead_source of version 14 (feature_psi)`."""
    subject = alert.subject
    name = subject.feature or subject.segment_value or subject.model
    version = f" of version {name_of(subject.model_version)}" if subject.model_version else ""
    return f"{name_of(name)}{version} ({alert.rule})"


_TRANSITIONS = {
    "alert_pending": "is in breach with {value}; it fires once that lasts {hold}",
    "alert_cleared": "was back before it had lasted: nothing fired",
    "alert_fired": "fires as {severity} with {value}{limit}",
    "alert_reopened": "is back within 30 minutes with {value}: the same incident goes on",
    "alert_escalated": "gets worse: {severity} with {value}{limit}",
    "alert_eased": "calms down to {severity}; people hear of that with the recovery",
    "alert_stale": "has no fresh number: its state is frozen, which is no recovery{why}",
    "alert_refreshed": "has fresh numbers again",
    "alert_corrected": "was fine in this window once late rows had come",
    "alert_flapping": "fires and recovers again and again: from here on a digest every 4 h",
    "alert_calmed": "no longer flaps",
    "alert_resolved": "is over{with_value}",
    "alert_closed": "is closed: {reason}; it did not recover",
}


def _transition(event: AlertEvent, alert: Alert, rules: Mapping[str, Rule]) -> str:
    rule = rules.get(alert.rule)
    measure = measure_of(alert, rule.metric if rule else "")
    value = "no number" if event.value is None else f"{measure.label} {measure.value(event.value)}"
    limit = rule.levels.get(event.severity) if rule else None
    bound = f", its limit is {bound_of(limit, measure.value)}" if limit is not None else ""
    why = event.detail.get("why")
    text = _TRANSITIONS[event.kind].format(
        value=value,
        with_value="" if event.value is None else f" with {value}",
        severity=event.severity.word,
        limit=bound,
        hold=_hold(rule),
        reason=event.detail.get("reason", "its rule is gone"),
        why=f" ({name_of(reason_in_words(str(why)))})" if why else "",
    )
    return f"{subject_of(alert)} {text}"


def _hold(rule: Rule | None) -> str:
    if rule is None:
        return "long enough"
    if rule.hold.time is not None:
        return length_of(rule.hold.time)
    windows = rule.hold.windows or 1
    return f"{windows} window{'s' if windows > 1 else ''}"


def _waits(alert: Alert, rule: Rule | None) -> str:
    so_far = length_of(alert.held) if rule is not None and rule.hold.time else f"{alert.breaches}"
    return f"{subject_of(alert)} does not fire yet: {so_far} of {_hold(rule)} in breach"


def _delivered(delivery: Delivery, zone: ZoneInfo) -> str:
    message, error = delivery.message, delivery.last_error
    said = f"{message.channel}, {message.kind.value}: "
    tries = f" at try {delivery.attempts}" if delivery.attempts > 1 else ""
    if delivery.status is DeliveryStatus.SENT:
        note = f"; {delivery.receipt.note}" if delivery.receipt is not None and delivery.receipt.note else ""
        return f"{said}{'shown' if message.channel == DASHBOARD else 'sent'}{tries}{note}"
    if delivery.status is DeliveryStatus.DEAD:
        return f"{said}given up{tries}, its fallback has it: {error}"
    if delivery.status is DeliveryStatus.DROPPED:
        why = error or "the receiver has no use for it (it never heard of the alarm)"
        return f"{said}not sent, {why}"
    if delivery.status is DeliveryStatus.SENDING:
        return f"{said}is being sent{tries}"
    later = f"; tried again {local_time(delivery.due_at, zone)}" if error else ""
    return f"{said}waits{f' after {delivery.attempts} tries: {error}' if error else ''}{later}"


def _silenced(event: AlertEvent) -> str:
    return f"not told: {event.detail.get('why', 'quiet')}"


def _escalated(event: AlertEvent) -> str:
    step, voided = event.detail.get("step"), event.detail.get("acknowledgement")
    if voided:
        by = name_of(str(event.detail.get("by") or "somebody"))
        why = "it got worse" if voided == "void" else str(voided)
        return f"the acknowledgement of {by} no longer counts: {name_of(why)}"
    if step is not None:
        return f"nobody acknowledged: step {int(step) + 1} to {event.detail.get('channels', '')}"
    return f"got worse: {event.severity.word}"


_QUIET: Mapping[str, Callable[[AlertEvent], str]] = {
    "alert_silenced": _silenced,
    "alert_escalated": _escalated,
    "alert_unsilenced": lambda event: f'may be told again: over is "{event.detail.get("why", "the quiet")}"',
    "message_held": lambda event: (
        f"held back by a {event.detail.get('why')}: the digest {event.detail.get('digest')} speaks for it"
    ),
    "alert_acknowledged": lambda event: (
        f"acknowledged by {name_of(str(event.detail.get('by') or 'somebody'))}: steps and reminders stop"
    ),
    "message_worded_plainly": lambda event: (
        f"said in plain words: the full text could not be written ({event.detail.get('why')})"
    ),
}


def _standing(incident: Incident, rules: RuleSet, zone: ZoneInfo, now: datetime) -> list[str]:
    said = []
    if incident.state is IncidentState.RESOLVED:
        return ["it is over: nothing more is sent"]
    people = [name for name in channels_for(rules, incident.severity, incident.escalation) if name != DASHBOARD]
    if not people:
        said.append(f"{incident.severity.word} goes to the dashboard alone: no route names another channel")
    if incident.quiet:
        said.append(f"quiet now: {incident.quiet}")
    if incident.storm and incident.storm != incident.id:
        said.append("held back by a storm; it is said when the storm is over")
    if incident.told is Severity.NONE and not said:
        said.append("nobody was told yet")
    if incident.next_step_at is not None and incident.next_step_at > now:
        said.append(
            f"goes to level {incident.step + 1} {local_time(incident.next_step_at, zone)} if nobody acknowledges"
        )
    if incident.repeat_at is not None and incident.repeat_at > now:
        said.append(f"reminder {local_time(incident.repeat_at, zone)} if nobody acknowledges")
    if incident.ack_expires_at is not None:
        said.append(f"the acknowledgement ends {local_time(incident.ack_expires_at, zone)}")
    return said
