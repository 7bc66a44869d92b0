"""Numbers of the service for the pages: over time, by route, and of the last minutes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from tiltmeter.alerting.limits import P95, named
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.traffic import latency_bin
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.traffic import ROUTE, traffic_metrics
from tiltmeter.ports import MetricQuery
from tiltmeter.views.dashboard.by_version import of_version
from tiltmeter.views.dashboard.queries import ALL, Scope, limits_for, reach, remembered, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ports import World

SHORT_SPAN = timedelta(hours=25)
"""Up to here charts show steps of five minutes, beyond it hours; what is not judged yet, always five minutes."""

_STEP = timedelta(minutes=5)
LIVE_SPAN = timedelta(minutes=5)

_NAMES = {
    "serving.latency_ms.p50": "p50",
    "serving.latency_ms.p95": "p95",
    "serving.latency_ms.p99": "p99",
    "serving.requests_per_second": "rate",
    "serving.error_rate": "errors",
    "serving.client_error_rate": "client_errors",
    "serving.share_within_target": "within",
    "serving.requests": "requests",
}
OF_ALL = "of_all"
"""Attribute of a table that holds all versions together, whatever version was chosen."""

COLUMNS = ["time", *_NAMES.values()]


def service_series(world: World, scope: Scope) -> pd.DataFrame:
    """One row a step: latency percentiles, requests per second, shares of errors, client errors and fast answers.

    Of all versions together where the chosen one answered nothing (attribute `OF_ALL`); segments are not kept apart.
    """
    return _series(world, scope, reach(world, scope))


@remembered
def _series(_world: World, scope: Scope, until: datetime) -> pd.DataFrame:
    shown = replace(scope, segment=ALL)
    by_step = _steps(_world, shown, until)
    is_whole = not by_step and bool(scope.version)
    if is_whole:
        by_step = _steps(_world, whole(scope), until)
    rows = [{"time": end, **numbers} for end, numbers in sorted(by_step.items())]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["time"] = pd.to_datetime(table["time"], utc=True)
    table = table.astype(dict.fromkeys(_NAMES.values(), float))
    table.attrs[OF_ALL] = is_whole
    return table


def _steps(world: World, scope: Scope, until: datetime) -> dict[datetime, dict[str, float | None]]:
    """Numbers by the end of their step."""
    if scope.end - scope.start <= SHORT_SPAN and (found := _short(world, scope, scope.start, until)):
        return found
    return _hourly(world, scope) | (_short(world, scope, scope.end, until) if until > scope.end else {})


def latency_limits(world: World, scope: Scope, service: pd.DataFrame) -> dict[str, float]:
    """Word -> threshold in milliseconds of the P95 that a table holds: of all versions together or of one."""
    shown = replace(scope, version="", segment=ALL) if service.attrs.get(OF_ALL) else replace(scope, segment=ALL)
    return named(limits_for(world, shown, P95))


def _short(world: World, scope: Scope, since: datetime, until: datetime) -> dict[datetime, dict[str, float | None]]:
    """Numbers by the end of their five minutes, counted back from the end: the newest step is a whole one."""
    parts: dict[datetime, list[TrafficState]] = defaultdict(list)
    for state in world.log.traffic(scope.model.name, Window(since, until, Grain.LIVE)):
        if not scope.version or state.model_version == scope.version:
            back = -((state.window_start - until) // _STEP)
            parts[until - back * _STEP].append(state)
    target = scope.model.latency_target
    found = {}
    for start, part in parts.items():
        window = Window(max(start, since), start + _STEP, Grain.LIVE)
        found[window.end] = _totals(traffic_metrics(part, model=scope.model.name, window=window, latency_target=target))
    return found


def _hourly(world: World, scope: Scope) -> dict[datetime, dict[str, float | None]]:
    query = MetricQuery(
        model=scope.model.name, prefix="serving.", since=scope.start, until=scope.end, grain=Grain.HOUR,
        version=scope.version, segment=ALL,
    )  # fmt: skip
    by_hour: dict[datetime, list[Metric]] = defaultdict(list)
    for metric in of_version(world, scope, query):
        by_hour[metric.window.end].append(metric)
    return {end: _totals(metrics, scope.version) for end, metrics in by_hour.items()}


def _totals(metrics: Iterable[Metric], version: str = "") -> dict[str, float | None]:
    """Numbers by column, without those of routes."""
    return {
        _NAMES[m.name]: m.value for m in metrics if m.name in _NAMES and m.subject == Subject(m.subject.model, version)
    }


@remembered
def routes(_world: World, scope: Scope) -> pd.DataFrame:
    """One row a route, most requests first: requests, failed, client errors, P95 of its worst hour.

    All versions together. An hour keeps its routes apart only where it has several; else all of it is of its one route.
    """
    query = MetricQuery(
        model=scope.model.name, prefix="serving.", since=scope.start, until=scope.end, grain=Grain.HOUR, version="",
    )  # fmt: skip
    by_hour: dict[datetime, list[Metric]] = defaultdict(list)
    for metric in _world.state.metrics(query):
        if metric.name in _NAMES and metric.value is not None:
            by_hour[metric.window.end].append(metric)
    sums: dict[str, _Route] = defaultdict(_Route)
    for found in by_hour.values():
        apart = [metric for metric in found if metric.subject.segment_key == ROUTE]
        only = next((str(m.details["top_route"]) for m in found if "top_route" in m.details), "")
        for metric in apart or found:
            if route := metric.subject.segment_value or only:
                sums[route].add(metric)
    rows = [
        (name, r.requests, r.failed / max(r.requests, 1), r.refused / max(r.requests, 1), r.worst_p95)
        for name, r in sums.items()
    ]
    columns = ["route", "requests", "errors", "client_errors", "worst_p95"]
    return pd.DataFrame(rows, columns=columns).sort_values("requests", ascending=False)


@dataclass(slots=True)
class _Route:
    """Hours of one route added up."""

    requests: int = 0
    failed: float = 0.0
    refused: float = 0.0
    worst_p95: float = 0.0

    def add(self, metric: Metric) -> None:
        n, value = metric.n_current or 0, metric.value or 0.0
        if metric.name == "serving.requests":
            self.requests += int(value)
        elif metric.name == "serving.error_rate":
            self.failed += value * n
        elif metric.name == "serving.client_error_rate":
            self.refused += value * n
        elif metric.name == "serving.latency_ms.p95":
            self.worst_p95 = max(self.worst_p95, value)


@dataclass(frozen=True, slots=True)
class LiveNumbers:
    """The last five minutes; None where there was no request."""

    at: datetime
    requests: int
    rate: float
    p95: float | None
    errors: float | None


def live_numbers(world: World, scope: Scope) -> LiveNumbers:
    """Traffic of the last five minutes, read now."""
    now = world.clock.now()
    window = Window(now - LIVE_SPAN, now, Grain.LIVE)
    states = [
        state
        for state in world.log.traffic(scope.model.name, window)
        if not scope.version or state.model_version == scope.version
    ]
    found = _totals(
        traffic_metrics(states, model=scope.model.name, window=window, latency_target=scope.model.latency_target)
    )
    return LiveNumbers(
        now, int(found.get("requests") or 0), found.get("rate") or 0.0, found.get("p95"), found.get("errors")
    )


LATENCY_CLASSES_MS = (10.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2500.0)
"""Upper limits of the rows of the latency heatmap; all of them are exact edges of the latency bins."""

_HALF_HOUR = timedelta(minutes=30)


def latency_heat(world: World, scope: Scope) -> pd.DataFrame:
    """Requests of the newest 24 hours by half hour and latency class: columns `time`, `until`, `band`, `requests`."""
    return _heat(world, scope, reach(world, scope))


@remembered
def _heat(_world: World, scope: Scope, until: datetime) -> pd.DataFrame:
    start = scope.end - (scope.end - until) // _HALF_HOUR * _HALF_HOUR - timedelta(hours=24)
    limits = [latency_bin(limit) for limit in LATENCY_CLASSES_MS]
    counts: Counter[tuple[datetime, int]] = Counter()
    for state in _world.log.traffic(scope.model.name, Window(start, until, Grain.LIVE)):
        if scope.version and state.model_version != scope.version:
            continue
        step = start + (state.window_start - start) // _HALF_HOUR * _HALF_HOUR
        for index, requests in state.latency.items():
            counts[step, bisect_left(limits, index)] += requests
    rows = [(step, step + _HALF_HOUR, latency_bands()[band], n) for (step, band), n in sorted(counts.items())]
    table = pd.DataFrame(rows, columns=["time", "until", "band", "requests"])
    return table.assign(time=pd.to_datetime(table["time"], utc=True), until=pd.to_datetime(table["until"], utc=True))


def latency_bands() -> list[str]:
    """Names of the latency classes, fast ones first."""
    return [f"up to {limit:g} ms" for limit in LATENCY_CLASSES_MS] + [f"over {LATENCY_CLASSES_MS[-1]:g} ms"]
