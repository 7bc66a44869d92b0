"""A history replayed through the rules: what would have fired, when, and how often anybody would have been told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltmeter.alerting.advance import RULE_ERROR, Situation, advance
from tiltmeter.alerting.lifecycle import period
from tiltmeter.api.as_json import DEFINITION, episode_json, judged_window_json
from tiltmeter.api.files import write_text
from tiltmeter.api.judged_windows import Episode, JudgedWindow
from tiltmeter.api.judging import judge
from tiltmeter.api.result import REPORTS
from tiltmeter.api.screening import CONVERSION, Screens
from tiltmeter.api.story import backtest_sentence
from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.rule import Hold, Rule, RuleSet
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.alerting.advance import Advance
    from tiltmeter.api.screening import Seen
    from tiltmeter.domain.alert import Alert, Incident, Verdict
    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.message import Message
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.window import Grain, Window

SCHEMA = "tiltmeter.backtest/1"
_DASHBOARD = "dashboard"
_OPEN = (AlertState.PENDING, AlertState.FIRING)
_ONLY_LIVE = frozenset({"features.freshness", "drift.features_drifted"})
"""Metrics of a running service: the age of the newest row, and a count of other rules' verdicts."""


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """What the rules would have said about a history.

    Args:
        windows: every window, in order.
        episodes: alerts that would have fired, in order of their beginning.
        messages: messages that people would have got (one for all channels together), reminders left out.
        rules: as they were judged: at the run's grain.
        reference: what the windows were held against.
        source: what people call the history.
        zone: calendar of the windows.
        model: whose rules were judged.
    """

    windows: tuple[JudgedWindow, ...]
    episodes: tuple[Episode, ...]
    messages: int
    rules: tuple[Rule, ...]
    reference: Reference
    source: str
    zone: ZoneInfo
    model: str = ""

    def __repr__(self) -> str:
        """The answer in one sentence."""
        return f"<tiltmeter backtest: {backtest_sentence(self)}>"

    @property
    def judged(self) -> int:
        """Windows with enough rows."""
        return sum(window.status is Status.OK for window in self.windows)

    @property
    def alerts(self) -> dict[str, int]:
        """Alerts by the worst severity they reached."""
        worst = [episode.severity for episode in self.episodes]
        return {level.word: worst.count(level) for level in (Severity.INFO, Severity.WARNING, Severity.CRITICAL)}

    @property
    def messages_per_week(self) -> float | None:
        """Messages a week over the whole stretch; None without windows."""
        if not self.windows:
            return None
        length = self.windows[-1].window.end - self.windows[0].window.start
        return self.messages / (length / timedelta(weeks=1))

    def to_dict(self) -> dict[str, Any]:
        """The document of `backtest --json`."""
        return {
            "schema": SCHEMA,
            "windows": [judged_window_json(window) for window in self.windows],
            "alerts": [episode_json(episode) for episode in self.episodes],
            "summary": {
                "windows": len(self.windows),
                "judged": self.judged,
                "alerts": self.alerts,
                "messages": self.messages,
                "messages_per_week": self.messages_per_week,
            },
            "definition": dict(DEFINITION),
            "rows": {"reference": self.reference.profile.rows, "current": sum(w.rows for w in self.windows)},
        }

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page without scripts.

        Args:
            path: where to write it; nowhere by default.

        Raises:
            StoreError: the file cannot be written.
        """
        text: str = REPORTS.load("backtest")(self)
        if path is not None:
            write_text(Path(path), text)
        return text

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        shown: str = REPORTS.load("backtest_notebook")(self)
        return shown


def replay(
    reference: Reference,
    history: Iterable[tuple[Window, Profile | None]],
    rules: RuleSet,
    *,
    zone: ZoneInfo,
    source: str = "history",
    weights: Mapping[str, float] | None = None,
    model: str = "",
) -> Backtest:
    """Judge windows one after the other, by the code that judges live.

    Args:
        reference: what every window is held against.
        history: windows of one grain in order, with their profiles; None where a window has no rows.
        rules: judged at the windows' grain; `for` and `resolve_after` count windows, trailing spans are off.
        zone: calendar of the windows.
        source: what people call the history.
        weights: importance of features in the weighted PSI.
        model: name of the model that rules may be limited to; empty judges all rules.
    """
    return replays(reference, history, [rules], zone=zone, source=source, weights=weights, model=model)[0]


def replays(
    reference: Reference,
    history: Iterable[tuple[Window, Profile | None]],
    rules: Sequence[RuleSet],
    *,
    zone: ZoneInfo,
    source: str = "history",
    weights: Mapping[str, float] | None = None,
    model: str = "",
) -> list[Backtest]:
    """As `replay`, once for each of several rule sets; the history is read and compared once."""
    windows = iter(history)
    first = next(windows, None)
    if first is None:
        return [Backtest((), (), 0, (), reference, source, zone) for _ in rules]
    name, has_label = model or "history", bool(reference.bins.label)
    courses = []
    for one in rules:
        chosen = [rule for rule in one.rules if is_measured(rule.metric, has_label=has_label)]
        judging = tuple(at_grain(rule, first[0], keep_models=bool(model)) for rule in chosen)
        courses.append(_Course(replace(one, rules=judging), name, zone))
    screens = Screens(reference, [rule for course in courses for rule in course.rules.rules], weights)
    for screen in screens.over(chain([first], windows)):
        for place, window in enumerate(screen.windows):
            seen = screen.seen(place, {name for course in courses for name in course.standing()})
            for course in courses:
                course.judge(window, seen)
    return [course.outcome(reference, source) for course in courses]


def is_measured(metric: str, *, has_label: bool) -> bool:
    """Whether a comparison of stored windows says anything about this metric."""
    if metric == CONVERSION:
        return has_label
    return metric.startswith(("drift.", "features.")) and metric not in _ONLY_LIVE


def at_grain(rule: Rule, window: Window, *, keep_models: bool = False) -> Rule:
    """The rule as a backtest judges it: at the window's grain, durations counted in windows, no trailing spans.

    Args:
        rule: as configured.
        window: any window of the run.
        keep_models: whether the rule stays limited to its models.
    """
    hold = rule.hold
    if hold.time is not None:
        hold = Hold(windows=max(1, math.ceil(hold.time / period(rule, window))))
    grain: Grain = window.grain
    models = rule.models if keep_models else ()
    return replace(rule, every=grain, over=None, up_to=None, hold=hold, keep_firing=timedelta(0), models=models)


@dataclass(slots=True)
class _Course:
    """Alerts, incidents and messages on their way through the windows."""

    rules: RuleSet
    model: str
    zone: ZoneInfo
    alerts: dict[str, Alert] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    fired: dict[str, tuple[Alert, Severity, str]] = field(default_factory=dict)
    messages: set[tuple[str, str, datetime]] = field(default_factory=set)
    starts: dict[datetime, datetime] = field(default_factory=dict)
    windows: list[JudgedWindow] = field(default_factory=list)

    def standing(self) -> set[str]:
        """Features of the alerts that are open; "" for one about the whole."""
        return {alert.subject.feature for alert in self.alerts.values() if alert.state in _OPEN}

    def judge(self, window: Window, seen: Seen) -> None:
        """Judge one window, by the code that judges live."""
        comparison = seen.comparison
        if comparison is None:
            self.move(window, ())
            self.windows.append(seen.quiet)
            return
        rate = comparison.conversion_current
        rows = comparison.n_reference, comparison.n_current
        conversion = Metric(CONVERSION, Subject(self.model), window, rate, n_reference=rows[0], n_current=rows[1])
        more = (conversion,) if rate is not None else ()
        judged = judge(comparison, self.rules.rules, window=window, model=self.model, more=more, features=seen.features)
        self.move(window, judged.verdicts)
        self.windows.append(JudgedWindow.of(window, judged.comparison))

    def outcome(self, reference: Reference, source: str) -> Backtest:
        """What all windows came to."""
        told = len(self.messages)
        return Backtest(
            tuple(self.windows), self.episodes(), told, self.rules.rules, reference, source, self.zone, self.model
        )

    def move(self, window: Window, verdicts: Sequence[Verdict]) -> None:
        """One window on; people acknowledge at once, so nothing is repeated or escalated for want of an answer."""
        self.starts[window.end] = window.start
        situation = Situation(
            rules=self.rules,
            judged=frozenset(rule.id for rule in self.rules.rules),
            alerts=self.alerts,
            incidents=tuple(self.incidents.values()),
            model=self.model,
            zone=self.zone,
        )
        self._keep(advance(situation, verdicts, window=window, now=window.end))

    def _keep(self, changed: Advance) -> None:
        for alert in changed.alerts:
            self.alerts[alert.fingerprint] = alert
            if alert.fired_at is not None and alert.rule != RULE_ERROR:
                effect = str(alert.metric.details.get("effect", "")) if alert.metric is not None else ""
                _, before, words = self.fired.get(alert.id, (alert, Severity.NONE, effect))
                now = alert.severity if alert.state is AlertState.FIRING else Severity.NONE
                self.fired[alert.id] = alert, max(before, now), words
        self.incidents.update((incident.id, incident) for incident in changed.incidents)
        self.messages.update(_said(message) for message in changed.messages if message.channel != _DASHBOARD)

    def episodes(self) -> tuple[Episode, ...]:
        """Alerts that fired, in order of their beginning, the worst first."""
        found = [self._episode(*fired) for fired in self.fired.values()]
        return tuple(sorted(found, key=lambda one: (one.since, -one.severity, one.rule, one.feature)))

    def _episode(self, alert: Alert, severity: Severity, effect: str) -> Episode:
        first = alert.since or alert.fired_at
        since = self.starts[first] if first is not None else min(self.starts.values())
        return Episode(
            alert.rule, severity, alert.subject.feature, since, alert.resolved_at, alert.breaches, alert.peak, effect,
            alert.incident,
        )  # fmt: skip


def _said(message: Message) -> tuple[str, str, datetime]:
    """What makes a message one for all of its channels."""
    return message.incident, message.kind.value, message.created_at
