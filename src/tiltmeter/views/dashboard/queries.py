"""What the pages ask: stored metrics, incidents and profiles as small plain tables."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tiltmeter.domain.profile import LevelProfile, NumericProfile
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.traffic import traffic_metrics
from tiltmeter.ports import MetricQuery

if TYPE_CHECKING:
    from tiltmeter.domain.alert import Incident
    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import FeatureProfile
    from tiltmeter.domain.severity import Severity
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ports import World

PSI_STEPS = ((0.1, "watch"), (0.25, "warning"), (0.5, "critical"))
"""Steps of the heatmap: the specification's thresholds, and 0.1 below which nobody need look."""

SPANS = {"24 h": timedelta(hours=24), "7 d": timedelta(days=7), "30 d": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a page shows.

    Args:
        model: monitored model.
        version: model version, empty for all.
        start: aware UTC.
        end: aware UTC; the newest data, not the wall clock.
    """

    model: Model
    version: str
    start: datetime
    end: datetime

    @property
    def window(self) -> Window:
        """The shown span."""
        return Window(self.start, self.end, Grain.LIVE)


@dataclass(frozen=True, slots=True)
class Card:
    """One number of the first row: its words, its trend and how it stands."""

    title: str
    value: str
    note: str
    severity: Severity
    trend: tuple[float, ...] = ()


def newest_moment(world: World, model: Model) -> datetime:
    """End of the newest judged window, or now when there is none."""
    newest = world.state.metrics(MetricQuery(model=model.name, metric="features.rows", newest_only=True))
    ends = [metric.window.end for metric in newest]
    return max(ends, default=world.clock.now())


def series(world: World, scope: Scope, metric: str, *, grain: Grain, feature: str = "") -> pd.DataFrame:
    """One metric over time: columns `time`, `value`, `lower`, `upper`, `rows`, `status`."""
    query = MetricQuery(
        model=scope.model.name, metric=metric, since=scope.start, until=scope.end, grain=grain, version=scope.version,
        feature=feature, segment=("", ""),
    )  # fmt: skip
    found = world.state.metrics(query)
    return pd.DataFrame(
        {
            "time": [m.window.end for m in found],
            "value": [m.value for m in found],
            "lower": [m.lower for m in found],
            "upper": [m.upper for m in found],
            "rows": [m.n_current or 0 for m in found],
            "status": [str(m.status) for m in found],
        }
    )


def drift_heatmap(world: World, scope: Scope, *, limit: int = 15) -> pd.DataFrame:
    """PSI by feature and day: columns `feature`, `day`, `psi`, `step`, `rows`, worst features first."""
    query = MetricQuery(
        model=scope.model.name, metric="drift.psi", since=scope.start, until=scope.end, grain=Grain.DAY,
        version=scope.version, segment=("", ""),
    )  # fmt: skip
    found = [m for m in world.state.metrics(query) if m.subject.feature]
    worst: dict[str, float] = {}
    for metric in found:
        worst[metric.subject.feature] = max(worst.get(metric.subject.feature, 0.0), metric.value or 0.0)
    shown = sorted(worst, key=lambda feature: (-worst[feature], feature))[:limit]
    order = {feature: position for position, feature in enumerate(shown)}
    rows = [m for m in found if m.subject.feature in order]
    return pd.DataFrame(
        {
            "feature": [m.subject.feature for m in rows],
            "order": [order[m.subject.feature] for m in rows],
            "day": [(m.window.end - timedelta(hours=1)).strftime("%Y-%m-%d") for m in rows],
            "psi": [m.value for m in rows],
            "step": [psi_step(m) for m in rows],
            "rows": [m.n_current or 0 for m in rows],
        }
    )


def psi_step(metric: Metric) -> str:
    """How a PSI reads: ok, watch, warning, critical, or not judged."""
    if metric.value is None or str(metric.status) != "ok":
        return "not judged"
    reached = [word for threshold, word in PSI_STEPS if metric.value > threshold]
    return reached[-1] if reached else "ok"


def service_series(world: World, scope: Scope) -> pd.DataFrame:
    """Latency percentiles, throughput and error share by five minutes (24 h) or hour: one row a step."""
    if scope.end - scope.start > timedelta(hours=25):
        return _hourly_service(world, scope)
    step = timedelta(minutes=5)
    states = world.log.traffic(scope.model.name, scope.window)
    by_step: dict[datetime, list[TrafficState]] = {}
    for state in states:
        offset = (state.window_start - scope.start) // step
        by_step.setdefault(scope.start + offset * step, []).append(state)
    rows = []
    for start, part in sorted(by_step.items()):
        window = Window(start, start + step, Grain.LIVE)
        metrics = traffic_metrics(
            part, model=scope.model.name, window=window, latency_target=scope.model.latency_target
        )
        rows.append({"time": window.end, **_totals(metrics)})
    return pd.DataFrame(rows, columns=["time", "p50", "p95", "p99", "rate", "errors"])


def _hourly_service(world: World, scope: Scope) -> pd.DataFrame:
    query = MetricQuery(
        model=scope.model.name, prefix="serving.", since=scope.start, until=scope.end, grain=Grain.HOUR,
        version=scope.version, segment=("", ""),
    )  # fmt: skip
    by_hour: dict[datetime, list[Metric]] = {}
    for metric in world.state.metrics(query):
        by_hour.setdefault(metric.window.end, []).append(metric)
    rows = [{"time": end, **_totals(metrics)} for end, metrics in sorted(by_hour.items())]
    return pd.DataFrame(rows, columns=["time", "p50", "p95", "p99", "rate", "errors"])


_SERVICE_NAMES = {
    "serving.latency_ms.p50": "p50",
    "serving.latency_ms.p95": "p95",
    "serving.latency_ms.p99": "p99",
    "serving.requests_per_second": "rate",
    "serving.error_rate": "errors",
}


def _totals(metrics: list[Metric]) -> dict[str, float | None]:
    return {
        _SERVICE_NAMES[m.name]: m.value
        for m in metrics
        if m.name in _SERVICE_NAMES and not m.subject.segment_key and not m.subject.model_version
    }


def incidents(world: World, scope: Scope, *, open_only: bool) -> list[Incident]:
    """Incidents of the model, newest first, that touch the shown span."""
    found = world.state.incidents(scope.model.name, open_only=open_only)
    return [i for i in found if i.resolved_at is None or i.resolved_at >= scope.start]


def features_of(world: World, scope: Scope) -> list[str]:
    """Feature names, those with the highest recent PSI first."""
    table = drift_heatmap(world, scope, limit=10_000)
    if len(table):
        return [str(f) for f in table.sort_values("order")["feature"].drop_duplicates()]
    reference = world.baselines.judging(scope.model, scope.window)
    return sorted(f for f in reference.bins.features if f != reference.bins.score) if reference else []


def feature_profiles(
    world: World, scope: Scope, feature: str
) -> tuple[Reference, FeatureProfile | None, FeatureProfile | None] | None:
    """The baseline, its profile of the feature and the current one; None while the baseline is learnt."""
    reference = world.baselines.judging(scope.model, scope.window)
    if reference is None or feature not in reference.bins.features:
        return None
    current = world.states.total(scope.model.name, reference.bins.bins_id, scope.window, version=scope.version)
    return reference, reference.profile.features.get(feature), current.features.get(feature) if current else None


def distribution(
    reference: Reference, feature: str, before: FeatureProfile, now: FeatureProfile | None
) -> pd.DataFrame:
    """Shares side by side: columns `cell`, `position`, `left`, `right`, `baseline`, `current`."""
    bins = reference.bins.features[feature].cells
    if isinstance(before, NumericProfile):
        return _numeric_distribution(bins, before, now if isinstance(now, NumericProfile) else None)
    if isinstance(before, LevelProfile):
        return _level_distribution(bins, before, now if isinstance(now, LevelProfile) else None)
    return pd.DataFrame(columns=["cell", "position", "left", "right", "baseline", "current"])


def _numeric_distribution(bins: object, before: NumericProfile, now: NumericProfile | None) -> pd.DataFrame:
    edges = bins.edges  # type: ignore[attr-defined]
    low, high = _shown_range(edges, before, now)
    limits = np.linspace(low, high, 41)
    # Shares of equal-width cells, read off the cumulative fine counts: what a histogram of the rows would show.
    rows = [_shares(edges, profile, limits) if profile is not None else np.zeros(40) for profile in (before, now)]
    return pd.DataFrame(
        {
            "cell": [f"{left:.4g} to {right:.4g}" for left, right in itertools.pairwise(limits)],
            "position": range(40),
            "left": limits[:-1],
            "right": limits[1:],
            "baseline": rows[0],
            "current": rows[1],
        }
    )


def _shown_range(edges: np.ndarray, before: NumericProfile, now: NumericProfile | None) -> tuple[float, float]:
    total = np.cumsum(before.counts)
    if not total.size or not total[-1] or not edges.size:
        return 0.0, 1.0
    low = float(edges[min(int(np.searchsorted(total, 0.005 * total[-1])), edges.size - 1)])
    high = float(edges[min(int(np.searchsorted(total, 0.995 * total[-1])), edges.size - 1)])
    if now is not None and now.minimum is not None and now.maximum is not None:
        reach = (high - low) or 1.0
        low, high = max(min(low, now.minimum), low - reach), min(max(high, now.maximum), high + reach)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _shares(edges: np.ndarray, profile: NumericProfile, limits: np.ndarray) -> np.ndarray:
    counts = profile.counts.astype(float)
    if not counts.sum():
        return np.zeros(limits.size - 1)
    cumulative = np.concatenate([[0.0], np.cumsum(counts[:-1])])
    at_edges = np.concatenate([[edges[0] - 1e-12], edges]) if edges.size else limits[:1]
    reached = np.interp(limits, at_edges, cumulative, left=0.0, right=counts.sum())
    shares: np.ndarray = np.diff(reached) / counts.sum()
    return shares


def _level_distribution(bins: object, before: LevelProfile, now: LevelProfile | None, limit: int = 20) -> pd.DataFrame:
    levels: tuple[str, ...] = bins.levels  # type: ignore[attr-defined]
    rows_before, rows_now = max(before.rows, 1), max(now.rows, 1) if now else 1
    table = [
        (level, int(count), int(now.counts[i]) if now else 0)
        for i, (level, count) in enumerate(zip(levels, before.counts, strict=True))
    ]
    new = sorted(now.new.items(), key=lambda item: -item[1])[:5] if now else []
    table = sorted(table, key=lambda row: -max(row[1] / rows_before, row[2] / rows_now))[: limit - len(new)]
    table += [(f"{level} (new)", 0, count) for level, count in new]
    table.append(("(missing)", before.missing, now.missing if now else 0))
    return pd.DataFrame(
        {
            "cell": [name for name, _, _ in table],
            "position": range(len(table)),
            "left": 0.0,
            "right": 0.0,
            "baseline": [count / rows_before for _, count, _ in table],
            "current": [count / rows_now for _, _, count in table],
        }
    )


def fired_moments(world: World, scope: Scope, feature: str) -> list[datetime]:
    """When alerts of the feature fired within the shown span."""
    alerts = world.state.alerts(scope.model.name, open_only=False).values()
    fired = [a.fired_at for a in alerts if a.subject.feature == feature and a.fired_at is not None]
    return sorted(moment for moment in fired if scope.start <= moment <= scope.end)


def feature_facts(world: World, scope: Scope, feature: str) -> list[tuple[str, str, str]]:
    """Six numbers of the newest day: title, value, note."""
    found = {
        metric.name: metric
        for metric in world.state.metrics(
            MetricQuery(
                model=scope.model.name, grain=Grain.DAY, version=scope.version, feature=feature, segment=("", ""),
                newest_only=True,
            )
        )
    }  # fmt: skip

    def said(name: str, form: str = "{:.3g}") -> str:
        metric = found.get(name)
        return form.format(metric.value) if metric is not None and metric.value is not None else "–"

    psi = found.get("drift.psi")
    rows = f"n = {psi.n_current:,}" if psi is not None and psi.n_current is not None else "no day judged yet"
    judged = rows if psi is None or str(psi.status) == "ok" else f"{rows}, not judged"
    test = ("KS", "drift.ks") if "drift.ks" in found else ("Chi-square", "drift.chi2")
    return [
        ("PSI, newest day", said("drift.psi", "{:.3f}"), judged),
        (test[0], said(test[1]), f"q = {said('drift.test_q_value', '{:.2g}')}"),
        ("Missing", said("features.missing_share", "{:.1%}"), f"change {said('features.missing_change', '{:+.1%}')}"),
        ("Mean", said("features.mean", "{:.4g}"), f"std {said('features.std', '{:.4g}')}"),
        (
            "Outliers (IQR)",
            said("features.outlier_share_iqr", "{:.1%}"),
            f"z {said('features.outlier_share_z', '{:.1%}')}",
        ),
        ("Distinct", said("features.distinct", "{:,.0f}"), f"visible from PSI {said('drift.minimum_detectable')}"),
    ]
