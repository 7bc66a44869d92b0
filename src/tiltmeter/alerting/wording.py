"""The words of every message: effect first, then since when, how bad, who is hit, the likely cause, what to do.

Everything here is plain text with hostile names cut and cleaned; channels escape it their own way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tiltmeter.alerting.causes import likely_cause
from tiltmeter.alerting.facts import MOST_ROWS, facts_of, feature_link, filled, rows_of, since_of, told_once
from tiltmeter.alerting.news import news_line
from tiltmeter.alerting.phrases import detail, length_of, local_time, measure_of, moment_of, name_of, value_of
from tiltmeter.domain.alert import AlertState, IncidentState
from tiltmeter.domain.message import NEWS, TAKEN, Content, MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.alerting.situation import Situation
    from tiltmeter.domain.alert import Alert, AlertEvent, Incident
    from tiltmeter.domain.rule import Rule

MOST_EFFECTS = 3
MOST_ACTIONS = 5

_FAMILIES = ("service", "job", "schema", "drift", "outcomes", "monitor")
_PAGES = {"service": "/service", "outcomes": "/outcomes"}


def title_of(firing: Sequence[Alert]) -> str:
    """One line without severity: `30 features drifted, worst lead_source PSI 0.61`; at most two kinds of trouble."""
    once = told_once(firing)
    loud = [alert for alert in once if alert.severity > Severity.INFO] or once
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
    ordered = worst_first(alerts)
    worst = next((alert for alert in ordered if alert.subject.feature), ordered[0])
    text = measure_of(worst, "").title(worst)
    features = {alert.subject.feature for alert in alerts if alert.subject.feature}
    if family == "drift" and len(features) > 1:
        measure = measure_of(worst, "")
        value = value_of(worst)
        shown = f" {measure.label} {measure.value(value)}" if value is not None else ""
        moved = detail(worst, "effect")
        if moved and worst.severity <= Severity.INFO:
            figure = f" ({shown.strip()})" if shown else ""
            return (
                f"{len(features)} features moved, most {name_of(worst.subject.feature) or 'the score'}: {moved}{figure}"
            )
        return f"{len(features)} features drifted, worst {name_of(worst.subject.feature) or 'the score'}{shown}"
    others = len({alert.subject for alert in alerts}) - 1
    return f"{text} and {others} more" if others and family != "drift" else text


def worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    """By severity, then kind of trouble, then how far the value is beyond what it should be."""
    return sorted(
        alerts,
        key=lambda a: (-a.severity, _metric_rank(a), -_distance(a.value or a.peak, a), a.subject, a.rule),
    )


def _distance(value: float | None, alert: Alert) -> float:
    """How far a value is from what it should be: the larger the worse."""
    # A q-value is a chance: the smaller, the surer.
    is_chance = alert.metric is not None and alert.metric.name == "drift.test_q_value"
    return 1.0 - (value or 0.0) if is_chance else abs(value or 0.0)


_RANKS = ("serving.error_rate", "batch.failed", "features.schema_changes", "drift.score_psi", "drift.psi")


def _metric_rank(alert: Alert) -> int:
    name = alert.metric.name if alert.metric is not None else ""
    if detail(alert, "of") == "score":
        name = "drift.score_psi"  # what the business feels goes before the features behind it
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
    shown = told_once(firing or worst_first(members))
    rules = {rule.id: rule for rule in situation.rules.rules}
    rows = rows_of(shown, situation, rules)
    facts = facts_of(incident, shown, situation, rules, now)
    extra = news_line(kind, incident, members, news, situation.zone, now, remark)
    if extra:
        facts = {NEWS: extra, **facts}
    if kind is MessageKind.ACKNOWLEDGED:
        facts.pop(TAKEN, None)  # that is the news
    if kind is MessageKind.RESOLVED:
        facts.pop("How bad", None)  # the effect says the worst; now it is fine
    return Content(
        title=incident.title or title_of(shown),
        effect=_effect(kind, incident, shown, situation.zone),
        facts=facts,
        rows=tuple(rows[:MOST_ROWS]),
        more=max(0, len(rows) - MOST_ROWS),
        actions=() if kind is MessageKind.RESOLVED else _actions(shown, rules),
        links=_links(incident, shown, situation, rules),
        footer=_footer(incident, shown, situation),
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


def _effect(kind: MessageKind, incident: Incident, shown: Sequence[Alert], zone: ZoneInfo) -> str:
    if kind is MessageKind.RESOLVED:
        reasons = {alert.state for alert in shown}
        lasted = length_of((incident.resolved_at or incident.updated_at) - since_of(incident, shown))
        again = f", {incident.reopened} reopening{'s' if incident.reopened > 1 else ''}" if incident.reopened else ""
        if reasons == {AlertState.CLOSED}:
            return f"Closed after {lasted}: its rule or feature was removed; it did not recover."
        return f"Recovered after {lasted}, worst {_worst_ever(shown)}{again}."
    said = list(dict.fromkeys(text for text in (_effect_of(alert, zone) for alert in _one_of_a_kind(shown)) if text))
    return "; ".join(said[:MOST_EFFECTS])


def _one_of_a_kind(shown: Sequence[Alert]) -> list[Alert]:
    """The worst alert of each kind of trouble, the score beside the worst feature: it is what the business feels."""
    found: dict[str, Alert] = {}
    for alert in shown:
        kind = "score" if detail(alert, "of") == "score" else measure_of(alert, "").family
        found.setdefault(kind, alert)
    return list(found.values())


def _effect_of(alert: Alert, zone: ZoneInfo) -> str:
    moved = detail(alert, "effect")
    if moved:
        return f"{name_of(alert.subject.feature)}: {moved}" if alert.subject.feature else moved
    name = alert.metric.name if alert.metric is not None else ""
    if name.startswith("serving."):
        return _service_effect(alert, name)
    if name == "batch.overdue":
        return _late_effect(alert, zone)
    facts = alert.metric.details if alert.metric is not None else {}
    observed, expected = facts.get("observed"), facts.get("expected")
    if name.startswith("outcomes.") and isinstance(observed, int | float) and isinstance(expected, int | float):
        return f"{observed:,.0f} customers so far where {expected:,.0f} were expected by now"
    return detail(alert, "message")


def _service_effect(alert: Alert, name: str) -> str:
    route, errors, requests = (detail(alert, key) for key in ("top_route", "errors", "requests"))
    exception = detail(alert, "exception")
    if name == "serving.error_rate":
        if not (errors and route):
            return ""
        return f"{route} fails{f' with {exception}' if exception else ''}: {errors} of {requests} requests"
    if name.startswith("serving.latency_ms") and alert.metric is not None and requests:
        span = length_of(alert.metric.window.length)
        slowest = f", {route} is slowest" if route else ""
        return f"one request in twenty takes longer{slowest}; {requests} requests in {span}"
    if name == "serving.share_of_usual_traffic" and detail(alert, "usual"):
        return f"{requests or 'no'} requests where {detail(alert, 'usual')} are usual at this time of the week"
    return ""


def _late_effect(alert: Alert, zone: ZoneInfo) -> str:
    expected, last = moment_of(detail(alert, "expected")), moment_of(detail(alert, "last_run"))
    said = [f"expected by {local_time(expected, zone)}"] if expected else []
    return ", ".join([*said, f"last run {local_time(last, zone)}"] if last else said)


def _worst_ever(shown: Sequence[Alert]) -> str:
    worst = max(shown, key=lambda alert: (alert.severity, _distance(alert.peak, alert)), default=None)
    if worst is None or worst.peak is None:
        return "value unknown"
    measure = measure_of(worst, "")
    subject = name_of(worst.subject.feature)
    return f"{subject + ' ' if subject else ''}{measure.label} {measure.value(worst.peak)}"


def _actions(shown: Sequence[Alert], rules: dict[str, Rule]) -> tuple[str, ...]:
    """What the rules say, then what follows from each kind of trouble, worst first."""
    found: list[str] = []
    for alert in shown[:MOST_ACTIONS]:
        rule = rules.get(alert.rule)
        written = [text for key, text in (rule.annotations if rule else {}).items() if key in ("action", "actions")]
        found += [filled(text, alert) for text in written]
        if rule is not None and rule.runbook:
            found.append(f"Follow the runbook: {rule.runbook}")
    kinds: dict[str, Alert] = {}
    for alert in shown:
        kinds.setdefault(measure_of(alert, "").label, alert)
    for alert in kinds.values():
        found += [filled(text, alert) for text in measure_of(alert, "").actions]
    return tuple(dict.fromkeys(found))[:MOST_ACTIONS]


def _links(incident: Incident, shown: Sequence[Alert], situation: Situation, rules: dict[str, Rule]) -> dict[str, str]:
    links: dict[str, str] = {}
    base = situation.public_url.rstrip("/")
    if base:
        links["Incident"] = f"{base}/incident?id={incident.id}"
        for family in dict.fromkeys(measure_of(alert, "").family for alert in shown):
            if family in _PAGES:
                links[family.capitalize()] = base + _PAGES[family]
        feature = next((alert.subject.feature for alert in shown if alert.subject.feature), "")
        if feature:
            links[f"Feature {name_of(feature)}"] = feature_link(base, feature)
        links["Dashboard"] = f"{base}/?{urlencode({'model': incident.model}, quote_via=quote)}"
    for alert in shown[:1]:
        rule = rules.get(alert.rule)
        if rule is not None and rule.runbook:
            links["Runbook"] = rule.runbook
    return links


def _footer(incident: Incident, shown: Sequence[Alert], situation: Situation) -> str:
    rules = list(dict.fromkeys(alert.rule for alert in shown))
    revision = f"@{situation.rules.revision}" if situation.rules.revision else ""
    said = [incident.id]
    if rules:
        more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
        said.append(f"rule {rules[0]}{revision}{more}")
    if situation.next_check is not None:
        said.append(f"next check {local_time(situation.next_check, situation.zone)}")
    if incident.state is IncidentState.OPEN:
        quiet = f'tiltmeter alerts silence incident={incident.id} --reason "…"'
        said.append(f"{incident.severity.word} is routed here; to quiet it: {quiet}")
    return " · ".join(said)
