"""What the pages ask of stored metrics, alerts and incidents, as small plain tables kept for a minute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import streamlit as st

from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.drawing.style import STEPS as PSI_STEPS
from tiltmeter.ports import MetricQuery

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.domain.alert import Alert, Incident
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World

STEP_NAMES = ("ok", "watch", "warning", "critical")
"""Names of the steps that the limits of `PSI_STEPS` part."""

SPANS = {"24 h": timedelta(hours=24), "7 d": timedelta(days=7), "30 d": timedelta(days=30), "90 d": timedelta(days=90)}

SCORE = "score"
"""What the model's score is called beside the features."""

ALL = ("", "")
"""The segment that holds every row."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a page shows.

    Args:
        place: home of the installation; keeps the answers of two of them apart.
        model: monitored model.
        version: model version, empty for all.
        segment: key and value, both empty for all.
        start: aware UTC.
        end: aware UTC; the newest data, not the wall clock.
    """

    place: str
    model: Model
    version: str
    segment: tuple[str, str]
    start: datetime
    end: datetime

    @property
    def window(self) -> Window:
        """The shown span."""
        return Window(self.start, self.end, Grain.LIVE)


def identity(scope: Scope) -> tuple[str, ...]:
    """What tells one scope's answers from another's."""
    return (
        scope.place, scope.model.name, scope.version, *scope.segment, scope.start.isoformat(), scope.end.isoformat(),
    )  # fmt: skip


_Answer = TypeVar("_Answer", bound="Callable[..., Any]")


def remembered(ask: _Answer) -> _Answer:
    """Keeps an answer for a minute by its arguments; those with an underscore do not count."""
    kept: _Answer = st.cache_data(ask, ttl=60, max_entries=500, show_spinner=False, hash_funcs={Scope: identity})
    return kept


def newest_moment(world: World, model: Model) -> datetime:
    """End of the newest judged window, or now when there is none."""
    found = [
        metric.window.end
        for name in ("features.rows", "serving.requests")
        for metric in world.state.metrics(
            MetricQuery(model=model.name, metric=name, grain=Grain.HOUR, segment=ALL, version="", newest_only=True)
        )
    ]
    return max(found, default=world.clock.now())


def _query(scope: Scope, metric: str, grain: Grain, feature: str | None = "") -> MetricQuery:
    return MetricQuery(
        model=scope.model.name, metric=metric, since=scope.start, until=scope.end, grain=grain, version=scope.version,
        feature=feature, segment=scope.segment,
    )  # fmt: skip


@remembered
def series(_world: World, scope: Scope, metric: str, *, grain: Grain, feature: str = "") -> pd.DataFrame:
    """One metric over time: columns `time`, `value`, `lower`, `upper`, `rows`, `reference`, `status`."""
    if (feature, metric) == (SCORE, "drift.psi"):
        scores = _world.state.metrics(_query(scope, "drift.score_psi", grain))
        features = _world.state.metrics(_query(scope, metric, grain, feature))
        found = sorted(features or scores, key=lambda m: m.window.end)
    else:
        found = sorted(_world.state.metrics(_query(scope, metric, grain, feature)), key=lambda m: m.window.end)
    return pd.DataFrame(
        {
            "time": pd.to_datetime([m.window.end for m in found], utc=True),
            "value": pd.Series([m.value for m in found], dtype=float),
            "lower": pd.Series([m.lower for m in found], dtype=float),
            "upper": pd.Series([m.upper for m in found], dtype=float),
            "rows": [m.n_current or 0 for m in found],
            "reference": [m.n_reference or 0 for m in found],
            "status": [str(m.status) for m in found],
        }
    )


@remembered
def newest(_world: World, scope: Scope, prefix: str, *, grain: Grain, feature: str | None = None) -> list[Metric]:
    """The newest value of every metric whose name begins so, within the shown span."""
    query = MetricQuery(
        model=scope.model.name, prefix=prefix, since=scope.start, until=scope.end, grain=grain, version=scope.version,
        feature=feature, segment=scope.segment, newest_only=True,
    )  # fmt: skip
    return _world.state.metrics(query)


@remembered
def drift_heatmap(_world: World, scope: Scope) -> pd.DataFrame:
    """PSI by feature and day: columns `feature`, `order`, `day`, `end`, `psi`, `step`, `rows`; worst features first."""
    found = [m for m in _world.state.metrics(_query(scope, "drift.psi", Grain.DAY, None)) if m.subject.feature]
    if all(m.subject.feature != SCORE for m in found):
        scores = _world.state.metrics(_query(scope, "drift.score_psi", Grain.DAY))
        found.extend(replace(m, subject=replace(m.subject, feature=SCORE)) for m in scores)
    worst: dict[str, float] = {}
    for metric in found:
        judged = metric.value or 0.0 if str(metric.status) == "ok" else 0.0
        worst[metric.subject.feature] = max(worst.get(metric.subject.feature, 0.0), judged)
    order = {f: i for i, f in enumerate(sorted(worst, key=lambda f: (-worst[f], f)))}
    return pd.DataFrame(
        {
            "feature": [m.subject.feature for m in found],
            "order": [order[m.subject.feature] for m in found],
            "day": [day_of(m.window) for m in found],
            "end": pd.to_datetime([m.window.end for m in found], utc=True),
            "psi": pd.Series([m.value for m in found], dtype=float),
            "step": [psi_step(m) for m in found],
            "rows": [m.n_current or 0 for m in found],
        }
    )


