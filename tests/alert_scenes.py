"""Rules played against numbers: what the alerting tests share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tiltmeter.alerting.rehearsal import Rehearsal
from tiltmeter.config.rules import parse_rules
from tiltmeter.config.yaml_source import parse_yaml
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.window import Grain, Window

START = datetime(2026, 11, 1, tzinfo=UTC)
MODEL = "lead-scoring"

ROUTES = """
routes:
  - {severity: info, to: [dashboard]}
  - {severity: warning, to: [slack], repeat: 24h}
  - {severity: critical, escalation: critical, repeat: 4h}
escalation:
  critical:
    ack_expires: 8h
    steps:
      - {after: 0m, to: [slack, email, pagerduty]}
      - {after: 15m, to: [slack, email], broadcast: true}
      - {after: 60m, to: [pagerduty]}
"""

PSI = (
    "{id: feature_psi, metric: drift.psi, by: [feature], q_below: 0.01, levels: "
    "{warning: {above: 0.25, clear_below: 0.20}, critical: {above: 0.5, clear_below: 0.45}}}"
)
LATENCY = (
    "{id: latency, metric: serving.latency_ms.p95, every: 10s, for: 3m, min_rows: 0, levels: {warning: {above: 500}}}"
)
ERRORS = "{id: errors, metric: serving.error_rate, every: 10s, min_rows: 0, levels: {critical: {above: 0.01}}}"


def rule_set(*rules: str, more: str = ""):
    """Rules from their YAML, with the routes above."""
    listed = "\n".join(f"  - {rule}" for rule in rules)
    return parse_rules(parse_yaml(f"rules:\n{listed}\ninhibit: []\n{ROUTES}{more}", name="rules.yaml"))


def rehearsal(*rules: str, more: str = "", **named) -> Rehearsal:
    return Rehearsal(rule_set(*rules, more=more), model=MODEL, public_url="https://tiltmeter.example.com", **named)


def day(number: int) -> Window:
    begin = START + timedelta(days=number)
    return Window(begin, begin + timedelta(days=1), Grain.DAY)


def live(seconds: float) -> Window:
    end = START + timedelta(seconds=seconds)
    return Window(end - timedelta(minutes=5), end, Grain.LIVE)


def psi_of(window: Window, feature: str, value: float | None, **named) -> Metric:
    given = {"q_value": 0.0, "n_current": 5_000, "n_reference": 50_000} | named
    return Metric("drift.psi", Subject(MODEL, feature=feature), window, value, **given)


def psi_day(play: Rehearsal, number: int, value: float | None = None, /, **features):
    """Judge one day: `value` is the PSI of the feature `plan`, others by name."""
    window = day(number)
    values = features if value is None else {"plan": value, **features}
    return play.judge([psi_of(window, name, found) for name, found in values.items()], window)


def serving(play: Rehearsal, seconds: float, metric: str, value: float | None, **named):
    """Judge one live moment of a service metric."""
    window = live(seconds)
    status = Status.NO_DATA if value is None else Status.OK
    return play.judge([Metric(metric, Subject(MODEL), window, value, status, n_current=1_000)], window, **named)


def kinds(changed) -> list[tuple[str, str]]:
    """(channel, kind) of the messages, in order."""
    return [(message.channel, message.kind.value) for message in changed.messages]


def only_alert(play: Rehearsal):
    """The one alert there is, meta alerts left out."""
    [alert] = [alert for alert in play.alerts.values() if alert.rule != "rule_error"]
    return alert
