"""Levels that came and went, and hints about stand-ins for "missing"."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import capped_levels
from tiltmeter.statistics.comparison import compare
from tiltmeter.statistics.hints import NO_OVERLAP
from tiltmeter.statistics.levels import lost_levels, new_levels
from unit.statistics.samples import ExactDistinct, level_bins, level_profile, reference_of, window_of


def _found(before, after, *, cap=10_000, n=None, m=None):
    bins = level_bins(before, cap)
    reference, current = level_profile(bins, before), level_profile(bins, after)
    n, m = n or max(1, len(after)), m or max(1, len(before))
    return new_levels(bins, reference, current, n=n, m=m)


def test_new_levels_are_counted_and_named_largest_first():
    found = _found(["a"] * 100, ["a"] * 90 + ["y"] * 2 + ["x"] * 2 + ["z"] * 6)
    assert (found.change.count, found.change.rows, found.change.share) == (3, 10, 0.1)
    assert found.change.names == ("z", "x", "y")


def test_names_stop_at_twenty():
    found = _found(["a"] * 100, ["a"] * 50 + [f"new-{i:02d}" for i in range(50)])
    assert (found.change.count, len(found.change.names)) == (50, 20)


def test_levels_seen_once_tell_how_many_new_ones_to_expect():
    # 4 of 100 rows are singletons: 4 % of the rows are expected in new levels (Good 1953).
    before = ["a"] * 96 + ["s1", "s2", "s3", "s4"]
    found = _found(before, ["a"] * 190 + [f"n{i}" for i in range(10)])
    assert found.excess == pytest.approx(10 / 200 - 4 / 100)
    limit = (4 + 1 + 2 * math.sqrt(5)) / 100
    assert found.p_value == pytest.approx(scipy.stats.binom.sf(9, 200, limit))


def test_fewer_new_levels_than_expected_are_no_excess():
    assert _found(["a"] * 50 + [f"s{i}" for i in range(50)], ["a"] * 100).excess == 0.0


def test_a_new_level_at_one_percent_is_significant():
    found = _found(["a", "b"] * 5000, ["a", "b"] * 990 + ["partner-x"] * 20)
    assert found.excess == pytest.approx(0.01)
    assert found.p_value < 1e-20


def test_entities_make_the_test_weaker():
    every = _found(["a"] * 1000, ["a"] * 90 + ["x"] * 10)
    fewer = _found(["a"] * 1000, ["a"] * 90 + ["x"] * 10, n=20, m=200)
    assert fewer.change == every.change
    assert fewer.p_value == pytest.approx(scipy.stats.binom.sf(1, 20, 3 / 200))


def test_zipf_levels_without_drift_raise_no_alarm():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(50):
        draw = [str(value) for value in np.minimum(rng.zipf(1.4, 7000), 2000)]
        found = _found(draw[:5000], draw[5000:])
        alarms += found.p_value < 0.001 and found.excess > 0.01
    assert alarms == 0


def test_levels_beyond_the_cap_are_not_new():
    before = [f"l{i % 50}" for i in range(1000)]
    found = _found(before, before[:500], cap=10)
    assert (found.change.count, found.change.rows, found.excess) == (0, 0, 0.0)


def test_levels_that_the_reference_cannot_name_are_expected():
    before = [f"l{i % 50}" for i in range(1000)]
    bins = level_bins(before, 10)
    reference = replace(level_profile(bins, before), new={})
    current = level_profile(bins, before[:500])
    found = new_levels(bins, reference, current, n=500, m=1000)
    assert found.change.share == pytest.approx(0.8)
    assert found.excess == 0.0
    assert found.p_value > 0.4


def test_only_levels_that_the_reference_cannot_have_held_are_named_new():
    before = [f"l{i}" for i in range(3000) for _ in range(2)]
    bins = level_bins(before, 10)
    reference = level_profile(bins, before)
    reference = replace(reference, new=capped_levels(dict(reference.new), cap=100))
    certain = capped_levels({**reference.new, **{f"fresh{i}": 5 for i in range(900)}}, cap=100)
    current = level_profile(bins, [*before, *[f"fresh{i}" for i in range(900)]])
    found = new_levels(bins, reference, current, n=6900, m=6000)
    fresh = {level for level in certain if level.startswith("fresh")}
    assert 5 < len(fresh) < 60
    assert set(found.change.names) <= fresh
    assert found.change.count == len(fresh)


def test_a_level_that_this_reference_lacks_is_new_though_the_bins_know_it():
    bins = level_bins(["a"] * 50 + ["b"] * 50)
    reference, current = level_profile(bins, ["a"] * 100), level_profile(bins, ["a"] * 60 + ["b"] * 40)
    found = new_levels(bins, reference, current, n=100, m=100)
    assert (found.change.rows, found.change.names) == (40, ("b",))


def test_more_new_levels_than_can_be_named_are_counted_by_the_sketch():
    bins = level_bins(["a"] * 100)
    current = level_profile(bins, ["a"] * 10 + [f"n{i}" for i in range(90)])
    capped = replace(current, new={"n0": 1}, distinct=ExactDistinct(frozenset(range(91))))
    found = new_levels(bins, level_profile(bins, ["a"] * 100), capped, n=100, m=100)
    assert (found.change.count, found.change.rows, found.change.names) == (90, 90, ("n0",))


def test_lost_levels_carry_what_they_held():
    bins = level_bins(["a"] * 70 + ["b"] * 20 + ["c"] * 10)
    reference = level_profile(bins, ["a"] * 70 + ["b"] * 20 + ["c"] * 10)
    lost = lost_levels(bins, reference, level_profile(bins, ["a"] * 5 + ["new"] * 5))
    assert (lost.count, lost.rows, lost.share, lost.names) == (2, 30, 0.3, ("b", "c"))
    assert lost_levels(bins, reference, reference).count == 0


def test_one_row_is_enough_to_be_new():
    assert _found(["a"], ["b"]).change.rows == 1


def test_sides_without_rows_have_no_changes():
    bins = level_bins(["a"])
    nothing, one = level_profile(bins, []), level_profile(bins, ["a"])
    assert new_levels(bins, one, nothing, n=0, m=1) is None
    assert new_levels(bins, nothing, one, n=1, m=0) is None
    assert lost_levels(bins, nothing, one) is None
    assert lost_levels(bins, one, nothing) is None


def _hints(before, after, kind=FeatureKind.NUMERIC):
    reference = reference_of({"f": before}, kinds={"f": kind})
    return compare(reference, window_of(reference.bins, {"f": after})).features["f"].hints


def test_a_number_that_stands_for_missing_is_asked_about():
    days = [999.0] * 963 + [float(i % 20) for i in range(37)]
    assert _hints(days, days) == ("999 fills 96 % of `f`: declare it missing?",)
    assert _hints([999.0] * 1000, days) == ("999 fills 98 % of `f`: declare it missing?",)
    assert _hints([-1.0] * 100 + list(range(900)), [1.0] * 300) == ("-1 fills 8 % of `f`: declare it missing?",)


@pytest.mark.parametrize(
    "values",
    [
        [999.0] * 1000,  # one value is a constant, not a stand-in
        [998.0] * 900 + [1.0] * 100,  # no number that people write for "missing"
        [999.0] * 20 + [float(i) for i in range(980)],  # too few
        [99.0] * 500 + [float(i) for i in range(500)],  # amid the values
        [-1.0] * 500 + [float(i) for i in range(-400, 100)],
    ],
)
def test_ordinary_numbers_are_not_asked_about(values):
    assert _hints(values, values) == ()


def test_a_word_that_stands_for_missing_is_asked_about():
    values = ["yes"] * 700 + ["no"] * 100 + ["Unknown"] * 200
    assert _hints(values, values, FeatureKind.CATEGORICAL) == ('"Unknown" fills 20 % of `f`: declare it missing?',)
    assert _hints(["yes"] * 960 + ["unknown"] * 40, ["yes"] * 1000, FeatureKind.CATEGORICAL) == ()
    assert _hints(["yes", "no"] * 100, [], FeatureKind.CATEGORICAL) == ()
    assert _hints([], [], FeatureKind.CATEGORICAL) == ()


def test_sides_without_a_common_value_are_called_so():
    assert _hints([float(i) for i in range(300)], [float(i) for i in range(300, 600)]) == (NO_OVERLAP,)
    assert _hints([float(i) for i in range(300)], [float(-i - 1) for i in range(300)]) == (NO_OVERLAP,)
    assert _hints([float(i) for i in range(300)], [299.0] * 300) == ()
    assert _hints([float(i) for i in range(300)], [0.0] * 300) == ()
    assert _hints([1.0] * 300, [math.nan] * 300) == ()
    assert _hints(["a"] * 300, ["b"] * 300, FeatureKind.CATEGORICAL) == (NO_OVERLAP,)
    assert _hints(["a"] * 300, ["b"] * 299 + ["a"], FeatureKind.CATEGORICAL) == ()
    assert _hints(["a"] * 300, [None] * 300, FeatureKind.CATEGORICAL) == ()
    assert _hints([None] * 300, ["a"] * 300, FeatureKind.CATEGORICAL) == ()
