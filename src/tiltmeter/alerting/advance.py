"""From verdicts to everything that changes: alerts, their events, incidents, messages. One pure call per window."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from tiltmeter.alerting.desk import Desk
from tiltmeter.alerting.escalation import acknowledge, tick, unacknowledge
from tiltmeter.alerting.grouping import assign
from tiltmeter.alerting.lifecycle import close, step
from tiltmeter.alerting.rules import DUPLICATE
from tiltmeter.alerting.situation import SERIES_LIMIT, Advance, Change, Load, Situation
from tiltmeter.alerting.telling import reconcile
from tiltmeter.domain.alert import Alert, AlertEvent, AlertState, IncidentState, Verdict
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.rule import Absence, Limit, Rule
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from tiltmeter.domain.window import Window

RULE_ERROR = "rule_error"
"""Built-in rule: a rule of the file cannot be judged. Its alerts have the label `rule_id`."""

_META = Rule(RULE_ERROR, "", {Severity.WARNING: Limit(above=0)}, by=("rule_id",), min_rows=0)

_OPEN = (AlertState.PENDING, AlertState.FIRING)

_Key = tuple[str, Subject]


def advance(situation: Situation, verdicts: Sequence[Verdict], *, window: Window, now: datetime) -> Advance:
    """What one judged window changes.

    Args:
        situation: state before the window.
        verdicts: of all rules that are judged now.
        window: what was judged; time in alerts is its end.
        now: wall clock.
    """
    desk = Desk.of(situation, now)
    rules = {rule.id: rule for rule in situation.rules.rules}
    known = {(alert.rule, alert.subject): alert for alert in situation.alerts.values()}
    orphans = _orphans(situation, rules)
    standing = {key for key, alert in known.items() if alert.state in _OPEN or situation.is_late}
    standing -= {(alert.rule, alert.subject) for alert in orphans}
    for alert in orphans:
        _apply(desk, close(alert, _why_orphaned(alert, rules, situation), at=window.end, now=now))
    # Nearly every verdict of a quiet year ends here: fine, and nothing open that it could end.
    loud = [v for v in verdicts if v.severity or not v.judged or (standing and (v.rule, v.subject) in standing)]
    accepted, errors = _accepted(loud, standing)
    judged = situation.judged if situation.judged is not None else frozenset(verdict.rule for verdict in verdicts)
    meta = _meta_verdicts(situation, judged, errors, window, standing)
    for verdict in (*accepted, *_vanished(situation, judged - errors.keys(), verdicts), *meta):
        rule = rules.get(verdict.rule) or (_META if verdict.rule == RULE_ERROR else None)
        key = (verdict.rule, verdict.subject)
        if rule is None or (not verdict.severity and key not in standing):
            continue
        _apply(desk, step(known.get(key), verdict, rule, window=window, now=now, late=situation.is_late))
    _tell(desk)
    if desk.unworded:
        _report_unworded(desk, window)
    return desk.advance()


def _report_unworded(desk: Desk, window: Window) -> None:
    """An alert of the built-in rule about every rule whose message was sent in plain words only."""
    known = {(alert.rule, alert.subject): alert for alert in desk.alerts.values() if alert.rule == RULE_ERROR}
    begin = len(desk.events)
    for rule, (model, why) in sorted(desk.unworded.items()):
        subject = Subject(model, segment_key="rule_id", segment_value=rule)
        metric = Metric("", subject, window, 1.0, details={"unworded": why})
        verdict = Verdict(RULE_ERROR, subject, Severity.WARNING, metric, clear_of=Severity.WARNING, why=why)
        _apply(desk, step(known.get((RULE_ERROR, subject)), verdict, _META, window=window, now=desk.now))
    _tell(desk, begin)


def _apply(desk: Desk, stepped: tuple[Alert, list[AlertEvent]]) -> None:
    alert, events = stepped
    if events or desk.alerts.get(alert.fingerprint) != alert:
        desk.put_alert(alert)
    desk.events.extend(events)


def _tell(desk: Desk, begin: int = 0) -> None:
    """Put what fired into incidents, then let every incident that may have news say it.

    Args:
        desk: where changes go.
        begin: events before this one were told already.
    """
    beginnings = {e.fingerprint for e in desk.events[begin:] if e.kind in ("alert_fired", "alert_reopened")}
    assign(desk, [alert for name, alert in desk.alerts.items() if name in beginnings and alert.state in _OPEN])
    desk.events[:] = [
        replace(event, incident=desk.alerts[event.fingerprint].incident) if event.fingerprint else event
        for event in desk.events
    ]
    news: defaultdict[str, list[AlertEvent]] = defaultdict(list)
    for event in desk.events[begin:]:
        news[event.incident].append(event)
    model = desk.situation.model
    touched = {alert.incident for alert in desk.changed_alerts.values()}
    for incident in list(desk.incidents.values()):
        mine = incident.id in touched or (bool(model) and incident.model == model)
        if mine and incident.state is IncidentState.OPEN and incident.storm != incident.id:
            reconcile(desk, incident, news[incident.id])


def _accepted(verdicts: Sequence[Verdict], standing: set[_Key]) -> tuple[list[Verdict], dict[str, str]]:
    """Verdicts of rules that can be judged, and why others cannot.

    A rule over its limit of series keeps its last state; a broken number of one series leaves the others alone.
    """
    errors: dict[str, str] = {}
    for verdict in verdicts:
        why = _error_of(verdict)
        if why:
            errors.setdefault(verdict.rule, why)
    breached = Counter(v.rule for v in verdicts if v.severity or (v.rule, v.subject) in standing)
    too_many = {rule: count for rule, count in breached.items() if count > SERIES_LIMIT}
    errors |= {rule: f"{count:,} series, the limit is {SERIES_LIMIT:,}" for rule, count in too_many.items()}
    return [verdict for verdict in verdicts if verdict.rule not in too_many], errors


def _error_of(verdict: Verdict) -> str:
    if verdict.why == DUPLICATE:
        return DUPLICATE
    metric = verdict.metric
    if verdict.judged or metric is None:
        return ""
    broken = metric.value is not None and not math.isfinite(metric.value)
    return verdict.why if broken or metric.status is Status.ERROR else ""


def _meta_verdicts(
    situation: Situation, judged: Iterable[str], errors: Mapping[str, str], window: Window, standing: set[_Key]
) -> list[Verdict]:
    """An alert about every rule that cannot be judged, and its recovery."""
    if not situation.model:
        return []
    alarmed = {subject.segment_value for rule, subject in standing if rule == RULE_ERROR}
    found = []
    for name in sorted({name for name in judged if name in alarmed} | errors.keys()):
        subject = Subject(situation.model, segment_key="rule_id", segment_value=name)
        why = errors.get(name, "")
        severity = Severity.WARNING if why else Severity.NONE
        metric = Metric("", subject, window, float(bool(why)), details={"why": why} if why else {})
        found.append(Verdict(RULE_ERROR, subject, severity, metric, clear_of=severity, why=why))
    return found


def _vanished(situation: Situation, judged: Iterable[str], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A verdict for every open alert whose rule was judged and said nothing about it.

    An alert on a model version that scored nothing, or everything, in the window follows what the rule says of the
    whole model: a version that was rolled back must not stay alarmed for ever. Other alerts have no number.
    """
    names = set(judged)
    silent = [
        alert
        for alert in situation.alerts.values()
        if alert.state in _OPEN and alert.rule in names and alert.subject.model == situation.model
    ]
    if not silent:
        return []
    spoken = {(verdict.rule, verdict.subject): verdict for verdict in verdicts}
    fine = {rule.id for rule in situation.rules.rules if rule.no_data is Absence.OK}
    found = []
    for alert in silent:
        if (alert.rule, alert.subject) in spoken:
            continue
        whole = spoken.get((alert.rule, replace(alert.subject, model_version="")))
        if alert.subject.model_version and whole is not None and whole.judged:
            found.append(replace(whole, subject=alert.subject))
        else:
            found.append(
                Verdict(alert.rule, alert.subject, Severity.NONE, None, judged=alert.rule in fine, why="no data")
            )
    return found


def _orphans(situation: Situation, rules: Mapping[str, Rule]) -> list[Alert]:
    """Open alerts that nothing will ever judge again."""
    return [
        alert for alert in situation.alerts.values() if alert.state in _OPEN and _why_orphaned(alert, rules, situation)
    ]


def _why_orphaned(alert: Alert, rules: Mapping[str, Rule], situation: Situation) -> str:
    if alert.rule not in rules and alert.rule != RULE_ERROR:
        return "rule removed"
    return "feature removed" if alert.subject.feature and alert.subject.feature in situation.ignored else ""


__all__ = [
    "RULE_ERROR",
    "Advance",
    "Change",
    "Load",
    "Situation",
    "acknowledge",
    "advance",
    "tick",
    "unacknowledge",
]
