"""What the demo found, as `demo --json` and as a page of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiltmeter.demo.features import FEATURES
from tiltmeter.demo.incidents import ROUTE, SCORE
from tiltmeter.demo.matching import Matched, Raised, Summary, match, quiet_share, summarise
from tiltmeter.domain.message import DeliveryStatus
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from tiltmeter.demo.incidents import Incident
    from tiltmeter.demo.replay import Episodes
    from tiltmeter.demo.world import Period
    from tiltmeter.domain.alert import Alert
    from tiltmeter.domain.message import Delivery
    from tiltmeter.domain.rule import Rule, RuleSet
    from tiltmeter.ports import World

DASHBOARD = "dashboard"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the demo says about its history.

    Args:
        seed: of the world.
        days: whole days of the history.
        incidents: the declared truth.
        matched: every alert with its incident.
        deliveries: per alert id: channel and what became of its messages.
        rows: rows per table.
        summary: in a few numbers.
        quiet: share of feature-windows in which nothing may fire.
        seconds: how long it took.
    """

    seed: int
    days: int
    incidents: tuple[Incident, ...]
    matched: tuple[Matched, ...]
    deliveries: Mapping[str, Sequence[tuple[str, str]]]
    rows: Mapping[str, int]
    summary: Summary
    quiet: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As `demo --json`."""
        return {
            "schema": "tiltmeter.demo/1",
            "seed": self.seed,
            "days": self.days,
            "planted": [_planted(incident) for incident in self.incidents],
            "alerts": [self._alert(found) for found in self.matched],
            "rows": dict(self.rows),
            "summary": {
                "planted": self.summary.planted,
                "matched": self.summary.matched,
                "missed": len(self.summary.missed),
                "unexplained": self.summary.unexplained,
                "features": len(FEATURES),
                "quiet_share": round(self.quiet, 4),
                "seconds": round(self.seconds, 1),
            },
        }

    def _alert(self, found: Matched) -> dict[str, Any]:
        alert = found.alert
        return {
            "id": alert.id,
            "incident": alert.incident or None,
            "delay_windows": found.delay_windows,
            "rule": alert.rule,
            "severity": alert.severity.word,
            "subject": alert.subject,
            "since": _text(alert.since),
            "until": _text(alert.until) if alert.until else None,
            "planted": found.planted,
            "deliveries": [
                {"channel": channel, "status": status} for channel, status in self.deliveries.get(alert.id, ())
            ],
        }

    def lines(self) -> list[str]:
        """For a person at a terminal: each planted incident and how it was found."""
        lines = []
        for incident in self.incidents:
            found = [m for m in self.matched if m.planted == incident.id and m.alert.severity >= Severity.WARNING]
            when = incident.start.strftime("%d %b %H:%M")
            if found:
                first = min(found, key=lambda m: m.alert.since)
                worst = max(m.alert.severity for m in found)
                told = sorted({channel for m in found for channel, _ in self.deliveries.get(m.alert.id, ())})
                what = f"{worst.word} by {first.alert.rule} at {first.alert.since.strftime('%d %b %H:%M')}"
                what += f", told: {', '.join(told)}" if told else ""
            else:
                what = "MISSED" if incident.required else "not looked for yet"
            lines.append(f"  {incident.id:<16} {incident.subject:<24} {when}  {what}")
        lines.extend(
            f"  UNEXPLAINED      {m.alert.subject:<24} {m.alert.since.strftime('%d %b %H:%M')}  {m.alert.rule}"
            for m in self.matched
            if m.planted is None and m.alert.severity >= Severity.WARNING
        )
        return lines


def build_report(
    seed: int,
    period: Period,
    incidents: Sequence[Incident],
    *,
    episodes: Episodes,
    world: World,
    rows: Mapping[str, int],
    seconds: float,
) -> Report:
    """Hold the episodes against what was planted, and add what became of their messages."""
    rules = {rule.id: rule for rule in world.rules.rules}
    raised = [
        _raised(alert, episodes.worst[name], window_of(episodes.onset[name], rules[alert.rule]))
        for name, alert in episodes.latest.items()
    ]
    matched = match(raised, incidents)
    sent: dict[str, list[Delivery]] = {}
    for alert in raised:
        if alert.incident and alert.incident not in sent:
            sent[alert.incident] = world.state.deliveries(incident=alert.incident)
    deliveries = {
        alert.id: _deliveries(channels_of(world.rules, alert.severity), sent.get(alert.incident, []))
        for alert in raised
    }
    return Report(
        seed,
        (period.end - period.start).days,
        tuple(incidents),
        tuple(matched),
        deliveries,
        rows,
        summarise(matched, incidents),
        quiet_share(incidents, period, world.zone),
        seconds,
    )


def channels_of(rules: RuleSet, severity: Severity) -> tuple[str, ...]:
    """Channels that hear of an alert of that severity at once, without the dashboard unless it is the only one."""
    named: tuple[str, ...] = ()
    for route in rules.routes:
        if route.severity is severity:
            named = rules.escalations[route.escalation].steps[0].to if route.escalation else route.to
    told = tuple(channel for channel in named if channel != DASHBOARD)
    return told or (DASHBOARD,)


def subject_of(alert: Alert) -> str:
    """What the alert speaks about, by the names that incidents use: a feature, `score`, a route, a job."""
    subject, metric = alert.subject, alert.metric
    name = metric.name if metric is not None else ""
    if subject.feature:
        return subject.feature
    if subject.segment_key in ("job", "http_route"):
        return subject.segment_value
    if name.startswith("drift."):
        return SCORE
    if name.startswith("serving."):
        details = metric.details if metric is not None else {}
        return str(details.get("top_route", ROUTE))
    if name.startswith("outcomes."):
        return f"{subject.segment_key}={subject.segment_value}" if subject.segment_key else "conversion"
    return alert.rule


def window_of(alert: Alert, rule: Rule) -> timedelta:
    """The longer of the rule's `every` and the span judged, plus its `for`."""
    if alert.metric is None:
        raise ValueError(f"{alert.id} fired without a metric")
    judged = alert.metric.window.length
    every = rule.every if not isinstance(rule.every, str) else judged
    hold = rule.hold.time if rule.hold.time is not None else judged * ((rule.hold.windows or 1) - 1)
    return max(every, judged) + hold


def _raised(alert: Alert, worst: Severity, window: timedelta) -> Raised:
    if alert.since is None:
        raise ValueError(f"{alert.id} fired without a beginning")
    return Raised(
        alert.id, alert.incident, alert.rule, worst, subject_of(alert), alert.since, alert.resolved_at, window
    )


def _deliveries(channels: Sequence[str], sent: Sequence[Delivery]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for channel in channels:
        if channel == DASHBOARD:
            found.append((channel, DeliveryStatus.SENT.value))
            continue
        statuses = [d.status for d in sent if d.message.channel == channel]
        if statuses:
            worst = next((s for s in statuses if s is not DeliveryStatus.SENT), DeliveryStatus.SENT)
            found.append((channel, worst.value))
    return found


def _planted(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "kind": incident.kind,
        "subject": incident.subject,
        "from": _text(incident.start),
        "to": _text(incident.end),
        "severity": incident.severity.word,
        "required": incident.required,
        "may_move": list(incident.may_move),
    }


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
