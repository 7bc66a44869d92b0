"""Intervals of shares, tests of two shares, and many tests at once, against SciPy."""

from __future__ import annotations

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.statistics.detectable import minimum_detectable
from tiltmeter.statistics.intervals import at_least_p_value, difference, rise_p_value, wilson
from tiltmeter.statistics.multiplicity import q_values


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (0, 50), (7, 50), (50, 50), (4640, 41188), (1, 10**9)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_wilson_equals_scipy(successes, trials, confidence):
    theirs = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson(successes, trials, confidence=confidence) == pytest.approx(
        (theirs.low, theirs.high), rel=1e-9, abs=1e-12
    )


def test_wilson_of_nothing_is_unknown():
    assert wilson(0, 0) is None
    assert wilson(0, -1) is None


def test_wilson_is_exact_at_its_ends():
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0
    assert wilson(0, 20)[1] < 1.0
    assert wilson(20, 20)[0] > 0.0


@given(trials=st.integers(1, 10**12), data=st.data())
def test_wilson_holds_the_share_and_stays_within_zero_and_one(trials, data):
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0


@pytest.mark.parametrize(
    ("first", "second", "ends"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((0, 10), (0, 10), (-0.2775, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0000)),
        ((10, 10), (0, 10), (0.6075, 1.0000)),
    ],
)
def test_the_interval_of_a_difference_is_that_of_the_paper(first, second, ends):
    # Newcombe 1998, table II, method 10.
    assert difference(*first, *second) == pytest.approx(ends, abs=5e-5)


def test_shares_whose_intervals_overlap_may_differ_by_more_than_chance():
    now, then = wilson(335, 5_000), wilson(400, 5_000)
    assert now[1] > then[0]
    assert scipy.stats.chi2_contingency([[335, 4_665], [400, 4_600]], correction=False).pvalue < 0.02
    assert difference(335, 5_000, 400, 5_000)[1] < 0.0
    assert difference(1, 0, 1, 2) is None


@given(n=st.integers(1, 10**6), m=st.integers(1, 10**6), data=st.data())
def test_the_interval_of_a_difference_holds_it_and_turns_with_its_sides(n, m, data):
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    low, high = difference(a, n, b, m)
    assert -1.0 - 1e-12 <= low <= a / n - b / m <= high <= 1.0 + 1e-12
    assert difference(b, m, a, n) == pytest.approx((-high, -low))


def test_rise_equals_the_pooled_z_test_by_hand():
    # p = 80/400 = 0.2, z = (0.25 − 0.15)/√(0.2·0.8·(1/200 + 1/200)) = 0.1/0.04 = 2.5
    assert rise_p_value(30, 200, 50, 200) == pytest.approx(scipy.stats.norm.sf(2.5), rel=1e-12)
    assert rise_p_value(50, 200, 30, 200) == pytest.approx(scipy.stats.norm.sf(-2.5), rel=1e-12)


def test_rise_of_the_specified_size_is_the_limit_of_the_missing_rule():
    assert scipy.stats.norm.sf(3.09) == pytest.approx(0.001, rel=1e-2)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (100, 100)])
def test_rise_between_equal_extremes_is_no_rise(before, after):
    assert rise_p_value(before, 100, after, 100) == 1.0


@pytest.mark.parametrize(("before_trials", "after_trials"), [(0, 10), (10, 0)])
def test_rise_without_observations_is_unknown(before_trials, after_trials):
    assert rise_p_value(0, before_trials, 0, after_trials) is None


@pytest.mark.parametrize(
    ("successes", "trials", "share"), [(1, 10, 0.1), (5, 1000, 0.001), (10, 10, 0.5), (3, 10**9, 1e-9)]
)
def test_at_least_equals_the_binomial_tail_of_scipy(successes, trials, share):
    expected = scipy.stats.binom.sf(successes - 1, trials, share)
    assert at_least_p_value(successes, trials, share) == pytest.approx(expected, rel=1e-9)


def test_at_least_is_total():
    assert at_least_p_value(0, 0, 0.5) == 1.0
    assert at_least_p_value(3, 2, 0.5) == 0.0
    assert at_least_p_value(1, 2, 0.0) == 0.0
    assert at_least_p_value(1, 2, 7.0) == 1.0
    assert at_least_p_value(0, 5, 0.0) == 1.0


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_q_values_equal_scipy(p_values):
    mine = q_values({str(i): p for i, p in enumerate(p_values)})
    assert list(mine.values()) == pytest.approx(scipy.stats.false_discovery_control(p_values).tolist(), rel=1e-12)


def test_q_values_skip_what_was_not_tested():
    # by hand: two tests, 0.01·2/1 = 0.02 and 0.04·2/2 = 0.04
    assert q_values({"a": 0.04, "b": None, "c": 0.01}) == {"a": pytest.approx(0.04), "c": pytest.approx(0.02)}
    assert q_values({}) == {}
    assert q_values({"a": None}) == {}


@pytest.mark.parametrize("cells", [2, 10, 101])
@pytest.mark.parametrize("tests", [1, 30, 10_000])
def test_minimum_detectable_has_eighty_percent_power_by_scipy(cells, tests):
    least = minimum_detectable(cells, n=1000, m=5000, tests=tests)
    critical = scipy.stats.chi2.isf(0.01 / tests, cells - 1)
    power = scipy.stats.ncx2.sf(critical, cells - 1, least / (1 / 1000 + 1 / 5000))
    assert power == pytest.approx(0.8, abs=1e-6)


def test_minimum_detectable_is_as_published_in_the_definitions():
    assert minimum_detectable(10, n=200, m=5000, tests=30) == pytest.approx(0.167, abs=5e-4)
    assert minimum_detectable(10, n=1000, m=5000, tests=30) == pytest.approx(0.039, abs=5e-4)


@pytest.mark.parametrize("arguments", [(1, 5, 5, 1), (0, 5, 5, 1), (2, 0, 5, 1), (2, 5, 0, 1), (2, 5, 5, 0)])
def test_minimum_detectable_of_nothing_is_unknown(arguments):
    cells, n, m, tests = arguments
    assert minimum_detectable(cells, n=n, m=m, tests=tests) is None


def test_minimum_detectable_exists_from_one_row_and_two_cells_on():
    assert math.isfinite(minimum_detectable(2, n=1, m=1, tests=1))
