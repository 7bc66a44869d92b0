"""Service metrics of a span: latency percentiles, throughput, errors, capacity, share of usual traffic."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.statistics.latency import percentile, share_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.domain.window import Window

ROUTE = "http_route"
"""Segment key of one route's metrics."""

CAPACITY_HORIZON = timedelta(days=30)
CAPACITY_MINUTE_REQUESTS = 60
"""A minute counts towards capacity from this many requests on: fewer say nothing about P95."""

_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(slots=True)
class _Sum:
    """Requests added up over states."""

    requests: int = 0
    errors: int = 0
    client_errors: int = 0
    latency: Counter[int] = field(default_factory=Counter)
    error_routes: Counter[str] = field(default_factory=Counter)
    slow_routes: Counter[str] = field(default_factory=Counter)

    def add(self, state: TrafficState) -> None:
        self.requests += state.requests
        self.errors += state.errors
        if state.code_class == "4xx":
            self.client_errors += state.requests
        for index, requests in state.latency.items():
            self.latency[index] += requests
        if state.errors:
            self.error_routes[state.http_route] += state.errors
        self.slow_routes[state.http_route] += state.requests


def traffic_metrics(
    states: Iterable[TrafficState], *, model: str, window: Window, latency_target: timedelta
) -> list[Metric]:
    """Metrics of all requests in the window, and again by route and by version where there are several.

    Args:
        states: ten-second states that lie in the window.
        model: model name.
        window: the span; rates are over its real length.
        latency_target: for `serving.share_within_target`.
    """
    total = _Sum()
    by_route: dict[str, _Sum] = defaultdict(_Sum)
    by_version: dict[str, _Sum] = defaultdict(_Sum)
    for state in states:
        total.add(state)
        by_route[state.http_route].add(state)
        by_version[state.model_version].add(state)
    metrics = _metrics(total, Subject(model), window, latency_target)
    if len(by_route) > 1:
        for route, part in sorted(by_route.items()):
            subject = Subject(model, segment_key=ROUTE, segment_value=route)
            metrics.extend(_metrics(part, subject, window, latency_target))
    if len(by_version) > 1:
        for version, part in sorted(by_version.items()):
            metrics.extend(_metrics(part, Subject(model, model_version=version), window, latency_target))
    return metrics


def _metrics(total: _Sum, subject: Subject, window: Window, latency_target: timedelta) -> list[Metric]:
    seconds = window.length.total_seconds()
    rate = Metric("serving.requests_per_second", subject, window, total.requests / seconds, n_current=total.requests)
    count = Metric("serving.requests", subject, window, float(total.requests), n_current=total.requests)
    if not total.requests:
        return [rate, count, *(_idle(name, subject, window) for name in _NEED_REQUESTS)]
    details: dict[str, str | float | int | list[str]] = {}
    if total.error_routes:
        route, errors = total.error_routes.most_common(1)[0]
        details = {"top_route": route, "errors": errors, "requests": total.requests}
    elif total.slow_routes:
        details = {"top_route": total.slow_routes.most_common(1)[0][0], "requests": total.requests}
    n = total.requests
    latencies = [
        Metric(
            f"serving.latency_ms.{name}", subject, window, percentile(total.latency, share), n_current=n,
            details=details,
        )
        for name, share in _PERCENTILES.items()
    ]  # fmt: skip
    within = share_within(total.latency, latency_target.total_seconds() * 1000)
    return [
        rate,
        count,
        *latencies,
        Metric("serving.share_within_target", subject, window, within, n_current=n),
        Metric("serving.error_rate", subject, window, total.errors / n, n_current=n, details=details),
        Metric("serving.client_error_rate", subject, window, total.client_errors / n, n_current=n),
    ]


_NEED_REQUESTS = (
    "serving.latency_ms.p50",
    "serving.latency_ms.p95",
    "serving.latency_ms.p99",
    "serving.share_within_target",
    "serving.error_rate",
    "serving.client_error_rate",
)


def _idle(name: str, subject: Subject, window: Window) -> Metric:
    return Metric(name, subject, window, None, Status.NO_DATA, "no traffic", n_current=0)


def best_minute(states: Sequence[TrafficState], latency_target: timedelta) -> float | None:
    """Highest rate (requests per second) of a minute whose P95 stayed within the target; None without such a minute."""
    minutes: dict[float, _Sum] = defaultdict(_Sum)
    for state in states:
        minutes[state.window_start.timestamp() // 60].add(state)
    target_ms = latency_target.total_seconds() * 1000
    rates = [
        minute.requests / 60
        for minute in minutes.values()
        if minute.requests >= CAPACITY_MINUTE_REQUESTS and (share_within(minute.latency, target_ms) or 0.0) >= 0.95
    ]
    return max(rates, default=None)


def capacity_metrics(rate: Metric, capacity: float | None) -> list[Metric]:
    """Capacity and its current use beside the current rate.

    Args:
        rate: `serving.requests_per_second` of the span.
        capacity: highest good minute of the last 30 days, None before there is one.
    """
    if capacity is None:
        why = f"no minute with {CAPACITY_MINUTE_REQUESTS} requests and P95 under target yet"
        absent = replace(rate, value=None, status=Status.TOO_LITTLE_HISTORY, why_missing=why, details={})
        return [replace(absent, name="serving.capacity_rps"), replace(absent, name="serving.share_of_capacity")]
    share = (rate.value or 0.0) / capacity
    return [
        replace(rate, name="serving.capacity_rps", value=capacity),
        replace(rate, name="serving.share_of_capacity", value=share, details={"capacity": capacity}),
    ]


def usual_traffic_metric(count: Metric, earlier: Sequence[int]) -> Metric:
    """Requests of the span against the mean of the same span of the week in earlier weeks.

    Args:
        count: `serving.requests` of the span.
        earlier: requests of the same span 1, 2, … weeks before, weeks without a record left out; two are needed.
    """
    usual = sum(earlier) / len(earlier) if earlier else 0.0
    if len(earlier) < 2 or usual == 0:
        why = "needs the same hours of two earlier weeks"
        return replace(
            count, name="serving.share_of_usual_traffic", value=None, status=Status.TOO_LITTLE_HISTORY, why_missing=why
        )
    details: dict[str, str | float | int | list[str]] = {"usual": usual, "requests": count.value or 0.0}
    return replace(
        count, name="serving.share_of_usual_traffic", value=(count.value or 0.0) / usual, details=details,
    )  # fmt: skip
