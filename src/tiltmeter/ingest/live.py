"""Live numbers: what the shipper counted in the last minutes, as JSON for pages and as text for Prometheus."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.traffic import EXACT_EDGES_MS, LATENCY_EDGES_MS
from tiltmeter.statistics.latency import percentile, share_within
from tiltmeter.store.traffic import TrafficCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tiltmeter.domain.model import Model
    from tiltmeter.domain.traffic import TrafficState

KEPT = timedelta(minutes=35)
"""States kept in memory: the longest span that a real-time rule looks at is half an hour."""

MOST_SERIES = 500
"""Different (model, version, route, code class) that get numbers of their own; the rest is `__other__`."""

OTHER = "__other__"
_LAST_MINUTE = timedelta(seconds=60)
_SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(slots=True)
class _Series:
    """Requests since the start: what a scraper turns into rates."""

    requests: int = 0
    latency: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class LiveTraffic:
    """Traffic of the last minutes, and counters since the start. Safe to read while the shipper counts."""

    _recent: TrafficCounts = field(default_factory=TrafficCounts)
    _series: OrderedDict[tuple[str, str, str, str], _Series] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, counts: TrafficCounts, *, now: datetime) -> None:
        """Count what a segment held; windows older than half an hour only reach the counters."""
        with self._lock:
            for state in counts.states():
                self._count(state)
            self._recent.add(counts)
            self._recent.forget_before(int((now - KEPT).timestamp()))

    def _count(self, state: TrafficState) -> None:
        key = (state.model_name, state.model_version, state.http_route, state.code_class)
        if key not in self._series and len(self._series) >= MOST_SERIES:
            key = (state.model_name if len(self._series) < 2 * MOST_SERIES else OTHER, OTHER, OTHER, state.code_class)
        series = self._series.setdefault(key, _Series())
        series.requests += state.requests
        for position, requests in state.latency.items():
            series.latency[position] += requests

    def states(self) -> list[TrafficState]:
        """Ten-second states of the last half hour."""
        with self._lock:
            return self._recent.states()

    def snapshot(self, now: datetime, models: Mapping[str, Model]) -> dict[str, dict[str, Any]]:
        """The last minute by model.

        Args:
            now: aware UTC.
            models: for latency targets; a model that is not configured gets 200 ms.
        """
        states = [s for s in self.states() if now - _LAST_MINUTE - timedelta(seconds=10) < s.window_start <= now]
        names = sorted({state.model_name for state in states} | set(models))
        return {name: _minute([s for s in states if s.model_name == name], now, models.get(name)) for name in names}

    def series(self) -> list[tuple[tuple[str, str, str, str], int, dict[int, int]]]:
        """(model, version, route, code class), requests and latency bins since the start."""
        with self._lock:
            return [(key, found.requests, dict(found.latency)) for key, found in self._series.items()]


def _minute(states: list[TrafficState], now: datetime, model: Model | None) -> dict[str, Any]:
    target_ms = model.latency_target.total_seconds() * 1000.0 if model is not None else 200.0
    numbers = _numbers(states, now, target_ms)
    numbers["routes"] = {
        route: _numbers([s for s in states if s.http_route == route], now, target_ms)
        for route in sorted({s.http_route for s in states})
    }
    numbers["versions"] = {
        version: _numbers([s for s in states if s.model_version == version], now, target_ms)
        for version in sorted({s.model_version for s in states})
    }
    return numbers


def _numbers(states: Iterable[TrafficState], now: datetime, target_ms: float) -> dict[str, Any]:
    latency: Counter[int] = Counter()
    requests = errors = 0
    by_class: Counter[str] = Counter()
    first = now
    for state in states:
        requests += state.requests
        errors += state.errors
        by_class[state.code_class] += state.requests
        latency.update(state.latency)
        first = min(first, state.window_start)
    # The oldest ten-second window is whole, the newest still fills: the rate is over the time they really cover.
    seconds = max((now - first).total_seconds(), 10.0)
    return {
        "requests": requests,
        "errors": errors,
        "code_classes": dict(sorted(by_class.items())),
        "requests_per_second": requests / seconds,
        "error_rate": errors / requests if requests else None,
        "latency_ms": {name: percentile(latency, share) for name, share in _SHARES.items()},
        "share_within_target": share_within(latency, target_ms),
        "target_ms": target_ms,
        "seconds": seconds,
    }


def state_json(state: TrafficState) -> dict[str, Any]:
    """One state as `/live` gives it to the real-time monitor of another host."""
    return {
        "window_start": state.window_start.isoformat(),
        "host": state.host,
        "model_name": state.model_name,
        "model_version": state.model_version,
        "http_route": state.http_route,
        "code_class": state.code_class,
        "requests": state.requests,
        "errors": state.errors,
        "latency": {str(position): rows for position, rows in sorted(state.latency.items())},
        "error_kinds": [[*kind, requests] for kind, requests in sorted(state.error_kinds.items())],
    }


def prometheus_text(live: LiveTraffic, counters: Mapping[str, int], gauges: Mapping[str, float], now: datetime) -> str:
    """Request counters, latency histogram and the shipper's own numbers in Prometheus' text format.

    Args:
        live: what was counted.
        counters: name without prefix and `_total` -> value since the start.
        gauges: name without prefix -> value.
        now: aware UTC; decides what the last minute is.
    """
    lines = ["# HELP tiltmeter_http_requests_total Requests by model, version, route and class of status code."]
    lines.append("# TYPE tiltmeter_http_requests_total counter")
    series = live.series()
    for (model, version, route, code), requests, _ in series:
        method = route.partition(" ")[0] if " " in route else ""
        labels = labels_text(model=model, model_version=version, method=method, route=route, code_class=code)
        lines.append(f"tiltmeter_http_requests_total{labels} {requests}")
    lines.extend(_histogram(series))
    lines.extend(_percentiles(live, now))
    for name, value in sorted(counters.items()):
        lines += _alone(f"tiltmeter_{name}_total", "counter", value)
    for gauge, number in sorted(gauges.items()):
        lines += _alone(f"tiltmeter_{gauge}", "gauge", number)
    return "\n".join(lines) + "\n"


_MEANINGS = {
    "tiltmeter_http_requests_in_flight": "Requests that the workers of this host handle, as told in the last half "
    "second; background tasks included, excluded paths not",
    "tiltmeter_prediction_log_queue_length": "Records in sealed segments of the spool that are not in the tables yet",
}


def _alone(name: str, kind: str, value: float) -> list[str]:
    said = name.removeprefix("tiltmeter_").removesuffix("_total").replace("_", " ").capitalize()
    # All digits: a counter of ten million that shows six of them would seem to stand still.
    return [f"# HELP {name} {_MEANINGS.get(name, said)}.", f"# TYPE {name} {kind}", f"{name} {value!r}"]


def _histogram(series: list[tuple[tuple[str, str, str, str], int, dict[int, int]]]) -> list[str]:
    name = "tiltmeter_http_request_duration_seconds"
    lines = [f"# HELP {name} Time from request to last byte, by route and version.", f"# TYPE {name} histogram"]
    merged: dict[tuple[str, str, str], Counter[int]] = {}
    for (model, version, route, _), _, latency in series:
        merged.setdefault((model, version, route), Counter()).update(latency)
    for (model, version, route), latency in merged.items():
        labels = {"model": model, "model_version": version, "route": route}
        for limit in EXACT_EDGES_MS:
            below = round((share_within(latency, limit) or 0.0) * sum(latency.values()))
            lines.append(f"{name}_bucket{labels_text(**labels, le=f'{limit / 1000:g}')} {below}")
        lines.append(f"{name}_bucket{labels_text(**labels, le='+Inf')} {sum(latency.values())}")
        lines.append(f"{name}_sum{labels_text(**labels)} {_sum_seconds(latency):.6f}")
        lines.append(f"{name}_count{labels_text(**labels)} {sum(latency.values())}")
    return lines


def _sum_seconds(latency: Mapping[int, int]) -> float:
    # From bin middles: within 1 %, as every percentile here.
    last = len(LATENCY_EDGES_MS) - 1
    middles = ((LATENCY_EDGES_MS[max(p - 1, 0)] + LATENCY_EDGES_MS[min(p, last)]) / 2 * n for p, n in latency.items())
    return sum(middles) / 1000.0


def _percentiles(live: LiveTraffic, now: datetime) -> list[str]:
    name = "tiltmeter_http_request_duration_last_minute_seconds"
    lines = [f"# HELP {name} Percentiles of the last minute.", f"# TYPE {name} gauge"]
    for model, numbers in live.snapshot(now, {}).items():
        for quantile in _SHARES:
            value = numbers["latency_ms"][quantile]
            if value is not None:
                lines.append(f"{name}{labels_text(model=model, percentile=quantile)} {value / 1000.0:g}")
    return lines


def labels_text(**labels: str) -> str:
    """Labels of a series in Prometheus' text format, values escaped."""

    # Names of models and routes are hostile text: backslash, quote and line end are what the format can break on.
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"
