"""Tests of rules, written in YAML: series with gaps, a clock, and what must be true at moments in between.

    rules: rules.yaml                 # beside this file; the packaged rules without it
    timezone: Europe/Berlin
    start: 2026-11-01T00:00           # local time where it has no zone of its own
    tests:
      - name: a drifted plan
        every: day                    # a grain, or a time such as 10s
        series:                       # _ is a gap; 0.3x5 is 0.3 five times
          - {metric: drift.psi, feature: plan, values: "0.1x3 0.3 _ 0.6 0.1x3"}
        acknowledge: [{at: 4d5m, by: Anna}]
        expect:                       # alerts as they are then; messages since the moment before
          - {at: 4d, alerts: [{rule: feature_psi, feature: plan, severity: warning}], messages: [slack-ml-alerts fired]}
          - {at: 9d, alerts: []}

A window `n` of the series ends at `start` + n × `every`. Rows (`n`, default 10,000) and `q` (default 0) belong to a
series. Without `messages` nothing is said about messages; `[]` says that there were none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiltmeter.alerting.rehearsal import Rehearsal
from tiltmeter.config.reading import Reader
from tiltmeter.config.rules import load_rules
from tiltmeter.config.units import duration
from tiltmeter.config.yaml_source import KeyPath, read_yaml
from tiltmeter.domain.alert import Alert, AlertState
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.rule import Rule, RuleSet
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.registry import did_you_mean

MODEL = "model"

_GRAINS = {grain.value: grain for grain in Grain if grain is not Grain.LIVE}
_ENTRY = re.compile(r"(?P<value>_|[-+]?[0-9.]+(?:[eE][-+]?\d+)?)(?:x(?P<times>\d+))?")
_SUBJECT = ("feature", "model_version", "segment_key", "segment_value")
_ALERT = ("rule", "severity", "state", *_SUBJECT)


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not hold: where it stands, what was expected, what was."""

    at: str
    test: str
    what: str


@dataclass(slots=True)
class Outcome:
    """What a test file said: number of tests and expectations, and those that failed."""

    tests: int = 0
    expectations: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Series:
    metric: str
    subject: Subject
    values: tuple[float | None, ...]
    rows: int
    q_value: float


def run_rule_tests(path: Path) -> Outcome:
    """Run every test of a file.

    Raises:
        ConfigError: the file or the rules it names are wrong, with file:line.
    """
    reader = Reader(read_yaml(path))
    reader.section((), ("rules", "timezone", "start", "tests"))
    zone = _zone(reader)
    start = _start(reader, zone)
    named = reader.text(("rules",))
    rules = load_rules(path.parent / named if named else None)
    outcome = Outcome()
    for position, _ in enumerate(reader.items(("tests",))):
        _run(reader, ("tests", position), rules, zone, start, outcome)
    if not outcome.tests:
        reader.complain(("tests",), "the file holds no tests")
    if reader.problems:
        raise reader.problems[0]
    return outcome


