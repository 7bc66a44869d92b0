"""What rules say about metrics. Pure and quick: a year of hourly windows of sixty features is judged in seconds.

Strict comparisons: a value equal to its limit is no breach. A number is judged only when it exists, is finite, and
has `min_rows` behind every side that counts rows. Gates (`q_below`, `p_below`) hold a breach back unless the metric's
own q- or p-value is below them; a metric without such a value passes, which is how `drift.overall_psi` is gated where
it is the score's PSI and not gated where it is the weighted mean, which has no distribution of its own.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.alert import Verdict
from tiltmeter.domain.metric import Status
from tiltmeter.domain.rule import Absence
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiltmeter.domain.metric import Metric, MetricSeries, Subject
    from tiltmeter.domain.rule import Limit, Rule

_OWN_FIELDS = frozenset({"feature", "model", "model_version"})
"""Labels that are fields of a subject; any other label in `by` is a segment key."""

_SCHEMA = frozenset({Status.MISSING_COLUMN, Status.TYPE_CHANGED, Status.NEW_COLUMN})
_ABSENT = frozenset({Status.NO_DATA, Status.EMPTY})

DUPLICATE = "two metrics with the same labels"
"""Why a verdict is not judged when a rule saw one label set twice in one evaluation."""


def verdicts(metrics: Iterable[Metric], rules: Sequence[Rule]) -> list[Verdict]:
    """One verdict for every metric and rule that belong together, quiet ones included, in the order of the metrics.

    The caller picks the rules of the window's grain: a rule is applied to every metric of its name whose labels fit.

    Args:
        metrics: of one window. Two of one name and subject are an error of that rule, the others go on.
        rules: those to be judged now.
    """
    judges: defaultdict[str, list[_Judge]] = defaultdict(list)
    for rule in rules:
        judges[rule.metric].append(_judge_of(rule))
    found: list[Verdict] = []
    for metric in metrics:
        fitting = judges.get(metric.name, ())
        found.extend(judge.verdict(metric) for judge in fitting if judge.covers(metric.subject))
    return _without_duplicates(found)


def covers(rule: Rule, subject: Subject) -> bool:
    """Whether the rule makes an alert of its own for this subject: model, `by` labels and segment fit."""
    return _judge_of(rule).covers(subject)


def may_speak(rule: Rule, series: Sequence[MetricSeries]) -> list[np.ndarray]:
    """Windows in which the rule may say more than "fine", of each series bool, shape (windows,).

    Everywhere else its verdict on this metric has no severity and is no error. Some of the windows named turn out
    fine as well: the verdict decides.

    Args:
        rule: any that does not alert on a number that is not there.
        series: the metric that it judges, of several subjects.
    """
    judge = _judge_of(rule)
    return [_may_speak(judge, one) for one in series]


def _may_speak(judge: _Judge, series: MetricSeries) -> np.ndarray:
    rule, values = judge.rule, series.values
    acted = values if rule.act_on != "lower_bound" else series.lower
    if acted is None:
        return np.ones(values.size, dtype=bool)
    breached = np.zeros(values.size, dtype=bool)
    for _, limit in judge.levels:
        breached |= acted > limit.above if limit.above is not None else acted < _bound_below(limit)
    breached &= ~np.isnan(values) & (series.n_current >= rule.min_rows)
    if series.n_reference < rule.min_rows:
        breached[:] = False
    for gate, found in ((rule.q_below, series.q_values), (rule.p_below, series.p_values)):
        if gate is not None and found is not None:
            breached &= ~(found >= gate)
    return np.asarray(breached | np.isinf(values))


def _bound_below(limit: Limit) -> float:
    return -math.inf if limit.below is None else limit.below


def _without_duplicates(found: list[Verdict]) -> list[Verdict]:
    keys = [(verdict.rule, verdict.subject) for verdict in found]
    if len(set(keys)) == len(keys):
        return found
    counts = Counter(keys)
    seen: set[tuple[str, Subject]] = set()
    kept = []
    for key, verdict in zip(keys, found, strict=True):
        if counts[key] > 1:
            if key in seen:
                continue
            seen.add(key)
            kept.append(replace(verdict, severity=Severity.NONE, judged=False, why=DUPLICATE))
        else:
            kept.append(verdict)
    return kept


@dataclass(frozen=True, slots=True)
class _Judge:
    """A rule prepared for many metrics.

    Args:
        rule: the rule.
        levels: its limits, worst first.
        quiet_below: every limit is clear below this value; -inf for rules that look down.
        quiet_above: every limit is clear above this value; inf for rules that look up.
        segments: segment keys that make alerts of their own.
    """

    rule: Rule
    levels: tuple[tuple[Severity, Limit], ...]
    quiet_below: float
    quiet_above: float
    segments: frozenset[str]
    by_feature: bool
    by_version: bool

    def covers(self, subject: Subject) -> bool:
        rule = self.rule
        if bool(subject.feature) != self.by_feature or (self.by_version and not subject.model_version):
            return False
        if subject.segment_key not in self.segments and (subject.segment_key or self.segments):
            return False
        return not rule.models or subject.model in rule.models

    def verdict(self, metric: Metric) -> Verdict:
        value, rule = metric.value, self.rule
        if value is None or not math.isfinite(value) or metric.status is not Status.OK:
            return self._doubtful(metric)
        least = rule.min_rows
        if least and (_fewer(metric.n_current, least) or _fewer(metric.n_reference, least)):
            return self._unjudged(metric, Status.TOO_FEW_ROWS.value)
        if rule.act_on == "lower_bound":
            return self._by_bound(metric)
        if value < self.quiet_below or value > self.quiet_above:
            return Verdict(rule.id, metric.subject, Severity.NONE, metric)
        return self._measured(metric, value)

    def _by_bound(self, metric: Metric) -> Verdict:
        bound = metric.lower if self.quiet_above == math.inf else metric.upper
        if bound is None or not math.isfinite(bound):
            return self._unjudged(metric, "the metric has no bound to act on")
        return self._measured(metric, bound)

    def _measured(self, metric: Metric, value: float) -> Verdict:
        breached = next((severity for severity, limit in self.levels if limit.is_breached(value)), Severity.NONE)
        clear_of = next((severity for severity, limit in self.levels if not limit.is_clear(value)), Severity.NONE)
        held = self._gate(metric) if breached else ""
        severity = Severity.NONE if held else breached
        return Verdict(self.rule.id, metric.subject, severity, metric, clear_of=clear_of, why=held)

    def _gate(self, metric: Metric) -> str:
        for name, limit, found in (("q", self.rule.q_below, metric.q_value), ("p", self.rule.p_below, metric.p_value)):
            if limit is not None and found is not None and not found < limit:
                return f"{name} {found:.2g} is not below {limit:g}"
        return ""

    def _doubtful(self, metric: Metric) -> Verdict:
        status, rule, value = metric.status, self.rule, metric.value
        if status is Status.ERROR or (value is not None and not math.isfinite(value)):
            return self._absent(metric, rule.on_error, metric.why_missing or f"the value is {value}")
        if status in _ABSENT:
            return self._absent(metric, rule.no_data, Status.NO_DATA.value)
        if status in _SCHEMA or value is None or status is Status.TOO_LITTLE_HISTORY:
            return self._unjudged(metric, metric.why_missing or status.value)
        # Too few rows for the monitor may be enough for the rule; constant and all missing are ordinary values.
        enough = status is not Status.TOO_FEW_ROWS or (metric.n_current or 0) >= rule.min_rows
        if not enough:
            return self._unjudged(metric, Status.TOO_FEW_ROWS.value)
        return self.verdict(replace(metric, status=Status.OK))

    def _absent(self, metric: Metric, policy: Absence, why: str) -> Verdict:
        if policy is Absence.KEEP:
            return self._unjudged(metric, why)
        severity = self.levels[-1][0] if policy is Absence.ALERT else Severity.NONE
        return Verdict(self.rule.id, metric.subject, severity, metric, clear_of=severity, why=why)

    def _unjudged(self, metric: Metric, why: str) -> Verdict:
        return Verdict(self.rule.id, metric.subject, Severity.NONE, metric, judged=False, why=why)


def _fewer(rows: int | None, least: int) -> bool:
    return rows is not None and rows < least


def _judge_of(rule: Rule) -> _Judge:
    levels = tuple(sorted(rule.levels.items(), reverse=True))
    looks_up = any(limit.above is not None for _, limit in levels)
    bounds = [_clear_bound(limit) for _, limit in levels]
    return _Judge(
        rule,
        levels,
        quiet_below=min(bounds) if looks_up else -math.inf,
        quiet_above=math.inf if looks_up else max(bounds),
        segments=frozenset(rule.by) - _OWN_FIELDS,
        by_feature="feature" in rule.by,
        by_version="model_version" in rule.by,
    )


def _clear_bound(limit: Limit) -> float:
    found = (limit.clear_below, limit.above) if limit.above is not None else (limit.clear_above, limit.below)
    return next(bound for bound in found if bound is not None)
