"""Service metrics of a span: latency percentiles, throughput, errors, capacity, share of usual traffic."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.traffic import ErrorKind
from tiltmeter.statistics.latency import percentile, share_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.domain.window import Window

ROUTE = "http_route"
"""Segment key of one route's metrics."""

ERROR_ANSWERS = "serving.error_answers"
"""Answers of 4xx and 5xx of one route; exists where there are any."""

CAPACITY_HORIZON = timedelta(days=30)
CAPACITY_MINUTE_REQUESTS = 60
"""A minute counts towards capacity from this many requests on: fewer say nothing about P95."""

MISSED_REQUESTS = 20
"""Usual requests of a span from which their absence says something: of 4, none come in 2 % of quiet half hours."""

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
    error_kinds: Counter[ErrorKind] = field(default_factory=Counter)
    exceptions: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, state: TrafficState) -> None:
        self.requests += state.requests
        self.errors += state.errors
        if state.code_class == "4xx":
            self.client_errors += state.requests
        for index, requests in state.latency.items():
            self.latency[index] += requests
        for kind, requests in state.error_kinds.items():
            self.error_kinds[kind] += requests
            if kind.exception and state.errors:
                self.exceptions[state.http_route][kind.exception] += requests
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
    for route, part in sorted(by_route.items()):
        subject = Subject(model, segment_key=ROUTE, segment_value=route)
        if len(by_route) > 1:
            metrics.extend(_metrics(part, subject, window, latency_target))
        if part.error_kinds:
            metrics.append(_error_answers(part, subject, window))
    if len(by_version) > 1:
        # Requests without a version have no numbers of their own: these would stand under the name of the whole.
        for version, part in sorted(by_version.items()):
            if not version:
                continue
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
        if total.exceptions[route]:
            details["exception"] = total.exceptions[route].most_common(1)[0][0]
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


MOST_KINDS_KEPT = 50
"""Kinds of errors of a route and hour that are told apart; their sum is the metric's value."""


def _error_answers(part: _Sum, subject: Subject, window: Window) -> Metric:
    kinds = part.error_kinds.most_common(MOST_KINDS_KEPT)
    lines = [f"{requests} {kind.status} {kind.exception}" for kind, requests in kinds]
    total = float(part.error_kinds.total())
    return Metric(ERROR_ANSWERS, subject, window, total, n_current=part.requests, details={"kinds": lines})


def error_kinds_kept(metric: Metric) -> dict[ErrorKind, int]:
    """What the details of a `serving.error_answers` say: requests by kind."""
    lines = metric.details.get("kinds")
    found: dict[ErrorKind, int] = {}
    for line in lines if isinstance(lines, list) else ():
        requests, status, exception = line.split(" ", 2)  # the name comes last, it may hold anything
        found[ErrorKind(int(status), exception)] = int(requests)
    return found


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


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the minutes of the last 30 days with enough requests say about the rate that the service can carry.

    Args:
        best: highest rate (requests per second) of a minute whose P95 stayed within the target; None without one.
        strained: highest rate of a minute whose P95 did not; None without one.
    """

    best: float | None = None
    strained: float | None = None

    @property
    def is_limit(self) -> bool:
        """Whether a minute at least as busy as the best good one missed the target: only then is the best a limit."""
        return self.best is not None and self.strained is not None and self.strained >= self.best

    def joined(self, other: Capacity) -> Capacity:
        """Both histories as one."""
        best = max((rate for rate in (self.best, other.best) if rate is not None), default=None)
        strained = max((rate for rate in (self.strained, other.strained) if rate is not None), default=None)
        return Capacity(best, strained)

    def details(self) -> dict[str, str | float | int | list[str]]:
        """As a stored hour keeps it; `capacity_kept` reads it back."""
        rates = {"best_minute": self.best, "strained_minute": self.strained}
        return {name: rate for name, rate in rates.items() if rate is not None}


def capacity_kept(hour: Metric) -> Capacity:
    """What an hour's `serving.capacity_rps` kept of its own minutes."""

    def rate(name: str) -> float | None:
        found = hour.details.get(name)
        return float(found) if isinstance(found, int | float) else None

    return Capacity(rate("best_minute"), rate("strained_minute"))


def capacity_of(states: Sequence[TrafficState], latency_target: timedelta) -> Capacity:
    """What the minutes of a span say, without earlier ones."""
    minutes: dict[float, _Sum] = defaultdict(_Sum)
    for state in states:
        minutes[state.window_start.timestamp() // 60].add(state)
    target_ms = latency_target.total_seconds() * 1000
    rates: dict[bool, list[float]] = {True: [], False: []}
    for minute in minutes.values():
        if minute.requests >= CAPACITY_MINUTE_REQUESTS:
            is_good = (share_within(minute.latency, target_ms) or 0.0) >= 0.95
            rates[is_good].append(minute.requests / 60)
    return Capacity(max(rates[True], default=None), max(rates[False], default=None))


def capacity_metrics(rate: Metric, capacity: Capacity) -> list[Metric]:
    """Capacity and its current use beside the current rate.

    The use is judged only where the capacity is a limit: a service that has answered everything in time is always close
    to the busiest minute it has seen, and a rule on that would warn at every day's peak.

    Args:
        rate: `serving.requests_per_second` of the span.
        capacity: of the last 30 days.
    """
    absent = replace(rate, value=None, status=Status.TOO_LITTLE_HISTORY, details={})
    if capacity.best is None:
        why = f"no minute with {CAPACITY_MINUTE_REQUESTS} requests and P95 under target yet"
        return [
            replace(absent, name=name, why_missing=why)
            for name in ("serving.capacity_rps", "serving.share_of_capacity")
        ]
    seen = replace(rate, name="serving.capacity_rps", value=capacity.best, details={})
    if not capacity.is_limit:
        why = "no busier minute missed the latency target yet, so the limit is not known"
        return [seen, replace(absent, name="serving.share_of_capacity", why_missing=why)]
    share = (rate.value or 0.0) / capacity.best
    details: dict[str, str | float | int | list[str]] = {"capacity": capacity.best}
    return [seen, replace(rate, name="serving.share_of_capacity", value=share, details=details)]


def usual_traffic_metric(count: Metric, earlier: Sequence[int]) -> Metric:
    """Requests of the span against the mean of the same span of the week in earlier weeks.

    Args:
        count: `serving.requests` of the span.
        earlier: requests of the same span 1, 2, … weeks before, weeks without a record left out; two are needed.
    """
    usual = sum(earlier) / len(earlier) if earlier else 0.0
    found = replace(count, name="serving.share_of_usual_traffic", value=None)
    if len(earlier) < 2 or usual == 0:
        why = "needs the same hours of two earlier weeks"
        return replace(found, status=Status.TOO_LITTLE_HISTORY, why_missing=why)
    details: dict[str, str | float | int | list[str]] = {"usual": usual, "requests": count.value or 0.0}
    found = replace(found, value=(count.value or 0.0) / usual, details=details)
    if usual < MISSED_REQUESTS:
        why = f"usually {usual:.3g} requests in this span; {MISSED_REQUESTS} are needed to miss them"
        return replace(found, status=Status.TOO_LITTLE_HISTORY, why_missing=why)
    return found
