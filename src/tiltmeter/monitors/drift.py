"""A comparison as metrics: what moved (`drift.*`) and what each feature looks like (`features.*`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.feature import FeatureKind, subject_of
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.monitors.effects import effect_of, shift_of, shortened, step_words
from tiltmeter.statistics.comparison import registered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tiltmeter.domain.alert import Verdict
    from tiltmeter.domain.comparison import Comparison, FeatureComparison
    from tiltmeter.domain.statistic import DriftStatistic
    from tiltmeter.domain.window import Window

    _Details = dict[str, str | float | int | list[str]]

_ONE_SIDED = {
    **{f"features.{name}": name for name in ("mean", "std", "min", "max", "missing_share", "distinct", "zero_share")},
    **{f"features.{name}": name for name in ("q01", "q05", "q25")},
    "features.q50": "median",
    **{f"features.{name}": name for name in ("q75", "q95", "q99")},
}
"""Metrics of the window alone, by the field that holds them."""
MEAN_STEP, MISSING_STEP = "features.mean_step", "features.missing_step"
STEPS = (MEAN_STEP, MISSING_STEP)
"""Changes since the window before."""

_WORTH_A_LOOK = 0.1
"""PSI from which on a feature is named as a cause of the overall PSI."""
_LOST = (Status.MISSING_COLUMN, Status.TYPE_CHANGED)
_SCORE = "score"
"""What the score is called among features: its column has a reserved name in the log."""
_UNJUDGED = (Status.TOO_FEW_ROWS, Status.EMPTY, Status.NO_DATA)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where numbers come from, the same for all metrics of one comparison."""

    baseline_id: str = ""
    bins_id: str = ""
    source_version: int | None = None


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the metrics of one subject."""

    comparison: Comparison
    subject: Subject
    window: Window
    provenance: Provenance
    names: Collection[str] | None = None

    def wanted(self, name: str, value: float | None, **more: Any) -> tuple[Metric, ...]:  # noqa: ANN401 - as `metric`
        """The metric, or nothing where nobody asked for it: ten thousand features would make it for the bin."""
        return (self.metric(name, value, **more),) if self.names is None or name in self.names else ()

    def metric(
        self,
        name: str,
        value: float | None,
        *,
        status: Status = Status.OK,
        why: str = "",
        p: float | None = None,
        q: float | None = None,
        lower: float | None = None,
        upper: float | None = None,
        details: _Details | None = None,
    ) -> Metric:
        return Metric(
            name, self.subject, self.window, value, status, why, lower, upper, p, q,
            self.comparison.n_reference, self.comparison.n_current,
            self.provenance.baseline_id, self.provenance.bins_id, self.provenance.source_version,
            None, details or {},
        )  # fmt: skip


_SCORE_SIDE = {
    "features.mean": "mean", "features.std": "std", "features.q05": "q05", "features.q50": "median",
    "features.q95": "q95",
}  # fmt: skip
"""What is kept of the score's own distribution."""


def statistics_behind(names: Collection[str]) -> tuple[DriftStatistic, ...]:
    """The drift statistics that these metrics need, PSI always: a history is judged by three of six.

    Args:
        names: of metrics.
    """
    asked = {name.removeprefix("drift.") for name in names if name.startswith("drift.")}
    if "test_q_value" in asked:
        asked |= {"ks", "chi2"}
    return tuple(one for one in registered() if one.name == "psi" or not asked.isdisjoint((one.name, *one.parts)))


def drift_metrics(
    comparison: Comparison,
    *,
    subject: Subject,
    window: Window,
    provenance: Provenance = Provenance(),
    names: Collection[str] | None = None,
    features: Collection[str] | None = None,
) -> list[Metric]:
    """Every metric of a comparison.

    Args:
        comparison: a window held against its reference.
        subject: model, version and segment; the feature is filled in here.
        window: the span that was judged.
        provenance: ids kept with every number.
        names: metrics to make, None for all: a comparison of ten thousand features is judged by eight of thirty.
        features: whose metrics to make, None for all; those of the whole are always made.
    """
    metrics: list[Metric] = []
    for feature in comparison.features.values():
        if features is not None and feature.name not in features:
            continue
        maker = _Maker(comparison, replace(subject, feature=subject_of(feature.name)), window, provenance, names)
        effect = effect_of(feature)
        details: _Details = {"effect": effect} if effect else {}
        metrics.extend(_feature_drift(feature, maker, details))
        metrics.extend(_feature_statistics(feature, maker, details))
    metrics.extend(_overall(comparison, _Maker(comparison, subject, window, provenance, names)))
    return metrics


