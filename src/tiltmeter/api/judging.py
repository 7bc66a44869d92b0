"""Severities of a comparison: what the rules say about its metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.alerting.limits import OVERALL_PSI, PSI
from tiltmeter.alerting.rules import verdicts
from tiltmeter.domain.feature import subject_of
from tiltmeter.domain.metric import Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.monitors.drift import drift_metrics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tiltmeter.domain.alert import Verdict
    from tiltmeter.domain.comparison import Comparison, FeatureComparison, Overall
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.window import Window

COMPARISON = "comparison"
"""Name that metrics of two data sets are filed under, which belong to no model."""

SCHEMA = "features.schema_changes"
_SCHEMA_STATUSES = (Status.MISSING_COLUMN, Status.TYPE_CHANGED)


@dataclass(frozen=True, slots=True)
class Judged:
    """A comparison with severities filled in, and what they come from: the metrics that rules name, and verdicts."""

    comparison: Comparison
    metrics: tuple[Metric, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def shown(self) -> Comparison:
        """The comparison as people read it: whether a feature has rows enough is what the rules about its PSI say."""
        return _with_statuses(self.comparison, self.verdicts)


def judge(
    comparison: Comparison,
    rules: Sequence[Rule],
    *,
    window: Window,
    model: str = COMPARISON,
    more: Sequence[Metric] = (),
    features: Collection[str] | None = None,
    segment: tuple[str, str] = ("", ""),
) -> Judged:
    """Fill in every severity.

    Args:
        comparison: with all severities at none.
        rules: those that speak about comparisons; others find no metric of theirs.
        window: the span that was compared.
        model: name that metrics are filed under.
        more: metrics that are judged besides those of the comparison.
        features: names of those that are judged, None for all.
        segment: key and value that all rows share; rules about all rows do not judge it.
    """
    named = {rule.metric for rule in rules}
    own = drift_metrics(
        comparison, subject=Subject(model, "", "", *segment), window=window, names=named, features=features
    )
    metrics = [*own, *more]
    found = verdicts(metrics, rules)
    return Judged(with_severities(comparison, found), tuple(metrics), tuple(found))


def with_severities(comparison: Comparison, found: Sequence[Verdict]) -> Comparison:
    """The comparison with the severities of these verdicts. Info rules never enter one; a new column is info."""
    by_metric = _worst(found)
    schema = by_metric.get((SCHEMA, ""), Severity.NONE)
    by_feature: dict[str, Severity] = {}
    for (_, feature), severity in by_metric.items():
        by_feature[feature] = max(severity, by_feature.get(feature, Severity.NONE))
    features = {
        name: _with_severity(feature, _severity(feature, by_feature, schema))
        for name, feature in comparison.features.items()
    }
    overall = by_metric.get((OVERALL_PSI, ""), Severity.NONE)
    score = comparison.score
    if score is not None:
        if score.status in _SCHEMA_STATUSES:  # a score that is gone has no PSI; that it is gone is said of the whole
            overall = max(overall, schema)
        score = replace(score, severity=overall)
    return replace(
        comparison, features=features, score=score, overall=_counted(comparison.overall, features.values(), overall)
    )


def _with_severity(feature: FeatureComparison, severity: Severity) -> FeatureComparison:
    return feature if feature.severity is severity else replace(feature, severity=severity)


def _with_statuses(comparison: Comparison, found: Sequence[Verdict]) -> Comparison:
    enough = _enough(found)
    if not enough:
        return comparison
    features = {
        name: _with_status(one, is_enough=enough.get(subject_of(name))) for name, one in comparison.features.items()
    }
    return replace(comparison, features=features)


def _enough(found: Sequence[Verdict]) -> dict[str, bool]:
    """Features whose PSI a rule judged, or left for its few rows."""
    enough: dict[str, bool] = {}
    for verdict in found:
        if verdict.metric is not None and verdict.metric.name == PSI and _is_about_rows(verdict):
            name = verdict.subject.feature
            enough[name] = verdict.judged or enough.get(name, False)
    return enough


def _is_about_rows(verdict: Verdict) -> bool:
    return verdict.judged or verdict.why == Status.TOO_FEW_ROWS.value


def _with_status(feature: FeatureComparison, *, is_enough: bool | None) -> FeatureComparison:
    if is_enough is False and feature.status is Status.OK:
        return replace(feature, status=Status.TOO_FEW_ROWS)
    if is_enough and feature.status is Status.TOO_FEW_ROWS:
        return replace(feature, status=Status.OK)
    return feature


def _worst(found: Sequence[Verdict]) -> dict[tuple[str, str], Severity]:
    """Worst severity of warning or above by metric and feature."""
    worst: dict[tuple[str, str], Severity] = {}
    for verdict in found:
        if verdict.metric is None or not verdict.judged or verdict.severity < Severity.WARNING:
            continue
        key = verdict.metric.name, verdict.subject.feature
        worst[key] = max(worst.get(key, Severity.NONE), verdict.severity)
    return worst


def _severity(feature: FeatureComparison, by_feature: dict[str, Severity], schema: Severity) -> Severity:
    if feature.status is Status.NEW_COLUMN:
        return Severity.INFO
    if feature.status in _SCHEMA_STATUSES:
        return schema
    return by_feature.get(subject_of(feature.name), Severity.NONE)


def _counted(overall: Overall, features: Iterable[FeatureComparison], severity: Severity) -> Overall:
    severities = [feature.severity for feature in features]
    return replace(
        overall,
        features_warning=severities.count(Severity.WARNING),
        features_critical=severities.count(Severity.CRITICAL),
        severity=severity,
    )
