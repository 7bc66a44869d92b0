"""What is judged now rather than by the calendar: traffic, jobs, freshness, the monitor; and hours of traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.jobs import job_metrics
from tiltmeter.monitors.service_health import Health, freshness_metric, health_metrics
from tiltmeter.monitors.traffic import (
    CAPACITY_HORIZON,
    Capacity,
    capacity_kept,
    capacity_metrics,
    capacity_of,
    traffic_metrics,
    usual_traffic_metric,
)
from tiltmeter.ports import MetricQuery

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.model import Model
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ports import World

USUAL_WEEKS = 4
JOB_HORIZON = timedelta(days=15)
"""Runs looked at for lateness and for the median of the last ten good ones."""


@dataclass(frozen=True, slots=True)
class TrafficMonitor:
    """An hour of traffic, kept for pages and for capacity."""

    name: str = "traffic"

    def measure(self, model: Model, window: Window, world: World) -> list[Metric]:
        """Service metrics of the hour, with its best minute; nothing where no request log is connected."""
        states = world.log.traffic(model.name, window)
        if not states and model.source is not None:
            return []
        metrics = traffic_metrics(states, model=model.name, window=window, latency_target=model.latency_target)
        own = capacity_of(states, model.latency_target)
        added = capacity_metrics(metrics[0], own.joined(known_capacity(world, model, window.end)))
        # Traffic that came after the hour was judged is a newer version: the hour is judged again.
        version = world.log.version("traffic")
        kept = [*metrics, replace(added[0], details=own.details()), *added[1:]]
        return [replace(metric, source_version=version) for metric in kept]


TRAFFIC = TrafficMonitor()


def live_traffic(model: Model, span: Window, world: World, *, capacity: Capacity) -> list[Metric]:
    """Service metrics of a span that ends now.

    Args:
        model: what is served.
        span: ends now.
        world: the log.
        capacity: of the judged hours; whole minutes of the span are added to it.
    """
    states = world.log.traffic(model.name, span)
    metrics = traffic_metrics(states, model=model.name, window=span, latency_target=model.latency_target)
    now = capacity_of(_whole_minutes(states, span), model.latency_target)
    return [*metrics, *capacity_metrics(metrics[0], capacity.joined(now))]


def _whole_minutes(states: list[TrafficState], span: Window) -> list[TrafficState]:
    # A minute that the span cuts would count with part of its requests only, which is no rate of a minute.
    first = span.start.replace(second=0, microsecond=0)
    first += timedelta(minutes=first < span.start)
    return [state for state in states if first <= state.window_start < span.end.replace(second=0, microsecond=0)]


def live_usual_traffic(model: Model, span: Window, world: World) -> Metric:
    """Requests of the span against the same span of earlier weeks."""
    now = sum(state.requests for state in world.log.traffic(model.name, span))
    count = Metric("serving.requests", Subject(model.name), span, float(now), n_current=now)
    earlier = []
    for weeks in range(1, USUAL_WEEKS + 1):
        back = timedelta(weeks=weeks)
        states = world.log.traffic(model.name, replace(span, start=span.start - back, end=span.end - back))
        if states:
            earlier.append(sum(state.requests for state in states))
    return usual_traffic_metric(count, earlier)


def live_jobs(model: Model, span: Window, world: World, *, watched_since: datetime | None) -> list[Metric]:
    """Batch jobs as they stand at the end of the span."""
    if not model.jobs:
        return []
    runs = world.log.batch_runs(span.end - JOB_HORIZON)
    return job_metrics(model.jobs, runs, model=model.name, window=span, watched_since=watched_since)


def live_freshness(model: Model, span: Window, *, newest: datetime | None) -> Metric:
    """Age of the newest prediction."""
    return freshness_metric(newest, model=model.name, window=span)


def live_health(model: Model, span: Window, health: Health) -> list[Metric]:
    """The monitor's own numbers."""
    return health_metrics(health, model=model.name, window=span)


def known_capacity(world: World, model: Model, until: datetime) -> Capacity:
    """Capacity by the judged hours of the 30 days before."""
    query = MetricQuery(
        model=model.name, metric="serving.capacity_rps", since=until - CAPACITY_HORIZON, until=until, grain=Grain.HOUR,
        version="", segment=("", ""),
    )  # fmt: skip
    found = Capacity()
    for hour in world.state.metrics(query):
        found = found.joined(capacity_kept(hour))
    return found
