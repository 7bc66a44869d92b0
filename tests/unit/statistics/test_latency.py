"""Percentiles and shares from latency bins."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.domain.traffic import LATENCY_EDGES_MS, latency_bin
from tiltmeter.statistics.latency import bin_middle, percentile, share_within


def _counted(durations):
    return Counter(latency_bin(duration) for duration in durations)


@given(st.lists(st.floats(0.11, 119_000.0), min_size=1, max_size=300), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_percentile_is_within_one_percent_of_the_rank_definition(durations, share):
    ordered = sorted(durations)
    exact = ordered[max(1, math.ceil(share * len(ordered) * (1 - 1e-12))) - 1]
    assert percentile(_counted(durations), share) == pytest.approx(exact, rel=0.01)


def test_rank_is_not_pushed_up_by_rounding():
    # 0.07 · 100 is 7.000000000000001 in doubles; the seventh value is meant.
    assert percentile({10: 7, 300: 93}, 0.07) == bin_middle(10)
    assert percentile({10: 7, 300: 93}, 0.08) == bin_middle(300)


def test_no_requests_are_not_zero_latency():
    assert percentile({}, 0.5) is None
    assert percentile({5: 0}, 0.5) is None
    assert share_within({}, 200.0) is None


def test_merged_bins_give_the_percentile_of_all_requests():
    rng = np.random.default_rng(2)
    parts = [rng.lognormal(4, 1, 50) for _ in range(20)]
    merged = sum((_counted(part) for part in parts), Counter())
    assert percentile(merged, 0.95) == percentile(_counted(np.concatenate(parts)), 0.95)


@given(
    st.lists(st.one_of(st.floats(0.0, 1000.0), st.sampled_from([200.0, 500.0, np.nextafter(200.0, 300.0)])), min_size=1)
)
def test_share_within_a_target_on_an_edge_is_exact(durations):
    for limit in (200.0, 500.0):
        assert share_within(_counted(durations), limit) == sum(d <= limit for d in durations) / len(durations)


def test_share_within_a_limit_between_edges_never_flatters():
    assert share_within(_counted([203.0]), 203.05) == 0.0


def test_what_is_slower_than_all_edges_is_the_last_edge():
    assert percentile({len(LATENCY_EDGES_MS): 3}, 0.5) == 120_000.0
    assert share_within({len(LATENCY_EDGES_MS): 3}, 1e9) == 0.0


def test_first_bin_has_a_middle_above_zero():
    assert 0.09 < percentile({0: 1}, 0.5) < 0.1
    assert bin_middle(1) == pytest.approx(math.sqrt(LATENCY_EDGES_MS[0] * LATENCY_EDGES_MS[1]))
