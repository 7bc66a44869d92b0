"""Capacity: the busiest minute that was served in time, and a limit only once a busier one was not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.traffic import TrafficState, latency_bin
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.traffic import Capacity, capacity_kept, capacity_metrics, capacity_of

START = datetime(2026, 3, 9, 12, tzinfo=UTC)
TARGET = timedelta(milliseconds=200)
SPAN = Window(START, START + timedelta(minutes=5), Grain.LIVE)


def minute(place, requests, slow):
    """`requests` in one minute, `slow` of them over the target."""
    latency = {latency_bin(20.0): requests - slow, latency_bin(400.0): slow}
    at = START + timedelta(minutes=place)
    return TrafficState(at, "h", "m", "1", "POST /score", "2xx", requests, 0, latency)


def share(rate, capacity):
    return capacity_metrics(Metric("serving.requests_per_second", Subject("m"), SPAN, rate, n_current=600), capacity)[1]


def test_the_busiest_minute_in_time_counts_and_too_quiet_ones_do_not():
    # 5 % over the target keeps P95 at the target; one request more does not. 59 requests say nothing about P95.
    states = [minute(0, 600, 30), minute(1, 900, 46), minute(2, 720, 0), minute(3, 59, 0)]
    assert capacity_of(states, TARGET) == Capacity(best=12.0, strained=15.0)
    assert capacity_of([minute(0, 59, 0)], TARGET) == Capacity()


def test_steady_traffic_that_is_served_in_time_never_comes_near_a_limit():
    """Always within 10 % of the busiest minute seen: without a limit this would warn all day."""
    found = share(11.0, Capacity(best=12.0))
    assert (found.value, found.status) == (None, Status.TOO_LITTLE_HISTORY)
    assert "limit is not known" in found.why_missing


def test_after_a_busier_minute_missed_the_target_the_share_is_judged():
    assert share(11.0, Capacity(best=12.0, strained=12.0)).value == pytest.approx(11 / 12)
    assert share(11.0, Capacity(best=12.0, strained=11.9)).value is None  # slow at a lower rate: another cause


def test_an_hour_keeps_its_own_minutes_for_the_thirty_days_after():
    own = Capacity(best=12.0, strained=15.0)
    stored = Metric("serving.capacity_rps", Subject("m"), SPAN, 99.0, details=own.details())
    assert capacity_kept(stored) == own
    assert own.joined(Capacity(best=20.0)) == Capacity(best=20.0, strained=15.0)
    assert not own.joined(Capacity(best=20.0)).is_limit