def _feature_drift(feature: FeatureComparison, maker: _Maker, details: _Details) -> Iterator[Metric]:
    if feature.status in (*_LOST, Status.NEW_COLUMN):
        return
    status = feature.status if feature.status in _UNJUDGED else Status.OK
    why = feature.why
    psi_q, psi_p = feature.psi_q_value, feature.psi_p_value
    yield from maker.wanted(
        "drift.psi", feature.psi, status=status, why=why.get("psi", ""), p=psi_p, q=psi_q, lower=feature.psi_lower,
        details=details,
    )  # fmt: skip
    yield from maker.wanted(
        "drift.kl", feature.kl, status=status, why=why.get("kl", ""), p=psi_p, q=psi_q, details=details
    )
    yield from maker.wanted("drift.js_distance", feature.js_distance, status=status, p=psi_p, q=psi_q)
    if feature.ks is not None:
        yield from maker.wanted("drift.ks", feature.ks, status=status, p=feature.ks_p_value, upper=feature.ks_upper)
    if feature.chi2 is not None:
        yield from maker.wanted("drift.chi2", feature.chi2, status=status, p=feature.chi2_p_value)
    if feature.test_q_value is not None and not details and (shift := shift_of(feature)):
        details = {"effect": shift}
    yield from maker.wanted("drift.test_q_value", feature.test_q_value, status=status, details=details)
    yield from maker.wanted("drift.minimum_detectable", feature.minimum_detectable, status=status)
    for name, value in feature.extra.items():
        yield from maker.wanted(f"drift.{name}", value, status=status)


def _feature_statistics(feature: FeatureComparison, maker: _Maker, details: _Details) -> Iterator[Metric]:
    current = feature.current
    if current is None:
        return
    status = feature.status if feature.status in _UNJUDGED else Status.OK
    for name, attribute in _ONE_SIDED.items():
        value = getattr(current, attribute) if maker.names is None or name in maker.names else None
        if value is not None:
            yield from maker.wanted(name, float(value), status=status)
    yield from maker.wanted(
        "features.missing_change", feature.missing_change, status=status, p=feature.missing_p_value, details=details
    )
    yield from _range_and_levels(feature, maker, status, details)
    yield from _steps(feature, maker, status)


def _steps(feature: FeatureComparison, maker: _Maker, status: Status) -> Iterator[Metric]:
    step = feature.step
    if step is None or feature.current is None:
        return
    found = {MEAN_STEP: (step.mean, step.mean_p_value), MISSING_STEP: (step.missing, step.missing_p_value)}
    for name, (value, p_value) in found.items():
        if value is not None and (maker.names is None or name in maker.names):
            said: _Details = {"effect": words} if (words := step_words(feature, name)) else {}
            metric = maker.metric(name, value, status=status, p=p_value, details=said)
            # What it is held against is the window before: its rows must be enough, not the baseline's.
            yield replace(metric, n_reference=step.rows_tested)


def _range_and_levels(feature: FeatureComparison, maker: _Maker, status: Status, details: _Details) -> Iterator[Metric]:
    # The newest dates are always later than the baseline's; their range is shown and not judged.
    if feature.out_of_range is not None and feature.kind is not FeatureKind.DATETIME:
        yield from maker.wanted(
            "features.out_of_range_share", feature.out_of_range, status=status, p=feature.out_of_range_p_value,
            details=details,
        )  # fmt: skip
    if feature.new_levels is not None:
        names = {**details, "new_levels": list(feature.new_levels.names[:5])}
        yield from maker.wanted("features.new_level_share", feature.new_levels.share, status=status, details=names)
        yield from maker.wanted(
            "features.new_level_excess", feature.new_level_excess, status=status, p=feature.new_level_p_value,
            details=names,
        )  # fmt: skip
    for name, pair in (("iqr", feature.outliers_iqr), ("z", feature.outliers_z)):
        if pair is not None and pair.current is not None:
            yield from maker.wanted(f"features.outlier_share_{name}", pair.current, status=status)


