"""Feature statistics of one side."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.comparison import Level
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import TAIL_STEPS
from tiltmeter.statistics.edges import fine_bins, tail_offset
from tiltmeter.statistics.quantiles import QUANTILES, quantiles
from tiltmeter.statistics.sides import described_side, largest_positions, side_statistics
from unit.statistics.samples import bins_of, numeric_bins, numeric_profile, profile_of


def _side(values, kind=FeatureKind.NUMERIC, fitted=None, **arguments):
    bins = bins_of("f", values if fitted is None else fitted, kind)
    return side_statistics(bins, profile_of(bins, values), **arguments)


def _rank(values, share):
    ordered = np.sort(values)
    return ordered[math.ceil(share * ordered.size * (1 - 1e-12)) - 1]


def test_few_values_give_exact_quantiles():
    rng = np.random.default_rng(0)
    values = rng.choice([1.0, 2.0, 5.0, 9.0, 100.0], 1000)
    side = _side(values)
    for name, share in zip(("q01", "q05", "q25", "median", "q75", "q95", "q99"), QUANTILES, strict=True):
        assert getattr(side, name) == _rank(values, share)


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_of_continuous_values_are_off_by_less_than_two_thousandths_of_the_rows(seed):
    rng = np.random.default_rng(seed)
    values = rng.lognormal(0, 2, 5000)
    bins = numeric_bins(values)
    current = rng.lognormal(0.3, 2, 3000)
    fine = fine_bins(bins, [numeric_profile(bins, current)])
    found = quantiles(fine.edges, fine.below[0], (current.min(), current.max()))
    for share, value in zip(QUANTILES, found, strict=True):
        at = float((current <= value).mean())
        assert share - 1e-12 <= at <= share + 0.004


def test_median_of_the_reference_is_exact():
    values = np.random.default_rng(1).normal(size=10_001)
    assert _side(values, reference=True).median == np.median(values)


def test_median_of_another_reference_is_its_own():
    values = np.random.default_rng(1).normal(size=2001)
    side = _side(values + 5.0, fitted=values, reference=True)
    assert side.median == pytest.approx(np.median(values) + 5.0, rel=0.1)
    assert side.median != np.median(values)


def test_a_unit_change_still_has_a_median():
    rng = np.random.default_rng(2)
    values = rng.lognormal(3, 1, 4000)
    side = _side(values * 100, fitted=values)
    assert side.median == pytest.approx(np.median(values) * 100, rel=0.1)
    assert side.q99 == pytest.approx(np.quantile(values, 0.99) * 100, rel=0.1)
    low = _side(-values * 100, fitted=values)
    assert low.median == pytest.approx(-np.median(values) * 100, rel=0.1)
    assert low.q01 == pytest.approx(-np.quantile(values, 0.99) * 100, rel=0.1)


def test_infinities_stand_outside_every_finite_quantile():
    values = np.linspace(0, 1, 101)
    side = _side([*([-math.inf] * 60), *([math.inf] * 40)], fitted=values)
    assert (side.infinite, side.median, side.min, side.mean) == (100, None, None, None)
    mixed = _side([*([-math.inf] * 60), *values[:40]], fitted=values)
    assert mixed.median == values[0]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60), st.lists(st.floats(), max_size=60))
@settings(max_examples=100, deadline=None)
def test_hostile_values_give_finite_numbers_in_order_or_none(fitted, values):
    bins = bins_of("f", fitted, FeatureKind.NUMERIC)
    side, why = described_side(bins, profile_of(bins, values))
    numbers = [side.q01, side.q05, side.q25, side.median, side.q75, side.q95, side.q99]
    present = [number for number in numbers if number is not None]
    assert present in (numbers, [])
    assert present == sorted(present)
    assert all(side.min <= number <= side.max for number in present)
    for number in (*numbers, side.mean, side.std, side.min, side.max, side.zero_share, side.missing_share):
        assert number is None or math.isfinite(number)
    assert (side.mean is None) == ("mean" in why)
    assert (side.std is None) == ("std" in why)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50), st.lists(st.floats(), max_size=80))
@settings(max_examples=100, deadline=None)
def test_fine_bins_hold_every_value_once(fitted, values):
    bins = numeric_bins(fitted)
    profiles = [numeric_profile(bins, fitted), numeric_profile(bins, values)]
    fine = fine_bins(bins, profiles)
    present = np.array([value for value in values if not math.isnan(value)])
    assert fine.counts.sum(axis=1).tolist() == [len(fitted), present.size]
    assert bool((np.diff(fine.edges) > 0).all())
    for edge, below in zip(fine.edges, np.cumsum(fine.counts[1]), strict=False):
        # Beyond the range an edge is a sum that may round: a value there may lie one rounding from it.
        assert abs(int((present <= edge).sum()) - below) <= int(np.isclose(present, edge, rtol=1e-9, atol=1e-12).sum())


def test_log_bins_grow_by_an_eighth_of_a_doubling():
    assert tail_offset(0, 8.0) == 2.0
    assert tail_offset(8, 8.0) == 4.0
    assert tail_offset(-1, 8.0) == 0.0
    assert tail_offset(TAIL_STEPS, 8.0) == math.inf
    assert tail_offset(TAIL_STEPS - 1, 1.0) == pytest.approx(2.0 ** (327 / 8 - 2))


def test_no_edges_make_no_quantiles():
    side = _side([1.0, 2.0, 3.0], fitted=[math.nan])
    assert (side.median, side.mean) == (None, 2.0)
    assert _side([2.0, 2.0], fitted=[math.nan]).median == 2.0


def test_quantiles_of_nothing_are_unknown():
    assert quantiles(np.array([1.0]), np.array([0, 0]), (0.0, 1.0)) is None


def test_rank_is_not_pushed_up_by_rounding():
    # 0.07 · 100 = 7.000000000000001
    assert quantiles(np.array([1.0, 2.0]), np.array([7, 100, 100]), (0.0, 9.0), (0.07, 0.08)) == [1.0, 2.0]


def test_shares_are_of_all_rows_and_zeros_of_the_present_ones():
    side = _side([0.0, -0.0, 1.0, math.nan, math.nan])
    assert (side.count, side.missing, side.missing_share) == (5, 2, 0.4)
    assert side.zero_share == pytest.approx(2 / 3)
    assert (side.distinct, side.distinct_error) == (2, 0.0)


def test_an_empty_window_has_counts_and_nothing_else():
    side = _side([], fitted=[1.0, 2.0])
    assert (side.count, side.missing, side.missing_share, side.mean, side.median, side.zero_share) == (
        0, 0, None, None, None, None,
    )  # fmt: skip


def test_freshness_is_the_age_of_the_newest_date():
    now = datetime(2026, 11, 1, tzinfo=UTC)
    seconds = [now.timestamp() - 3600.0, now.timestamp() - 60.0]
    assert _side(seconds, FeatureKind.DATETIME, now=now).freshness_seconds == 60.0
    assert _side(seconds, FeatureKind.DATETIME).freshness_seconds is None
    assert _side(seconds, FeatureKind.NUMERIC, now=now).freshness_seconds is None
    assert _side([], FeatureKind.DATETIME, fitted=seconds, now=now).freshness_seconds is None


def test_text_has_a_mean_length_and_missing_rows():
    side = _side(["ab", "abcd", None], FeatureKind.TEXT)
    assert (side.length_mean, side.missing, side.distinct) == (3.0, 1, 2)
    assert _side([None], FeatureKind.TEXT).length_mean is None


def test_top_levels_hold_new_ones_and_break_ties_by_rank():
    fitted = ["a"] * 5 + ["b"] * 4 + ["c"] * 4
    side = _side(["b", "c", "a", "new", "new"], FeatureKind.CATEGORICAL, fitted=fitted)
    assert side.top == (Level("new", 2), Level("a", 1), Level("b", 1), Level("c", 1))


@given(st.lists(st.integers(0, 5), max_size=400), st.integers(1, 20))
def test_largest_positions_equal_a_plain_sort(counts, most):
    plain = sorted((position for position, rows in enumerate(counts) if rows), key=lambda p: (-counts[p], p))[:most]
    assert largest_positions(np.array(counts, dtype=np.int64), most).tolist() == plain


def test_top_of_many_levels_equals_a_plain_count():
    rng = np.random.default_rng(4)
    values = [f"level-{value:05d}" for value in rng.zipf(1.5, 5000) % 3000]
    side = _side(values, FeatureKind.CATEGORICAL)
    counted = Counter(values)
    assert [(level.level, level.count) for level in side.top] == sorted(
        counted.items(), key=lambda item: (-item[1], item[0])
    )[:20]


def test_spread_below_resolution_is_named():
    bins = bins_of("f", np.linspace(0.0, 1.0, 101), FeatureKind.NUMERIC)
    side, why = described_side(bins, profile_of(bins, [1e9, 1e9 + 1e-6]))
    assert side.std is None
    assert why == {"std": "spread_below_resolution"}


def test_a_profile_counted_before_gives_the_same_side():
    values = np.random.default_rng(3).normal(size=500)
    bins = bins_of("f", values, FeatureKind.NUMERIC)
    profile = profile_of(bins, values)
    other = profile_of(bins, values * 9)
    fine = fine_bins(bins.cells, [profile, other])
    mine, _ = described_side(bins, other, fine=fine, row=1)
    alone = side_statistics(bins, other)
    assert replace(mine, median=None) == replace(alone, median=None)


class _Sketch:
    """Says a number as a sketch does: with an error, and now and then too many."""

    def __init__(self, found):
        self.found = found

    def estimate(self):
        return self.found, 0.016

    def __add__(self, other):
        return self


@pytest.mark.parametrize(
    ("kind", "values"),
    [(FeatureKind.NUMERIC, [1.0, 2.0, 3.0, math.nan]), (FeatureKind.CATEGORICAL, ["a", "b", "c", None])],
)
def test_there_are_never_more_different_values_than_rows_that_hold_one(kind, values):
    bins = bins_of("f", values, kind)
    profile = replace(profile_of(bins, values), distinct=_Sketch(4))
    side = side_statistics(bins, profile)
    assert (side.distinct, side.distinct_error) == (3, 0.016)
    assert side_statistics(bins, replace(profile, distinct=_Sketch(2))).distinct == 2


def test_text_never_has_more_different_values_than_rows_that_hold_one():
    bins = bins_of("f", ["a", None], FeatureKind.TEXT)
    profile = replace(profile_of(bins, ["a", None]), distinct=_Sketch(9))
    assert side_statistics(bins, profile).distinct == 1
