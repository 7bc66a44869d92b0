"""The words of every message: effect first, then since when, how bad, who is hit, the likely cause, what to do.

Everything here is plain text with hostile names cut and cleaned; channels escape it their own way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tiltmeter.alerting.causes import likely_cause
from tiltmeter.alerting.news import names_of, news_line
from tiltmeter.alerting.phrases import (
    bound_of,
    clock_time,
    detail,
    length_of,
    local_time,
    measure_of,
    moment_of,
    name_of,
    number,
    value_of,
)
from tiltmeter.domain.alert import AlertState, IncidentState
from tiltmeter.domain.message import Content, MessageKind, Row
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.alerting.situation import Situation
    from tiltmeter.domain.alert import Alert, AlertEvent, Incident
    from tiltmeter.domain.rule import Rule

WORST = 5
"""Subjects in the table of a message; the rest is counted."""

_FAMILIES = ("service", "job", "schema", "drift", "outcomes", "monitor")
_PAGES = {"service": "/service", "outcomes": "/outcomes"}
_PLACEHOLDER = re.compile(r"\{(model|model_version|feature|rule|severity|value)\}")


def title_of(firing: Sequence[Alert]) -> str:
    """One line without severity: `30 features drifted, worst lead_source PSI 0.61`; at most two kinds of trouble."""
    loud = [alert for alert in firing if alert.severity > Severity.INFO] or list(firing)
    clauses: list[tuple[Severity, int, str]] = []
    for order, family in enumerate(_FAMILIES):
        mine = [alert for alert in loud if measure_of(alert, "").family == family]
        if mine:
            worst = max(alert.severity for alert in mine)
            clauses.append((worst, -order, _clause(family, mine)))
    clauses.sort(reverse=True)
    said = "; ".join(text for _, _, text in clauses[:2])
    return f"{said}; and more" if len(clauses) > 2 else said


def _clause(family: str, alerts: Sequence[Alert]) -> str:
    worst = worst_first(alerts)[0]
    text = measure_of(worst, "").title(worst)
    features = {alert.subject.feature for alert in alerts if alert.subject.feature}
    if family == "drift" and len(features) > 1:
        measure = measure_of(worst, "")
        value = value_of(worst)
        shown = f" {measure.label} {measure.value(value)}" if value is not None else ""
        return f"{len(features)} features drifted, worst {name_of(worst.subject.feature) or 'the score'}{shown}"
    others = len({alert.subject for alert in alerts}) - 1
    return f"{text} and {others} more" if others and family != "drift" else text


def worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    """By severity, then kind of trouble, then how far the value is beyond what it should be."""
    return sorted(
        alerts,
        key=lambda a: (-a.severity, _metric_rank(a), -abs(a.value or a.peak or 0.0), a.subject, a.rule),
    )


_RANKS = ("serving.error_rate", "batch.failed", "features.schema_changes", "drift.psi", "drift.overall_psi")


def _metric_rank(alert: Alert) -> int:
    name = alert.metric.name if alert.metric is not None else ""
    return _RANKS.index(name) if name in _RANKS else len(_RANKS)


def cause_of(situation: Situation, members: Sequence[Alert]) -> str:
    """The likely cause of an incident; empty when nothing stands out."""
    return likely_cause(members, situation.changes)


def content_of(
    kind: MessageKind,
    incident: Incident,
    members: Sequence[Alert],
    situation: Situation,
    *,
    now: datetime,
    news: Sequence[AlertEvent] = (),
    remark: str = "",
) -> Content:
    """The words of a message about an incident.

    Args:
        kind: what happened to it.
        incident: as it is after that.
        members: its alerts.
        situation: rules, zone, public address.
        now: wall clock.
        news: events of this run.
        remark: one more sentence, such as whose acknowledgement expired.
    """
    firing = worst_first([alert for alert in members if alert.state is AlertState.FIRING])
    shown = firing or worst_first(members)
    rules = {rule.id: rule for rule in situation.rules.rules}
    rows = tuple(_row(alert, situation, rules) for alert in shown[:WORST])
    facts = _facts(incident, shown, situation, rules, now)
    extra = news_line(kind, incident, members, news, situation.zone, now, remark)
    if extra:
        facts = {"Now": extra, **facts}
    if kind is MessageKind.RESOLVED:
        facts.pop("How bad", None)  # the effect says the worst; now it is fine
    return Content(
        title=incident.title or title_of(shown),
        effect=_effect(kind, incident, shown),
        facts=facts,
        rows=rows,
        more=max(0, len(shown) - WORST),
        actions=() if kind is MessageKind.RESOLVED else _actions(shown, rules),
        links=_links(incident, shown, situation, rules),
        footer=_footer(incident, shown, situation, now),
    )


def plain_title(firing: Sequence[Alert]) -> str:
    """A title that needs no fact of any alert: `3 alerts of feature_psi, latency`."""
    names = list(dict.fromkeys(alert.rule for alert in firing))
    plural = "s" if len(firing) != 1 else ""
    return f"{len(firing)} alert{plural} of {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}"


def plain_content(
    kind: MessageKind, incident: Incident, members: Sequence[Alert], situation: Situation, *, why: str
) -> Content:
    """A message without any fact that could fail to be worded.

    Args:
        kind: what happened to the incident.
        incident: as it is after that.
        members: its alerts.
        situation: zone, public address.
        why: what failed, by the name of its class: the text of an error may hold anything.
    """
    over = kind is MessageKind.RESOLVED
    base = situation.public_url.rstrip("/")
    return Content(
        title=incident.title or plain_title(members),
        effect="It is over."
        if over
        else f"{incident.severity.word} since {local_time(incident.opened_at, situation.zone)}.",
        facts={
            "Note": f"the full text of this message could not be written ({why}); the facts are on the incident's page"
        },
        actions=() if over else ("Open the incident and look at its alerts", f"tiltmeter alerts show {incident.id}"),
        links={"Incident": f"{base}/incident?id={incident.id}", "Dashboard": f"{base}/"} if base else {},
        footer=incident.id,
    )


def _effect(kind: MessageKind, incident: Incident, shown: Sequence[Alert]) -> str:
    if kind is MessageKind.RESOLVED:
        reasons = {alert.state for alert in shown}
        lasted = length_of((incident.resolved_at or incident.updated_at) - _since(incident, shown))
        again = f", {incident.reopened} reopening{'s' if incident.reopened > 1 else ''}" if incident.reopened else ""
        if reasons == {AlertState.CLOSED}:
            return f"Closed after {lasted}: its rule or feature was removed; it did not recover."
        return f"Recovered after {lasted}, worst {_worst_ever(shown)}{again}."
    said = []
    for alert in shown[:3]:
        moved = detail(alert, "effect")
        if moved and alert.subject.feature:
            moved = f"{name_of(alert.subject.feature)}: {moved}"
        text = moved or _service_effect(alert)
        if text and text not in said:
            said.append(text)
    # The score's own shift is what the business feels: it is said even when a feature moved further.
    score = next((detail(a, "effect") for a in shown[3:] if detail(a, "of") == "score" and detail(a, "effect")), "")
    return "; ".join([*said, score] if score else said)


def _service_effect(alert: Alert) -> str:
    if alert.metric is None or not alert.metric.name.startswith("serving."):
        return ""
    route, errors, requests = (detail(alert, key) for key in ("top_route", "errors", "requests"))
    exception = detail(alert, "exception")
    if errors and route:
        return f"{route} fails{f' with {exception}' if exception else ''}: {errors} of {requests} requests"
    return f"slowest on {route}, {requests} requests in the span" if route and requests else ""


def _worst_ever(shown: Sequence[Alert]) -> str:
    worst = max(shown, key=lambda alert: (alert.severity, abs(alert.peak or 0.0)), default=None)
    if worst is None or worst.peak is None:
        return "value unknown"
    measure = measure_of(worst, "")
    subject = name_of(worst.subject.feature)
    return f"{subject + ' ' if subject else ''}{measure.label} {measure.value(worst.peak)}"


def _since(incident: Incident, alerts: Sequence[Alert]) -> datetime:
    return min((alert.since for alert in alerts if alert.since is not None), default=incident.opened_at)


def _facts(
    incident: Incident, shown: Sequence[Alert], situation: Situation, rules: dict[str, Rule], now: datetime
) -> dict[str, str]:
    facts = {
        "What": _what(shown, rules),
        "Since": _since_text(incident, shown, situation.zone, now),
        "How bad": _how_bad(shown, rules),
        "Who is hit": _who(shown),
        "Likely cause": incident.cause,
    }
    if situation.late_windows:
        plural = "s" if situation.late_windows > 1 else ""
        facts["Evaluated late"] = f"{situation.late_windows} window{plural} made up after the monitor was down"
    if any(alert.late for alert in shown):
        facts["Found late"] = "rows came after the window was first judged"
    if any(alert.stale for alert in shown):
        facts["Stale"] = (
            f"no fresh data for {names_of([a for a in shown if a.stale])}; the state is frozen, not recovered"
        )
    if incident.acknowledged_by:
        taken = f", {clock_time(incident.acknowledged_at, situation.zone)}" if incident.acknowledged_at else ""
        note = f": {name_of(incident.note)}" if incident.note else ""
        facts["Acknowledged"] = f"{name_of(incident.acknowledged_by)}{taken}{note}"
    for alert in shown[:1]:
        rule = rules.get(alert.rule)
        for label, text in (rule.annotations if rule else {}).items():
            if label not in ("action", "actions"):
                facts[label.capitalize()] = filled(text, alert)
    return {label: text for label, text in facts.items() if text}


def _what(shown: Sequence[Alert], rules: dict[str, Rule]) -> str:
    said = []
    for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO):
        mine = [alert for alert in shown if alert.severity is severity]
        if not mine:
            continue
        names = list(dict.fromkeys(alert.rule for alert in mine))
        limits = _limit_text(rules.get(names[0]), severity, mine[0]) if len(names) == 1 else ", ".join(names[:4])
        said.append(f"{len(mine)} {severity.word}{f' ({limits})' if limits else ''}")
    return ", ".join(said)


def _limit_text(rule: Rule | None, severity: Severity, alert: Alert) -> str:
    limit = rule.levels.get(severity) if rule is not None else None
    if rule is None or limit is None:
        return ""
    measure = measure_of(alert, rule.metric)
    return f"{measure.label} {bound_of(limit, measure.value)}"


def _since_text(incident: Incident, shown: Sequence[Alert], zone: ZoneInfo, now: datetime) -> str:
    since = _since(incident, shown)
    first = next((moment_of(detail(a, "first_seen")) for a in shown if detail(a, "first_seen")), None)
    text = local_time(first or since, zone, with_year=True)
    if incident.state is IncidentState.OPEN and now > since:
        text += f" ({length_of(now - (first or since))} ago)"
    spans = [alert.metric.window for alert in shown if alert.metric is not None]
    if spans and spans[0].grain is not Grain.LIVE:
        begin, end = spans[0].start, spans[0].end
        text += f", in the window {local_time(begin, zone)} to {local_time(end, zone)}"
    return text


def _how_bad(shown: Sequence[Alert], rules: dict[str, Rule]) -> str:
    for alert in shown[:1]:
        rule, value = rules.get(alert.rule), value_of(alert)
        measure = measure_of(alert, rule.metric if rule else "")
        if value is None:
            return "no data"
        text = f"{measure.label} {measure.value(value)}"
        limit = rule.levels.get(alert.severity) if rule else None
        if limit is not None:
            text += f", limit {bound_of(limit, measure.value)}"
        metric = alert.metric
        if metric is not None and metric.n_reference and metric.n_current:
            text += f"; {metric.n_current:,} rows against {metric.n_reference:,} of the baseline"
        usual = detail(alert, "usual")
        return f"{text}; usual is {usual}" if usual else text
    return ""


def _who(shown: Sequence[Alert]) -> str:
    said = []
    for alert in shown:
        subject = alert.subject
        if subject.segment_key and subject.segment_key != "rule_id":
            said.append(f"{name_of(subject.segment_key)} = {name_of(subject.segment_value)}")
        elif subject.model_version:
            said.append(f"version {name_of(subject.model_version)}")
        elif detail(alert, "top_route"):
            said.append(f"callers of {detail(alert, 'top_route')}")
    return ", ".join(list(dict.fromkeys(said))[:3])


def _row(alert: Alert, situation: Situation, rules: dict[str, Rule]) -> Row:
    rule = rules.get(alert.rule)
    measure = measure_of(alert, rule.metric if rule else "")
    value = value_of(alert)
    subject = alert.subject
    name = subject.feature or subject.segment_value or detail(alert, "of") or subject.model
    return Row(
        subject=name_of(name),
        severity=alert.severity,
        measure=measure.label,
        value="no data" if value is None else measure.value(value),
        change=detail(alert, "effect") or detail(alert, "exception") or detail(alert, "message"),
        link=_feature_link(situation.public_url, subject.feature) if subject.feature else "",
    )


def _feature_link(public_url: str, feature: str) -> str:
    return f"{public_url.rstrip('/')}/feature?{urlencode({'f': feature}, quote_via=quote)}" if public_url else ""


def _actions(shown: Sequence[Alert], rules: dict[str, Rule]) -> tuple[str, ...]:
    found: list[str] = []
    for alert in shown[:WORST]:
        rule = rules.get(alert.rule)
        written = [text for key, text in (rule.annotations if rule else {}).items() if key in ("action", "actions")]
        found += [filled(text, alert) for text in written]
        found += measure_of(alert, rule.metric if rule else "").actions
        if rule is not None and rule.runbook:
            found.append(f"Follow the runbook: {rule.runbook}")
    return tuple(dict.fromkeys(found))[:WORST]


def filled(text: str, alert: Alert) -> str:
    """An annotation with its placeholders filled; an unknown one stays as it is written, so that nothing can fail."""
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


def _links(incident: Incident, shown: Sequence[Alert], situation: Situation, rules: dict[str, Rule]) -> dict[str, str]:
    links: dict[str, str] = {}
    base = situation.public_url.rstrip("/")
    if base:
        links["Incident"] = f"{base}/incident?id={incident.id}"
        for alert in shown[:1]:
            family = measure_of(alert, "").family
            if alert.subject.feature:
                links[f"Feature {name_of(alert.subject.feature)}"] = _feature_link(base, alert.subject.feature)
            elif family in _PAGES:
                links[family.capitalize()] = base + _PAGES[family]
        links["Dashboard"] = f"{base}/?{urlencode({'model': incident.model}, quote_via=quote)}"
    for alert in shown[:1]:
        rule = rules.get(alert.rule)
        if rule is not None and rule.runbook:
            links["Runbook"] = rule.runbook
    return links


def _footer(incident: Incident, shown: Sequence[Alert], situation: Situation, now: datetime) -> str:
    rules = list(dict.fromkeys(alert.rule for alert in shown))
    revision = f"@{situation.rules.revision}" if situation.rules.revision else ""
    said = [incident.id]
    if rules:
        more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
        said.append(f"rule {rules[0]}{revision}{more}")
    if incident.state is IncidentState.OPEN and not incident.acknowledged_by:
        if incident.next_step_at is not None and incident.next_step_at > now:
            at = clock_time(incident.next_step_at, situation.zone)
            said.append(f"goes to level {incident.step + 1} at {at} if nobody acknowledges")
        elif incident.repeat_at is not None and incident.repeat_at > now:
            said.append(f"reminder {local_time(incident.repeat_at, situation.zone)} if nobody acknowledges")
    if situation.next_check is not None:
        said.append(f"next check {local_time(situation.next_check, situation.zone)}")
    return " · ".join(said)
