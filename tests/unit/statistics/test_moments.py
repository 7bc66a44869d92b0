"""Mean and standard deviation from integer sums: exact, and the same however the rows were split."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.statistics.moments import moments
from unit.statistics.samples import numeric_bins, numeric_profile


def _num_acc_4():
    # NIST StRD NumAcc4: 10000000.2, then 500 times 10000000.1 and 10000000.3. Certified mean 10000000.2, std 0.1.
    return [10000000.2, *[10000000.1, 10000000.3] * 500]


@pytest.mark.parametrize("chunks", [1, 7, 1000])
def test_num_acc_4_of_nist_keeps_eight_digits_in_any_number_of_chunks(chunks):
    values = _num_acc_4()
    bins = numeric_bins(values)
    parts = [numeric_profile(bins, part) for part in np.array_split(np.array(values), chunks)]
    found = moments(bins, reduce(add, parts))
    assert found == moments(bins, numeric_profile(bins, values))
    assert found.mean == pytest.approx(10000000.2, rel=1e-15)
    assert found.std == pytest.approx(0.1, rel=1e-8)
    assert found.values == 1001


@pytest.mark.parametrize(
    ("name", "values", "mean", "std"),
    [
        ("NumAcc1", [10000001, 10000003, 10000002], 10000002.0, 1.0),
        ("NumAcc2", [1.2, *[1.1, 1.3] * 500], 1.2, 0.1),
        ("NumAcc3", [1000000.2, *[1000000.1, 1000000.3] * 500], 1000000.2, 0.1),
    ],
)
def test_other_sets_of_nist_keep_eight_digits(name, values, mean, std):
    bins = numeric_bins(values)
    found = moments(bins, numeric_profile(bins, values))
    assert found.mean == pytest.approx(mean, rel=1e-15)
    assert found.std == pytest.approx(std, rel=1e-8)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=50))
def test_whole_numbers_give_the_correctly_rounded_mean_and_deviation(values):
    bins = numeric_bins(values)
    found = moments(bins, numeric_profile(bins, values))
    mean = Fraction(sum(values), len(values))
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert found.mean == float(mean)
    assert found.std == pytest.approx(math.sqrt(variance), rel=1e-9, abs=0)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_any_values_in_any_order_give_the_same_bits_and_finite_numbers_or_reasons(values, random):
    bins = numeric_bins(values)
    found = moments(bins, numeric_profile(bins, values))
    shuffled = list(values)
    random.shuffle(shuffled)
    assert found == moments(bins, reduce(add, [numeric_profile(bins, [value]) for value in shuffled]))
    for number, why in ((found.mean, found.why_mean), (found.std, found.why_std)):
        assert (number is None) == bool(why)
        assert number is None or math.isfinite(number)


def test_constant_column_has_no_spread():
    bins = numeric_bins([7.5] * 10)
    assert moments(bins, numeric_profile(bins, [7.5] * 10)).std == 0.0
    assert moments(bins, numeric_profile(bins, [1e9 + 0.1] * 10)).std == 0.0


def test_one_value_has_a_mean_and_no_deviation():
    bins = numeric_bins([3.0])
    found = moments(bins, numeric_profile(bins, [3.0]))
    assert (found.mean, found.std, found.why_std, found.why_mean) == (3.0, None, "one_value", "")


def test_two_values_have_a_deviation():
    bins = numeric_bins([3.0, 5.0])
    assert moments(bins, numeric_profile(bins, [3.0, 5.0])).std == pytest.approx(math.sqrt(2.0), rel=1e-11)


def test_no_values_have_a_reason():
    bins = numeric_bins([1.0, 2.0])
    found = moments(bins, numeric_profile(bins, [math.nan, math.inf, -math.inf]))
    assert (found.mean, found.std, found.values) == (None, None, 0)
    assert found.why_mean == found.why_std == "no_values"


def test_only_extreme_values_are_called_so():
    bins = numeric_bins([1.0, 2.0])
    found = moments(bins, numeric_profile(bins, [1e300]))
    assert (found.mean, found.why_mean) == (None, "only_extreme_values")


def test_infinities_missing_and_extreme_values_are_left_out():
    bins = numeric_bins([1.0, 2.0, 3.0, 4.0])
    values = [1.0, 3.0, math.inf, -math.inf, math.nan, 1e300]
    found = moments(bins, numeric_profile(bins, values))
    assert (found.mean, found.values) == (2.0, 2)
    assert found.std == pytest.approx(math.sqrt(2.0), rel=1e-11)


def test_spread_far_below_the_distance_to_the_centre_is_unknown_not_wrong():
    bins = numeric_bins(np.linspace(0.0, 1.0, 101))
    far = [1e9, 1e9 + 1e-6] * 50
    found = moments(bins, numeric_profile(bins, far))
    assert (found.std, found.why_std) == (None, "spread_below_resolution")
    assert found.mean == pytest.approx(1e9)


def test_spread_just_above_the_resolution_is_given():
    bins = numeric_bins(np.linspace(0.0, 1.0, 101))
    far = [1e6, 1e6 + 1.0] * 50
    found = moments(bins, numeric_profile(bins, far))
    assert found.std == pytest.approx(np.std(far, ddof=1), rel=1e-3)


def test_different_values_that_round_to_one_have_unknown_spread():
    bins = numeric_bins([0.0, 0.0, 1e9, 1e9])
    found = moments(bins, numeric_profile(bins, [0.0, 1e-12]))
    assert found.std is None
    assert found.why_std == "spread_below_resolution"


def test_a_mean_beyond_the_doubles_has_a_reason():
    bins = numeric_bins([1.0, 2.0])
    profile = replace(numeric_profile(bins, [1.0, 2.0]), sum1=10**400)
    found = moments(bins, profile)
    assert (found.mean, found.why_mean) == (None, "beyond_double_range")
    profile = replace(numeric_profile(bins, [1.0, 2.0]), sum2=10**900)
    assert moments(bins, profile).why_std == "beyond_double_range"


def test_huge_and_tiny_units_keep_their_digits():
    for unit in (1e-300, 1e-150, 1e150, 1e300):
        values = (np.array([1.0, 2.0, 3.0, 4.0, 5.0]) * unit).tolist()
        bins = numeric_bins(values)
        found = moments(bins, numeric_profile(bins, values))
        assert found.mean == pytest.approx(3.0 * unit, rel=1e-11)
        assert found.std == pytest.approx(math.sqrt(2.5) * unit, rel=1e-9)