def _zone(reader: Reader) -> ZoneInfo:
    name = reader.text(("timezone",), "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f'there is no time zone "{name}"', at=reader.source.at("timezone")) from error


def _start(reader: Reader, zone: ZoneInfo) -> datetime:
    text = reader.text(("start",), "2026-01-01T00:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write it like 2026-11-01T00:00"
        raise ConfigError(f'"{text}" is no time', at=reader.source.at("start"), hint=hint) from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(ZoneInfo("UTC"))


def _run(reader: Reader, path: KeyPath, rules: RuleSet, zone: ZoneInfo, start: datetime, outcome: Outcome) -> None:
    reader.section(path, ("name", "every", "series", "acknowledge", "expect"))
    outcome.tests += 1
    every = _every(reader, (*path, "every"))
    series = [_series(reader, (*path, "series", i)) for i, _ in enumerate(reader.items((*path, "series")))]
    play = Rehearsal(rules, model=MODEL, zone=zone)
    windows = _windows(start, every, zone, max((len(one.values) for one in series), default=0))
    moments = _moments(reader, path, start)
    if reader.problems:
        return
    clock, seen = start, 0
    judged = [rule for rule in rules.rules if any(one.metric == rule.metric for one in series)]
    for moment, kind, place in moments:
        clock = _play_until(play, moment, clock, windows, series, judged)
        if kind == "acknowledge":
            for incident in play.open_incidents():
                play.acknowledge(incident.id, by=reader.text((*place, "by"), "somebody"), now=moment)
            continue
        outcome.expectations += 1
        said = [f"{message.channel} {message.kind.value}" for message in play.messages[seen:]]
        seen = len(play.messages)
        name = reader.text((*path, "name"), f"tests[{path[1]}]")
        for what in (_alerts_differ(reader, place, play), _messages_differ(reader, place, said)):
            if what:
                outcome.failures.append(Failure(reader.source.at(*place), name, what))


def _every(reader: Reader, path: KeyPath) -> Grain | timedelta:
    word = reader.text(path, "day")
    if word in _GRAINS:
        return _GRAINS[word]
    try:
        return duration(word)
    except ConfigError as error:
        reader.complain(path, error.what, hint=error.hint)
        return Grain.DAY


def _series(reader: Reader, path: KeyPath) -> _Series:
    reader.section(path, ("metric", "values", "n", "q", *_SUBJECT, "job", "http_route"))
    metric = reader.text((*path, "metric"))
    if metric not in CATALOGUE:
        reader.complain((*path, "metric"), f'there is no metric "{metric}"', hint=did_you_mean(metric, list(CATALOGUE)))
    parts = {name: reader.text((*path, name)) for name in _SUBJECT}
    for key in ("job", "http_route"):
        if reader.has((*path, key)):
            parts |= {"segment_key": key, "segment_value": reader.text((*path, key))}
    rows, q_value = reader.integer((*path, "n"), 10_000), reader.number((*path, "q")) or 0.0
    return _Series(metric, Subject(MODEL, **parts), _values(reader, (*path, "values")), rows, q_value)


def _values(reader: Reader, path: KeyPath) -> tuple[float | None, ...]:
    found: list[float | None] = []
    written = reader.node(path)
    words = [str(word) for word in written] if isinstance(written, list) else str(written or "").split()
    for word in words:
        entry = _ENTRY.fullmatch(word)
        if entry is None:
            reader.complain(path, f'"{word}" is no value', hint="write numbers, _ for a gap, 0.3x5 for five times 0.3")
            continue
        value = None if entry["value"] == "_" else float(entry["value"])
        found += [value] * int(entry["times"] or 1)
    return tuple(found)


def _windows(start: datetime, every: Grain | timedelta, zone: ZoneInfo, length: int) -> list[Window]:
    if isinstance(every, timedelta):
        ends = (start + every * number for number in count(1))
        return [Window(next(ends) - every, start + every * (i + 1), Grain.LIVE) for i in range(length)]
    windows, moment = [], start
    for _ in range(length):
        windows.append(window_at(moment, every, zone))
        moment = windows[-1].end
    return windows


def _moments(reader: Reader, path: KeyPath, start: datetime) -> list[tuple[datetime, str, KeyPath]]:
    found: list[tuple[datetime, str, KeyPath]] = []
    for kind, keys in (("acknowledge", ("at", "by")), ("expect", ("at", "alerts", "messages"))):
        for position, _ in enumerate(reader.items((*path, kind))):
            place = (*path, kind, position)
            reader.section(place, keys)
            after = reader.duration((*place, "at"))
            if after is None:
                reader.complain(place, f"{kind} needs a time", hint="write at: 4d")
                continue
            found.append((start + after, kind, place))
    return sorted(found, key=lambda entry: entry[0])


def _play_until(
    play: Rehearsal, moment: datetime, clock: datetime, windows: list[Window], series: list[_Series], rules: list[Rule]
) -> datetime:
    """Judge the windows that end up to the moment, and let every time that is due in between pass."""
    for position, window in enumerate(windows):
        if not clock < window.end <= moment:
            continue
        clock = _let_pass(play, clock, window.end)
        metrics = [
            Metric(one.metric, one.subject, window, value, q_value=one.q_value, n_current=one.rows)
            for one in series
            if position < len(one.values) and (value := one.values[position]) is not None
        ]
        play.judge(metrics, window, rules=rules)
    return _let_pass(play, clock, moment)


def _let_pass(play: Rehearsal, clock: datetime, until: datetime) -> datetime:
    while True:
        due = [
            moment
            for incident in play.open_incidents()
            for moment in (incident.next_step_at, incident.repeat_at, incident.ack_expires_at)
            if moment is not None and clock < moment <= until
        ]
        if not due:
            return until
        clock = min(due)
        play.let_pass(clock)


def _alerts_differ(reader: Reader, place: KeyPath, play: Rehearsal) -> str:
    if not reader.has((*place, "alerts")):
        return ""
    expected = []
    for position, _ in enumerate(reader.items((*place, "alerts"))):
        written = reader.section((*place, "alerts", position), _ALERT)
        expected.append({"state": "firing", **{name: str(value) for name, value in written.items()}})
    open_alerts = [a for a in play.alerts.values() if a.state in (AlertState.PENDING, AlertState.FIRING)]
    unmatched = [_said(alert) for alert in open_alerts]
    missing = []
    for one in expected:
        match = next((said for said in unmatched if one.items() <= said.items()), None)
        if match is None:
            missing.append(one)
        else:
            unmatched.remove(match)
    parts = [f"no alert {_shown(one)}" for one in missing] + [f"unexpected alert {_shown(one)}" for one in unmatched]
    return "; ".join(parts)


def _said(alert: Alert) -> dict[str, str]:
    subject = {name: str(getattr(alert.subject, name)) for name in _SUBJECT}
    return {"rule": alert.rule, "state": alert.state.value, "severity": alert.severity.word, **subject}


def _shown(said: dict[str, Any]) -> str:
    return " ".join(str(value) for value in said.values() if value)


def _messages_differ(reader: Reader, place: KeyPath, said: list[str]) -> str:
    if not reader.has((*place, "messages")):
        return ""
    heard = [line for line in said if not line.startswith("dashboard ")]
    expected = list(reader.names((*place, "messages")))
    if sorted(heard) == sorted(expected):
        return ""
    return f"messages were {', '.join(heard) or 'none'}, expected {', '.join(expected) or 'none'}"