def _overall(comparison: Comparison, maker: _Maker) -> Iterator[Metric]:
    status = Status.TOO_FEW_ROWS if _too_few(comparison) else Status.OK
    score = comparison.score
    if score is not None and score.status in _LOST:
        for name in ("drift.score_psi", "drift.overall_psi"):
            yield from maker.wanted(name, None, status=score.status, why=score.status.value, details={"of": "score"})
    elif score is not None:
        effect = _score_effect(score)
        details: _Details = {"effect": effect} if effect else {}
        for name in ("drift.score_psi", "drift.overall_psi"):
            yield from maker.wanted(
                name, score.psi, status=status, p=score.psi_p_value, q=score.psi_q_value, lower=score.psi_lower,
                details={**details, "of": "score"},
            )  # fmt: skip
        for name, attribute in _SCORE_SIDE.items():
            value = getattr(score.current, attribute, None)
            if value is not None:
                for metric in maker.wanted(name, float(value), status=status):
                    yield replace(metric, subject=replace(maker.subject, feature=_SCORE))
    else:
        named = _strongest(comparison)
        details = {"of": "features", **({"effect": f"most in {named}"} if named else {})}
        yield from maker.wanted("drift.overall_psi", comparison.overall.psi, status=status, details=details)
    yield from maker.wanted("drift.weighted_psi", comparison.overall.psi, status=status)
    changed = [f.name for f in comparison.features.values() if f.status in _LOST]
    if score is not None and score.status in _LOST:
        changed.insert(0, _SCORE)
    details = {"features": changed[:20]} if changed else {}
    yield from maker.wanted("features.schema_changes", float(comparison.schema_changes), details=details)
    yield from maker.wanted("features.new_columns", float(len(comparison.new_columns)))
    yield from maker.wanted("features.rows", float(comparison.rows_current))


def _strongest(comparison: Comparison) -> str:
    """The three features with the largest PSI of those worth a look."""
    seen = [(-f.psi, f.name) for f in comparison.features.values() if f.psi is not None and f.psi > _WORTH_A_LOOK]
    return ", ".join(shortened(name) for _, name in nsmallest(3, seen))


def _score_effect(score: FeatureComparison) -> str:
    reference, current = score.reference, score.current
    if reference is None or current is None or reference.mean is None or current.mean is None:
        return ""
    change = current.mean - reference.mean
    return f"scores {abs(change):.2g} {'higher' if change > 0 else 'lower'} (mean {current.mean:.3g})"


def _too_few(comparison: Comparison) -> bool:
    return any(f.status is Status.TOO_FEW_ROWS for f in comparison.features.values())


def drifted_features(verdicts: Iterable[Verdict]) -> dict[str, Severity]:
    """Features that some drift or feature rule puts at warning or above, with the worst that any says."""
    worst: dict[str, Severity] = {}
    for verdict in verdicts:
        feature = verdict.subject.feature
        if verdict.severity >= Severity.WARNING and feature and verdict.metric is not None:
            worst[feature] = max(verdict.severity, worst.get(feature, Severity.NONE))
    return worst


def drifted_metric(severities: Collection[Severity], *, like: Metric) -> Metric:
    """`drift.features_drifted` beside another metric of the same subject and window; how many of them are critical.

    Args:
        severities: of the features that drifted.
        like: whose subject, window and rows it has.
    """
    return Metric(
        "drift.features_drifted", replace(like.subject, feature=""), like.window, float(len(severities)),
        n_reference=like.n_reference, n_current=like.n_current, baseline_id=like.baseline_id, bins_id=like.bins_id,
        source_version=like.source_version, details={"critical": list(severities).count(Severity.CRITICAL)},
    )  # fmt: skip
