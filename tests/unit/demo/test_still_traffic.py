from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tiltmeter.demo.still_traffic import StillTraffic
from tiltmeter.domain.traffic import LATENCY_EDGES_MS, TrafficState
from tiltmeter.domain.window import Grain, Window
from tiltmeter.store.traffic import TrafficCounts, traffic_table

START = datetime(2026, 10, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def states():
    rng = np.random.default_rng(4)
    counts = TrafficCounts()
    for _ in range(4000):
        second = int(rng.integers(0, 720)) * 10
        route, status = (
            ("POST /score", "POST /score-many")[int(rng.integers(2))],
            ("2xx", "4xx", "5xx")[int(rng.integers(3))],
        )
        counts.add_state(
            TrafficState(
                START + timedelta(seconds=second), "h", "lead-scoring", "14", route, status, 1, int(status == "5xx"),
                {int(rng.integers(len(LATENCY_EDGES_MS) + 1)): 1},
            )
        )  # fmt: skip
    return counts.states()


def _inside(states, window):
    return [state for state in states if state.window_start in window]


def test_an_hour_gives_the_stored_states(states):
    still = StillTraffic.of(traffic_table(states).to_batches())
    hour = Window(START + timedelta(hours=1), START + timedelta(hours=2), Grain.HOUR)
    assert still.states("lead-scoring", hour) == _inside(states, hour)


def test_a_live_span_gives_one_sum_a_key_and_loses_no_request(states):
    still = StillTraffic.of(traffic_table(states).to_batches())
    span = Window(START + timedelta(minutes=7), START + timedelta(minutes=47), Grain.LIVE)
    found, stored = still.states("lead-scoring", span), _inside(states, span)
    assert len(found) == 6
    for attribute in ("requests", "errors"):
        assert sum(getattr(s, attribute) for s in found) == sum(getattr(s, attribute) for s in stored)
    for edge in range(len(LATENCY_EDGES_MS) + 1):
        assert sum(s.latency.get(edge, 0) for s in found) == sum(s.latency.get(edge, 0) for s in stored)


def test_another_model_has_no_requests(states):
    still = StillTraffic.of(traffic_table(states).to_batches())
    assert still.states("churn", Window(START, START + timedelta(hours=1), Grain.LIVE)) == []
