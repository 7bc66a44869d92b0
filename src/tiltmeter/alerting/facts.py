"""The facts of a message: since when, how bad against what, who is hit, the likely cause, what comes next."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tiltmeter.alerting.news import names_of
from tiltmeter.alerting.phrases import (
    bound_of,
    clock_time,
    date_of,
    detail,
    length_of,
    local_time,
    measure_of,
    moment_of,
    name_of,
    number,
    value_of,
)
from tiltmeter.domain.alert import Alert, Incident, IncidentState
from tiltmeter.domain.message import TAKEN, Row
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from tiltmeter.alerting.situation import Situation
    from tiltmeter.domain.rule import Rule

MOST_ROWS = 100
"""Subjects in the table of a message: channels show the worst and put the rest where it is out of the way."""

_PLACEHOLDER = re.compile(r"\{(model|model_version|feature|rule|severity|value)\}")


def facts_of(
    incident: Incident, shown: Sequence[Alert], situation: Situation, rules: Mapping[str, Rule], now: datetime
) -> dict[str, str]:
    """Label and text of what there is to say, in the order of a tired person's questions.

    Args:
        incident: as it is now.
        shown: its alerts, worst first.
        situation: zone, what is special about this run.
        rules: by id.
        now: wall clock.
    """
    facts = {
        "Since": _since_text(incident, shown, situation.zone, now),
        "How bad": _how_bad(shown, rules),
        "What": _what(shown, rules) if len(shown) > 1 else "",
        "Who is hit": _who(shown),
        "Likely cause": incident.cause,
        **_special(shown, situation),
    }
    if incident.acknowledged_by:
        taken = f", {clock_time(incident.acknowledged_at, situation.zone)}" if incident.acknowledged_at else ""
        note = f": {name_of(incident.note)}" if incident.note else ""
        facts[TAKEN] = f"{name_of(incident.acknowledged_by)}{taken}{note}"
    for alert in shown[:1]:
        rule = rules.get(alert.rule)
        for label, text in (rule.annotations if rule else {}).items():
            if label not in ("action", "actions"):
                facts[label.capitalize()] = filled(text, alert)
    facts["Next"] = _next(incident, situation.zone, now)
    return {label: text for label, text in facts.items() if text}


def _special(shown: Sequence[Alert], situation: Situation) -> dict[str, str]:
    facts = {}
    if situation.late_windows:
        plural = "s" if situation.late_windows > 1 else ""
        facts["Evaluated late"] = f"{situation.late_windows} window{plural} made up after the monitor was down"
    if any(alert.late for alert in shown):
        facts["Found late"] = "rows came after the window was first judged"
    stale = [alert for alert in shown if alert.stale]
    if stale:
        facts["Stale"] = f"no fresh data for {names_of(stale)}; the state is frozen, not recovered"
    return facts


def since_of(incident: Incident, alerts: Iterable[Alert]) -> datetime:
    """When the first of the alerts began, in window time."""
    return min((alert.since for alert in alerts if alert.since is not None), default=incident.opened_at)


def _since_text(incident: Incident, shown: Sequence[Alert], zone: ZoneInfo, now: datetime) -> str:
    since = since_of(incident, shown)
    first = next((moment_of(detail(a, "first_seen")) for a in shown if detail(a, "first_seen")), None)
    text = local_time(first or since, zone, with_year=True)
    if incident.state is IncidentState.OPEN and now > since:
        text += f" ({_ago(now - (first or since))} ago)"
    window = next((alert.metric.window for alert in shown if alert.metric is not None), None)
    if window is None or window.grain is Grain.LIVE:
        return text
    return f"{text}, {'window' if window.end == since else 'newest window'} {_span(window, zone)}"


def _ago(length: timedelta) -> str:
    whole = timedelta(minutes=round(length / timedelta(minutes=1)))
    return length_of(whole if length > timedelta(minutes=2) else length)


def _span(window: Window, zone: ZoneInfo) -> str:
    """`Sun 22 Nov, whole day`, `14:00 to 15:00`, `16 Nov to 22 Nov`."""
    last = window.end - timedelta(microseconds=1)
    if window.grain is Grain.HOUR and window.length <= timedelta(hours=1):
        return f"{window.start.astimezone(zone):%H:%M} to {window.end.astimezone(zone):%H:%M}"
    first_day, last_day = date_of(window.start, zone), date_of(last, zone)
    if window.grain is Grain.HOUR:
        return f"{local_time(window.start, zone)} to {local_time(window.end, zone)}"
    return f"{first_day}, whole day" if first_day == last_day else f"{first_day} to {last_day}"


def _how_bad(shown: Sequence[Alert], rules: Mapping[str, Rule]) -> str:
    for alert in shown[:1]:
        rule, value = rules.get(alert.rule), value_of(alert)
        measure = measure_of(alert, rule.metric if rule else "")
        if value is None:
            return "no data"
        text = f"{measure.label} {measure.value(value)}{_limits(rule, alert)}"
        metric = alert.metric
        if metric is not None and metric.n_reference and metric.n_current:
            text += f"; {metric.n_current:,} rows against {metric.n_reference:,} of the baseline"
        usual = detail(alert, "usual")
        return f"{text}; usual is {usual}" if usual else text
    return ""


def _limits(rule: Rule | None, alert: Alert) -> str:
    """The limit it broke, and the one that would be worse."""
    limit = rule.levels.get(alert.severity) if rule else None
    if rule is None or limit is None:
        return ""
    show = measure_of(alert, rule.metric).value
    worse = next((level for level in sorted(rule.levels) if level > alert.severity), None)
    ahead = f" ({worse.word} {bound_of(rule.levels[worse], show)})" if worse is not None else ""
    return f", limit {bound_of(limit, show)}{ahead}"


def _what(shown: Sequence[Alert], rules: Mapping[str, Rule]) -> str:
    said = []
    for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO):
        mine = [alert for alert in shown if alert.severity is severity]
        limits = list(dict.fromkeys(_limit_text(rules.get(alert.rule), alert) for alert in mine))
        if mine:
            listed = ", ".join(limits[:3]) + (", …" if len(limits) > 3 else "")
            said.append(f"{len(mine)} {severity.word} ({listed})")
    return ", ".join(said)


def _limit_text(rule: Rule | None, alert: Alert) -> str:
    limit = rule.levels.get(alert.severity) if rule is not None else None
    if rule is None or limit is None:
        return alert.rule
    measure = measure_of(alert, rule.metric)
    return f"{measure.label} {bound_of(limit, measure.value)}"


def _who(shown: Sequence[Alert]) -> str:
    said = []
    for alert in shown:
        subject = alert.subject
        if subject.segment_key == "job":
            said.append(f"whoever uses what job {name_of(subject.segment_value)} writes")
        elif subject.segment_key and subject.segment_key != "rule_id":
            said.append(f"{name_of(subject.segment_key)} = {name_of(subject.segment_value)}")
        elif subject.model_version:
            said.append(f"version {name_of(subject.model_version)}")
        elif detail(alert, "top_route"):
            said.append(f"callers of {detail(alert, 'top_route')}")
    return ", ".join(list(dict.fromkeys(said))[:3])


def _next(incident: Incident, zone: ZoneInfo, now: datetime) -> str:
    """When it goes to the next level or is said again, and to whom."""
    if incident.state is not IncidentState.OPEN:
        return ""
    if incident.acknowledged_by:
        ends = incident.ack_expires_at
        return f"asks again {local_time(ends, zone)} unless it is over by then" if ends is not None else ""
    if incident.next_step_at is not None and incident.next_step_at > now:
        steps = incident.escalation.steps if incident.escalation else ()
        to = f" ({', '.join(steps[incident.step].to)})" if incident.step < len(steps) else ""
        at = clock_time(incident.next_step_at, zone)
        return f"goes to level {incident.step + 1}{to} at {at} if nobody acknowledges"
    if incident.repeat_at is not None and incident.repeat_at > now:
        return f"reminder {local_time(incident.repeat_at, zone)} if nobody acknowledges"
    return ""


def told_once(alerts: Sequence[Alert]) -> list[Alert]:
    """Without those of a version whose whole window is told anyway: of one cause there is one finding."""
    whole = {(alert.rule, alert.subject) for alert in alerts if not alert.subject.model_version}
    return [
        alert
        for alert in alerts
        if not alert.subject.model_version or (alert.rule, replace(alert.subject, model_version="")) not in whole
    ]


def rows_of(shown: Sequence[Alert], situation: Situation, rules: Mapping[str, Rule]) -> list[Row]:
    """One line for every subject and measure, worst first: what is said of a subject once is not said again."""
    found: dict[tuple[str, ...], Row] = {}
    for alert in shown:
        subject, row = alert.subject, _row(alert, situation, rules)
        about = "" if subject.feature else row.measure
        found.setdefault((subject.feature, subject.segment_value, subject.model_version, about), row)
    return list(found.values())


def _row(alert: Alert, situation: Situation, rules: Mapping[str, Rule]) -> Row:
    rule = rules.get(alert.rule)
    measure = measure_of(alert, rule.metric if rule else "")
    value = value_of(alert)
    subject = alert.subject
    name = subject.feature or subject.segment_value or detail(alert, "of") or subject.model
    version = f" (version {subject.model_version})" if subject.model_version else ""
    return Row(
        subject=name_of(name + version),
        severity=alert.severity,
        measure=measure.label,
        value="no data" if value is None else measure.value(value),
        change=detail(alert, "effect") or detail(alert, "exception") or detail(alert, "message"),
        link=feature_link(situation.public_url, subject.feature) if subject.feature else "",
    )


def feature_link(public_url: str, feature: str) -> str:
    """Address of a feature's page; empty without a public address."""
    return f"{public_url.rstrip('/')}/feature?{urlencode({'f': feature}, quote_via=quote)}" if public_url else ""


def filled(text: str, alert: Alert) -> str:
    """A text with its placeholders filled; an unknown one stays as it is written, so that nothing can fail."""
    value = value_of(alert)
    words = {
        "model": alert.subject.model,
        "model_version": alert.subject.model_version,
        "rule": alert.rule,
        "feature": alert.subject.feature,
        "severity": alert.severity.word,
        "value": "unknown" if value is None else number(value),
    }
    return _PLACEHOLDER.sub(lambda match: name_of(words[match[1]]), text)
