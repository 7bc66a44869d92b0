"""The desk at which incidents become messages: what changed on top of the situation, and what is to be said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tiltmeter.alerting import wording
from tiltmeter.alerting.identity import delivery_id
from tiltmeter.alerting.situation import Advance
from tiltmeter.alerting.views import why_quiet
from tiltmeter.domain.alert import Alert, AlertEvent, Incident
from tiltmeter.domain.message import NEWS, Message, MessageKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tiltmeter.alerting.situation import Situation
    from tiltmeter.domain.message import Content
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.severity import Severity

_OPENS = (MessageKind.WORSENED, MessageKind.UPDATED, MessageKind.REOPENED)
"""Kinds that a channel which never heard of the incident gets as "fired" instead."""

_WORDING_FAILS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a fact of an unexpected shape can raise while it is put into words."""


@dataclass(slots=True)
class Desk:
    """What changed so far, on top of the situation."""

    situation: Situation
    now: datetime
    alerts: dict[str, Alert] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    events: list[AlertEvent] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    changed_alerts: dict[str, Alert] = field(default_factory=dict)
    changed_incidents: dict[str, None] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    queued: Counter[str] = field(default_factory=Counter)
    unworded: dict[str, tuple[str, str]] = field(default_factory=dict)
    _by_id: dict[str, Alert] = field(default_factory=dict)
    _rules: dict[str, Rule] = field(default_factory=dict)

    @classmethod
    def of(cls, situation: Situation, now: datetime) -> Desk:
        """A desk with nothing changed yet."""
        desk = cls(situation, now, dict(situation.alerts), {i.id: i for i in situation.incidents})
        desk._by_id.update({alert.id: alert for alert in desk.alerts.values()})
        desk.queued.update(situation.load.messages)
        desk._rules.update({rule.id: rule for rule in situation.rules.rules})
        return desk

    def put_alert(self, alert: Alert) -> None:
        """Keep a changed alert."""
        before = self.alerts.get(alert.fingerprint)
        if before is not None:
            self._by_id.pop(before.id, None)
        self.alerts[alert.fingerprint] = self._by_id[alert.id] = alert
        self.changed_alerts[alert.fingerprint] = alert

    def put_incident(self, incident: Incident) -> Incident:
        """Keep a changed incident."""
        if self.incidents.get(incident.id) != incident:
            self.incidents[incident.id] = replace(incident, updated_at=self.now)
            self.changed_incidents[incident.id] = None
        return self.incidents[incident.id]

    def advance(self) -> Advance:
        """Everything that changed."""
        incidents = tuple(self.incidents[name] for name in self.changed_incidents)
        return Advance(tuple(self.changed_alerts.values()), tuple(self.events), incidents, tuple(self.messages))

    def members(self, incident: Incident) -> list[Alert]:
        """Alerts of the incident as they are now, in the order they joined."""
        return [self._by_id[name] for name in incident.alerts if name in self._by_id]

    def audible(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Those that people may be told about now."""
        return [alert for alert in alerts if not self.why_quiet(alert)]

    def why_quiet(self, alert: Alert) -> str:
        """Why people may not be told about the alert now, empty when they may."""
        there = self.situation
        return why_quiet(
            alert,
            self._rules.get(alert.rule),
            there.rules,
            alerts=self.alerts.values(),
            silences=there.silences,
            now=self.now,
            zone=there.zone,
        )

    def words(
        self, kind: MessageKind, incident: Incident, *, news: Sequence[AlertEvent] = (), remark: str = ""
    ) -> Content:
        """The words of a message; plain ones where the full text cannot be written: no alert waits for its wording."""
        members = self.members(incident)
        try:
            return wording.content_of(kind, incident, members, self.situation, now=self.now, news=news, remark=remark)
        except _WORDING_FAILS as error:
            self._could_not_word(incident, members, error)
            return wording.plain_content(kind, incident, members, self.situation, why=type(error).__name__)

    def name(self, incident: Incident, members: Sequence[Alert], firing: Sequence[Alert]) -> tuple[str, str]:
        """Title and likely cause; a plain title where they cannot be worded."""
        try:
            return wording.title_of(firing), incident.cause or wording.cause_of(self.situation, members)
        except _WORDING_FAILS as error:
            self._could_not_word(incident, members, error)
            return wording.plain_title(firing), incident.cause

    def _could_not_word(self, incident: Incident, members: Sequence[Alert], error: Exception) -> None:
        rule = members[0].rule if members else ""
        why = type(error).__name__
        if rule not in self.unworded:
            self.note(incident, "message_worded_plainly", {"rule": rule, "why": why})
        self.unworded[rule] = (incident.model, why)

    def say(
        self,
        incident: Incident,
        kind: MessageKind,
        channels: Sequence[str],
        content: Content,
        *,
        broadcast: bool = False,
        severity: Severity | None = None,
    ) -> Incident:
        """Queue one message for every channel; the incident with what it has said."""
        sequence = incident.sequence + 1
        for channel in dict.fromkeys(channels):
            new = channel not in incident.heard and kind in _OPENS
            said = MessageKind.FIRED if new else kind
            self.queued[channel] += 1
            self.messages.append(
                Message(
                    delivery_id=delivery_id(incident.id, channel, said, sequence),
                    channel=channel,
                    incident=incident.id,
                    model=incident.model,
                    kind=said,
                    severity=incident.severity if severity is None else severity,
                    content=_without_news(content) if new else content,
                    sequence=sequence,
                    created_at=self.now,
                    thread=dict(incident.threads.get(channel, {})),
                    broadcast=broadcast,
                )
            )
        heard = tuple(dict.fromkeys((*incident.heard, *channels)))
        return self.put_incident(replace(incident, sequence=sequence, heard=heard))

    def note(self, incident: Incident, kind: str, detail: dict[str, str | float | int | None]) -> None:
        """Keep an event of the incident as a whole; it has no fingerprint."""
        self.events.append(
            AlertEvent("", incident.sequence, kind, self.now, self.now, incident.severity, None, incident.id, detail)
        )


def _without_news(content: Content) -> Content:
    """The words for a channel that hears of the incident for the first time: nothing is new against before."""
    return replace(content, facts={label: text for label, text in content.facts.items() if label != NEWS})
