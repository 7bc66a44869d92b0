"""Everything that deciding about alerts and messages looks at, as one value, and everything that it changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tiltmeter.alerting.lifecycle import REOPEN_WITHIN
from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.rule import RuleSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident, Silence
    from tiltmeter.domain.message import Message
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.rule import Rule
    from tiltmeter.ports import World

STORM_SPAN = timedelta(minutes=10)
SERIES_LIMIT = 1000
"""Alerts of one rule that are kept; a bad `by` would make one per row."""


_NO_RULES = RuleSet(())
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that changed near the monitored model and may be the cause: a deployed version, a configuration.

    Args:
        at: when.
        text: in words, "version 15 since 22:10".
    """

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Load:
    """How much people heard in the last ten minutes.

    Args:
        incidents: incidents opened.
        messages: messages queued, by channel.
    """

    incidents: int = 0
    messages: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known before a window is judged, or before the clock moves on.

    Args:
        rules: every rule, with routes, escalations, inhibitions and mute timings.
        judged: ids of the rules that are judged now: their alerts without a verdict have no data. None means the
            rules that the verdicts name.
        alerts: newest episode of every fingerprint, resolved and closed ones included, by fingerprint.
        incidents: open incidents of every model, and those that a resolved alert may still reopen.
        silences: those that are not over.
        model: whose window is judged; empty when the clock moves on for all.
        zone: business time zone of messages and mute timings.
        public_url: makes the links of messages.
        changes: what changed lately, for the likely cause.
        load: what people heard lately, for the storm guard.
        ignored: features that are no longer monitored; their alerts are closed.
        late_windows: windows made up for in this run before this one (monitor was down): said in the message.
        is_catching_up: more missed windows follow: states move, nobody is told before the last one.
        is_late: the window is judged again because of late rows.
        next_check: when the next window is judged, for the footer.
    """

    rules: RuleSet = _NO_RULES
    judged: frozenset[str] | None = None
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    silences: tuple[Silence, ...] = ()
    model: str = ""
    zone: ZoneInfo = _UTC
    public_url: str = ""
    changes: tuple[Change, ...] = ()
    load: Load = Load()
    ignored: frozenset[str] = frozenset()
    late_windows: int = 0
    is_catching_up: bool = False
    is_late: bool = False
    next_check: datetime | None = None

    @classmethod
    def of(cls, world: World, model: Model | None, rules: Sequence[Rule] | None = None) -> Situation:
        """Read it from the state database; inside the transaction that will commit what comes of it.

        Args:
            world: state, rules, zone.
            model: whose window is judged; None for every model (the clock moves on).
            rules: those that are judged now.
        """
        now = world.clock.now()
        alerts = world.state.alerts(model.name if model else None, open_only=False)
        incidents = {incident.id: incident for incident in world.state.incidents(open_only=True)}
        for alert in alerts.values():
            recent = alert.resolved_at is not None and now - alert.resolved_at <= 2 * REOPEN_WITHIN
            if alert.state is AlertState.RESOLVED and recent and alert.incident and alert.incident not in incidents:
                found = world.state.incident(alert.incident)
                if found is not None:
                    incidents[found.id] = found
        opened = sum(1 for incident in incidents.values() if now - incident.opened_at <= STORM_SPAN)
        return cls(
            rules=world.rules,
            judged=None if rules is None else frozenset(rule.id for rule in rules),
            alerts=alerts,
            incidents=tuple(incidents.values()),
            silences=tuple(world.state.silences(now)),
            model=model.name if model else "",
            zone=world.zone,
            public_url=world.public_url,
            load=Load(opened, world.state.queued_since(now - STORM_SPAN)),
            ignored=frozenset(model.ignore) if model else frozenset(),
        )


@dataclass(frozen=True, slots=True)
class Advance:
    """What changed; committed together.

    Args:
        alerts: alerts whose state or counters changed.
        events: transitions.
        incidents: incidents opened or changed.
        messages: what the outbox has to deliver.
    """

    alerts: tuple[Alert, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    incidents: tuple[Incident, ...] = ()
    messages: tuple[Message, ...] = ()
