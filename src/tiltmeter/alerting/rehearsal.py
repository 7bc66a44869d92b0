"""Rules played against numbers without a database: what `rules test` and the backtest stand on.

The same `verdicts`, `advance` and `tick` as the running service, with the state kept in this object.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tiltmeter.alerting.advance import acknowledge, advance, tick
from tiltmeter.alerting.rules import verdicts
from tiltmeter.alerting.situation import STORM_SPAN, Load, Situation
from tiltmeter.domain.alert import IncidentState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiltmeter.alerting.situation import Advance
    from tiltmeter.domain.alert import Alert, AlertEvent, Incident, Silence
    from tiltmeter.domain.message import Message
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.rule import Rule, RuleSet
    from tiltmeter.domain.window import Window

CLOSED_INCIDENTS_KEPT = timedelta(hours=1)
"""Longer than the time within which a recovery may be reopened."""


@dataclass(slots=True)
class Rehearsal:
    """State, history and messages of a play.

    Args:
        rules: rules with routes.
        model: whose windows are judged.
        zone: of messages and mute timings.
        public_url: makes links.
        silences: in force by their own times.
        alerts: newest episode by fingerprint.
        episodes: every episode by alert id, in the order they began.
        incidents: by id.
        events: all transitions.
        messages: everything people would have heard.
    """

    rules: RuleSet
    model: str = "model"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    public_url: str = ""
    silences: list[Silence] = field(default_factory=list)
    alerts: dict[str, Alert] = field(default_factory=dict)
    episodes: dict[str, Alert] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    events: list[AlertEvent] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def judge(
        self,
        metrics: Iterable[Metric],
        window: Window,
        *,
        now: datetime | None = None,
        rules: Sequence[Rule] | None = None,
        is_late: bool = False,
        is_catching_up: bool = False,
        late_windows: int = 0,
    ) -> Advance:
        """Judge one window.

        Args:
            metrics: its numbers.
            window: what was measured.
            now: wall clock, by default the end of the window.
            rules: those that are judged, by default all.
            is_late: judged again because of late rows.
            is_catching_up: more missed windows follow.
            late_windows: missed windows made up for before this one.
        """
        at = window.end if now is None else now
        judged = self.rules.rules if rules is None else rules
        situation = replace(
            self.situation(at),
            judged=frozenset(rule.id for rule in judged),
            is_late=is_late,
            is_catching_up=is_catching_up,
            late_windows=late_windows,
        )
        return self._keep(advance(situation, verdicts(metrics, judged), window=window, now=at))

    def let_pass(self, now: datetime) -> Advance:
        """Let the clock move on to `now`: steps, reminders, silences that ended."""
        return self._keep(tick(replace(self.situation(now), model=""), now=now))

    def acknowledge(self, incident_id: str, *, by: str, note: str = "", now: datetime) -> Advance:
        """Somebody takes care of an incident.

        Raises:
            KeyError: there is no incident of that id.
        """
        return self._keep(acknowledge(self.situation(now), incident_id, by=by, note=note, now=now))

    def situation(self, now: datetime) -> Situation:
        """What is known at this moment."""
        known = tuple(
            incident
            for incident in self.incidents.values()
            if incident.state is IncidentState.OPEN or now - incident.updated_at <= CLOSED_INCIDENTS_KEPT
        )
        return Situation(
            rules=self.rules,
            alerts=self.alerts,
            incidents=known,
            silences=tuple(self.silences),
            model=self.model,
            zone=self.zone,
            public_url=self.public_url,
            load=self._load(now),
        )

    def open_incidents(self) -> list[Incident]:
        """Incidents that are not over."""
        return [incident for incident in self.incidents.values() if incident.state is IncidentState.OPEN]

    def _load(self, now: datetime) -> Load:
        heard: dict[str, int] = {}
        for message in reversed(self.messages):
            if now - message.created_at > STORM_SPAN:
                break
            heard[message.channel] = heard.get(message.channel, 0) + 1
        opened = sum(1 for incident in self.incidents.values() if now - incident.opened_at <= STORM_SPAN)
        return Load(opened, heard)

    def _keep(self, changed: Advance) -> Advance:
        for alert in changed.alerts:
            self.alerts[alert.fingerprint] = alert
            if alert.fired_at is not None:
                self.episodes[alert.id] = alert
        self.incidents.update({incident.id: incident for incident in changed.incidents})
        self.events.extend(changed.events)
        self.messages.extend(changed.messages)
        return changed