def day_of(window: Window) -> str:
    """Name of the day that a window ends with."""
    return (window.end - timedelta(hours=12)).strftime("%Y-%m-%d")


def psi_step(metric: Metric) -> str:
    """How a PSI reads: ok, watch, warning, critical, or not judged."""
    if metric.value is None or str(metric.status) != "ok":
        return "not judged"
    return STEP_NAMES[sum(metric.value > limit for limit in PSI_STEPS)]


def incidents(world: World, scope: Scope, *, open_only: bool) -> list[Incident]:
    """Incidents of the model, newest first, that touch the shown span."""
    found = world.state.incidents(scope.model.name, open_only=open_only)
    return [i for i in found if i.resolved_at is None or i.resolved_at >= scope.start]


def alerts_fired(world: World, scope: Scope, *, metrics: str = "", feature: str = "") -> pd.DataFrame:
    """Alerts that fired within the shown span: columns `time`, `words`, `severity`.

    Args:
        world: what is read.
        scope: what is shown.
        metrics: only those whose metric begins so.
        feature: only those of this feature.
    """
    rows = []
    for alert in world.state.alerts(scope.model.name, open_only=False).values():
        fired = alert.fired_at
        if fired is None or not scope.start <= fired <= scope.end or not _is_about(alert, feature):
            continue
        if metrics and (alert.metric is None or not alert.metric.name.startswith(metrics)):
            continue
        rows.append((fired, _alert_words(alert), (alert.severity or Severity.INFO).word))
    return pd.DataFrame(sorted(rows), columns=["time", "words", "severity"])


def _is_about(alert: Alert, feature: str) -> bool:
    if feature == SCORE and alert.metric is not None and alert.metric.name in ("drift.score_psi", "drift.overall_psi"):
        return True
    return not feature or alert.subject.feature == feature


def _alert_words(alert: Alert) -> str:
    subject = " ".join(value for key, value in alert.subject.labels().items() if key != "model")
    return f"{alert.rule} {subject}".strip()


def features_of(world: World, scope: Scope) -> list[str]:
    """Feature names, those with the highest PSI first."""
    table = drift_heatmap(world, scope)
    if len(table):
        return [str(f) for f in table.sort_values("order")["feature"].drop_duplicates()]
    reference = world.baselines.judging(scope.model, scope.window)
    return sorted(f for f in reference.bins.features if f != reference.bins.score) if reference else []


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of a feature with what it is compared with."""

    title: str
    value: str
    note: str


def feature_facts(world: World, scope: Scope, feature: str) -> list[Fact]:
    """Six numbers of the newest day in the scope."""
    found = {m.name: m for m in newest(world, scope, "", grain=Grain.DAY, feature=feature)}
    if feature == SCORE and "drift.psi" not in found:
        score = newest(world, scope, "drift.score_psi", grain=Grain.DAY, feature="")
        found.update(("drift.psi", m) for m in score)

    def said(name: str, form: str = "{:.3g}") -> str:
        metric = found.get(name)
        return form.format(metric.value) if metric is not None and metric.value is not None else "–"

    psi = found.get("drift.psi")
    rows = f"n = {psi.n_current:,}" if psi is not None and psi.n_current is not None else "no day judged yet"
    judged = rows if psi is None or str(psi.status) == "ok" else f"{rows}, not judged"
    is_numeric = "features.mean" in found
    test = ("KS distance", "drift.ks") if is_numeric else ("Chi-square", "drift.chi2")
    middle = (
        Fact("Mean", _compact(found.get("features.mean")), f"std {_compact(found.get('features.std'))}")
        if is_numeric
        else Fact("New levels", said("features.new_level_share", "{:.1%}"), "of the rows")
    )
    outside = (
        Fact("Outliers (IQR)", said("features.outlier_share_iqr", "{:.1%}"),
             f"out of range {said('features.out_of_range_share', '{:.1%}')}")
        if is_numeric
        else Fact("KL divergence", said("drift.kl"), "nats")
    )  # fmt: skip
    return [
        Fact("PSI", said("drift.psi", "{:.3f}"), judged),
        Fact(test[0], said(test[1], "{:.3g}" if is_numeric else "{:,.1f}"), _small(found.get("drift.test_q_value"))),
        Fact("Missing", said("features.missing_share", "{:.1%}"),
             f"change {said('features.missing_change', '{:+.1%}')}"),
        middle,
        outside,
        Fact("Distinct", said("features.distinct", "{:,.0f}"),
             f"visible from PSI {said('drift.minimum_detectable', '{:.2g}')}"),
    ]  # fmt: skip


def _compact(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return "–"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(metric.value) >= 10 * limit:
            return f"{metric.value / limit:,.3g}{letter}"
    return f"{metric.value:,.4g}"


def _small(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return "no q-value"
    return "q < 1e-300" if metric.value == 0.0 else f"q = {metric.value:.2g}"
