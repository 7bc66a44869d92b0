"""A window against its reference: statuses, families of tests, the summary, and a reason for every gap."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.comparison import FeatureComparison, SidePair
from tiltmeter.domain.errors import DataError
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Status, Unit
from tiltmeter.domain.profile import Profile
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.statistic import DriftStatistic, Measured
from tiltmeter.profiling.distinct import STORED_ENTITIES, HashDistinct
from tiltmeter.statistics.comparison import compare, registered, weighted_psi
from tiltmeter.statistics.tested import rows_tested
from unit.statistics.samples import ExactDistinct, reference_of, window_of, with_profile

_RNG_SEED = 7


def _normal(rows, shift=0.0, seed=_RNG_SEED):
    return np.random.default_rng(seed).normal(shift, 1.0, rows)


def _levels(rows, shares, seed=_RNG_SEED):
    names = [f"level-{i}" for i in range(len(shares))]
    return np.random.default_rng(seed).choice(names, rows, p=shares).tolist()


def _compared(before, after, kind=None, **arguments):
    reference = reference_of({"f": before}, kinds={"f": kind} if kind else None)
    return compare(reference, window_of(reference.bins, {"f": after}), **arguments).features["f"]


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        ([1.0] * 300, [1.0] * 300, Status.CONSTANT),
        ([1.0] * 300, [2.0] * 300, Status.OK),
        ([1.0] * 300, [1.0] * 299 + [2.0], Status.OK),
        ([1.0] * 300, [1.0] * 299 + [math.inf], Status.OK),
        ([1.0] * 300, [1.0] * 299 + [math.nan], Status.OK),
        (["a"] * 300, ["a"] * 300, Status.CONSTANT),
        (["a"] * 300, ["b"] * 300, Status.OK),
        (["a"] * 300, ["a"] * 299 + [None], Status.OK),
        (["a"] * 299 + ["b"], ["a"] * 300, Status.OK),
        ([1.0, 2.0] * 150, [math.nan] * 300, Status.ALL_MISSING),
        ([math.nan] * 300, [math.nan] * 300, Status.ALL_MISSING),
        ([math.nan] * 300, [1.0, 2.0] * 150, Status.OK),
        ([1.0, 2.0] * 150, [], Status.EMPTY),
        ([1.0, 2.0] * 150, [1.0] * 199, Status.TOO_FEW_ROWS),
        ([1.0, 2.0] * 150, [1.0] * 200, Status.OK),
        ([1.0] * 199, [1.0] * 300, Status.TOO_FEW_ROWS),
        ([1.0] * 300, [math.nan] * 10, Status.TOO_FEW_ROWS),
    ],
)
def test_status_has_the_right_priority(before, after, status):
    found = _compared(before, after)
    assert found.status is status
    assert found.severity is Severity.NONE


def test_text_is_measured_and_not_judged():
    found = _compared([f"note {i}" for i in range(300)], [f"memo {i}" for i in range(300)], FeatureKind.TEXT)
    assert (found.status, found.psi, found.psi_q_value) == (Status.OK, None, None)
    assert found.why["psi"] == "free_text"
    assert found.current.length_mean > 5


def test_too_few_rows_still_show_their_numbers():
    found = _compared(_normal(1000), _normal(150, 1.0))
    assert found.status is Status.TOO_FEW_ROWS
    assert found.psi > 0.5
    assert found.psi_q_value < 1e-10
    assert found.minimum_detectable > 0.1


def test_a_window_of_other_bins_is_refused():
    reference = reference_of({"f": [1.0, 2.0]})
    with pytest.raises(DataError, match="elsewhere"):
        compare(reference, replace(window_of(reference.bins, {"f": [1.0]}), bins_id="elsewhere"))
    with pytest.raises(DataError, match="other"):
        compare(with_profile(reference, replace(reference.profile, bins_id="other")), reference.profile)


def test_columns_gone_retyped_and_new_are_told_apart():
    reference = reference_of({"gone": _normal(300), "retyped": _normal(300), "kept": _normal(300)})
    window = window_of(reference.bins, {"kept": _normal(300), "fresh": _normal(300)})
    found = compare(reference, replace(window, retyped={"retyped": "string"}))
    status = {name: feature.status for name, feature in found.features.items()}
    assert status == {
        "gone": Status.MISSING_COLUMN,
        "retyped": Status.TYPE_CHANGED,
        "kept": Status.OK,
        "fresh": Status.NEW_COLUMN,
    }
    assert (found.schema_changes, found.new_columns, found.overall.features) == (2, ("fresh",), 3)
    assert found.features["gone"].reference.count == 300
    assert found.features["gone"].current is None
    assert found.features["gone"].why["psi"] == "missing_column"
    assert "string" in found.features["retyped"].hints[0]
    assert found.overall.psi == pytest.approx((1 + 1 + found.features["kept"].psi) / 3)


def test_a_column_that_only_the_window_has_is_new():
    reference = reference_of({"f": _normal(300), "late": _normal(300)})
    early = window_of(reference.bins, {"f": _normal(300)})
    found = compare(with_profile(reference, early), reference.profile)
    assert found.features["late"].status is Status.NEW_COLUMN
    assert found.features["late"].current.count == 300
    assert found.schema_changes == 0


def test_a_profile_of_another_sort_is_a_change_of_type():
    reference = reference_of({"f": ["a", "b"] * 200, "g": _normal(400)})
    window = window_of(reference.bins, {"f": ["a"] * 400, "g": _normal(400)})
    swapped = {"f": window.features["g"], "g": window.features["f"]}
    found = compare(reference, replace(window, features=swapped))
    assert {feature.status for feature in found.features.values()} == {Status.TYPE_CHANGED}


def test_score_is_judged_apart_and_shares_the_family_of_tests():
    rng = np.random.default_rng(5)
    columns = {name: rng.normal(size=2000) for name in ("a", "b", "score")}
    reference = reference_of(columns, score="score")
    found = compare(reference, window_of(reference.bins, {name: rng.normal(0.1, 1, 500) for name in columns}))
    assert set(found.features) == {"a", "b"}
    assert found.overall.score_psi == found.score.psi
    everything = [*found.features.values(), found.score]
    expected = scipy.stats.false_discovery_control([feature.psi_p_value for feature in everything])
    assert [feature.psi_q_value for feature in everything] == pytest.approx(expected.tolist())
    tests = scipy.stats.false_discovery_control([feature.ks_p_value for feature in everything])
    assert [feature.test_q_value for feature in everything] == pytest.approx(tests.tolist())
    assert found.overall.psi == pytest.approx((found.features["a"].psi + found.features["b"].psi) / 2)


def test_one_family_holds_ks_of_numbers_and_chi_square_of_levels():
    reference = reference_of({"n": _normal(2000), "c": _levels(2000, [0.5, 0.5])})
    found = compare(reference, window_of(reference.bins, {"n": _normal(500, 0.1), "c": _levels(500, [0.45, 0.55])}))
    p_values = [found.features["n"].ks_p_value, found.features["c"].chi2_p_value]
    expected = scipy.stats.false_discovery_control(p_values)
    assert [found.features[name].test_q_value for name in "nc"] == pytest.approx(expected.tolist())


def test_label_and_entity_are_no_features():
    columns = {"f": _normal(300), "y": _normal(300), "lead": _normal(300)}
    reference = reference_of(columns, label="y", entity="lead")
    assert set(compare(reference, reference.profile).features) == {"f"}


def test_weights_count_and_each_feature_counts_at_most_one():
    reference = reference_of({"still": _normal(2000), "moved": [1.0] * 2000})
    window = window_of(reference.bins, {"still": _normal(2000), "moved": [2.0] * 2000})
    assert compare(reference, window).overall.psi == pytest.approx(0.5)
    assert compare(reference, window, weights={"still": 3.0}).overall.psi == pytest.approx(0.25)
    assert compare(reference, window, weights={"moved": 0.0}).overall.psi == pytest.approx(0.0)
    assert compare(reference, window, weights={"moved": 0.0, "still": 0.0}).overall.psi is None
    assert weighted_psi({}, {}) is None


def test_minimum_detectable_counts_the_tests_of_the_run():
    one = _compared(_normal(5000), _normal(1000))
    columns = {f"f{i}": _normal(5000) for i in range(30)}
    reference = reference_of(columns)
    many = compare(reference, window_of(reference.bins, {name: _normal(1000) for name in columns}))
    assert many.features["f0"].minimum_detectable == pytest.approx(0.039, abs=5e-4)
    assert one.minimum_detectable < many.features["f0"].minimum_detectable


def test_leads_scored_five_times_count_once():
    rng = np.random.default_rng(9)
    leads = rng.normal(size=400)
    reference = reference_of({"f": np.repeat(leads, 5)}, entities=np.repeat(np.arange(400), 5).tolist())
    window = window_of(reference.bins, {"f": np.repeat(leads[:250], 5)}, entities=np.repeat(np.arange(250), 5).tolist())
    found = compare(reference, window)
    assert (found.n_reference, found.n_current, found.rows_current) == (400, 250, 1250)
    assert found.features["f"].psi_noise_floor == pytest.approx(9 * (1 / 400 + 1 / 250))
    few = replace(window, entities=ExactDistinct(frozenset(range(199))), identified=1250)
    assert compare(reference, few).features["f"].status is Status.TOO_FEW_ROWS
    many = replace(window, entities=ExactDistinct(frozenset(range(5000))))
    assert compare(reference, many).n_current == 1250


def test_rows_without_an_id_count_as_entities_of_their_own():
    values = np.random.default_rng(9).normal(size=600)
    reference = reference_of({"f": values}, entities=[None] * 600)
    bins = reference.bins
    nobody = window_of(bins, {"f": values[:300] + 1.0}, entities=[None] * 300)
    found = compare(reference, nobody)
    assert (found.n_reference, found.n_current) == (600, 300)
    assert found.features["f"].status is Status.OK
    assert found.features["f"].psi_q_value < 0.01
    some = window_of(bins, {"f": values[:300]}, entities=[*range(50)] * 2 + [None] * 200)
    assert compare(reference, some).n_current == 250
    assert compare(reference, some + nobody).n_current == 550
    unknown = window_of(bins, {"f": values[:300]})  # hours of a table that had no id column yet
    assert compare(reference, some + unknown).n_current == 550


def test_a_sketch_does_not_make_two_hundred_different_leads_too_few():
    for seed in range(300):
        ids = np.random.default_rng(seed).integers(0, 2**64, 206, dtype=np.uint64)
        for rows in (200, 206):
            hour = Profile("bins", rows, {}, HashDistinct.of(ids[:rows], STORED_ENTITIES), identified=rows)
            assert rows_tested(hour) == rows
        five = Profile("bins", 1030, {}, HashDistinct.of(ids, STORED_ENTITIES), identified=1030)
        assert rows_tested(five) == pytest.approx(206, rel=0.06)


def test_no_row_as_tests_count_them_gives_no_p_value():
    reference = reference_of({"f": _normal(300)}, entities=range(300))
    window = replace(
        window_of(reference.bins, {"f": _normal(300)}), entities=ExactDistinct(frozenset()), identified=300
    )
    with_none = replace(reference, profile=replace(reference.profile, entities=ExactDistinct(frozenset())))
    feature = compare(with_none, window).features["f"]
    assert feature.ks == pytest.approx(0.0, abs=0.2)
    assert (feature.ks_p_value, feature.why["ks_p_value"]) == (None, "no_rows")
    assert feature.test_q_value is None


def test_conversion_is_that_of_the_labelled_rows():
    reference = reference_of({"f": _normal(300)})
    window = replace(window_of(reference.bins, {"f": _normal(300)}), converted=30, labelled=240)
    found = compare(reference, window)
    assert (found.conversion_reference, found.conversion_current) == (None, 0.125)
    assert compare(reference, replace(window, converted=0, labelled=0)).conversion_current is None


def _median_shift(cells):
    return Measured(float(cells.current[0]), {"median_shift_p_value": 0.5, "median_shift_df": None}, "by hand")


_NEW = DriftStatistic(
    name="median_shift",
    title="Median shift",
    kinds=frozenset({FeatureKind.NUMERIC}),
    bounds=(0.0, math.inf),
    unit=Unit.NONE,
    definition="rows of the first cell",
    reading="for a test",
    source="nobody 2026",
    parts=("median_shift_p_value", "median_shift_df"),
    compute=_median_shift,
    order_matters=True,
)


def test_a_statistic_nobody_knows_is_carried_along():
    reference = reference_of({"n": _normal(300), "c": _levels(300, [0.5, 0.5])})
    found = compare(reference, reference.profile, statistics=(*registered(), _NEW))
    number = found.features["n"]
    assert number.extra["median_shift"] == number.cells[0].current
    assert number.extra["median_shift_p_value"] == 0.5
    assert number.why["median_shift_df"] == "by hand"
    assert "median_shift" not in found.features["c"].extra
    assert "wasserstein" in number.extra


def test_only_the_asked_statistics_are_computed():
    reference = reference_of({"n": _normal(300)})
    found = compare(reference, reference.profile, statistics=())
    assert (found.features["n"].psi, found.features["n"].why["psi"]) == (None, "not_tested")


_NUMBERS = [entry.name for entry in fields(FeatureComparison) if entry.name not in {
    "name", "kind", "status", "severity", "reference", "current", "extra", "why", "hints", "cells",
    "step",
}]  # fmt: skip

_values = st.one_of(
    st.lists(st.floats(), max_size=40),
    st.lists(st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324]), max_size=300),
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "", "\x00", "😀"]), st.text(max_size=3)), max_size=300),
)


def _assert_finite_or_explained(before, after):
    hostile = [value for value in (*before, *after) if value is not None]
    words = any(isinstance(value, str) for value in hostile)
    if words and any(isinstance(value, float) for value in hostile):
        return
    found = _compared(before, after, FeatureKind.CATEGORICAL if words or not hostile else FeatureKind.NUMERIC)
    for name in _NUMBERS:
        value = getattr(found, name)
        if value is None:
            assert found.why.get(name), name
        elif isinstance(value, int | float):
            assert math.isfinite(value), name
            assert name not in found.why
    for name, value in found.extra.items():
        assert math.isfinite(value) if value is not None else found.why.get(name)
    assert sum(cell.reference for cell in found.cells) == len(before)
    assert sum(cell.current for cell in found.cells) == len(after)


@given(_values, _values)
@settings(max_examples=120, deadline=None)
def test_any_column_gives_finite_numbers_or_reasons(before, after):
    _assert_finite_or_explained(before, after)


@pytest.mark.faults
@given(_values, _values)
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_hostile_columns_give_finite_numbers_or_reasons(before, after):
    _assert_finite_or_explained(before, after)


def test_kinds_say_what_they_cannot_have():
    number, level = _compared(_normal(300), _normal(300)), _compared(["a", "b"] * 150, ["a", "b"] * 150)
    assert (number.why["chi2"], number.why["new_levels"]) == ("categorical_only", "categorical_only")
    assert (level.why["ks"], level.why["out_of_range"], level.why["outliers_iqr"]) == ("numeric_only",) * 3
    constant = _compared([1.0] * 300, [1.0] * 300)
    assert (constant.psi, constant.psi_p_value, constant.why["psi_p_value"]) == (0.0, None, "one_cell")
    assert (constant.why["outliers_iqr"], constant.why["outliers_z"]) == ("iqr_zero", "std_zero")
    assert constant.psi_bins == 1


def test_missing_change_is_tested_one_sided():
    rose = _compared([*_normal(900), *[math.nan] * 100], [*_normal(450), *[math.nan] * 150])
    assert rose.missing_change == pytest.approx(0.15)
    pooled = 250 / 1600
    z = 0.15 / math.sqrt(pooled * (1 - pooled) * (1 / 600 + 1 / 1000))
    assert rose.missing_p_value == pytest.approx(scipy.stats.norm.sf(z))
    fell = _compared([*_normal(900), *[math.nan] * 100], _normal(600))
    assert fell.missing_change == pytest.approx(-0.1)
    assert fell.missing_p_value > 0.999


def test_out_of_range_counts_both_ends_and_infinities():
    found = _compared(np.linspace(0, 1, 1001), [*[0.5] * 396, -0.001, 1.001, math.inf, 1.0])
    assert found.out_of_range == 3 / 400
    assert found.out_of_range_p_value == pytest.approx(scipy.stats.binom.sf(2, 400, 2 / 1001))


def test_rows_that_the_reference_itself_has_out_of_range_are_expected():
    reference = reference_of({"f": np.linspace(0, 1, 1001)})
    outside = window_of(reference.bins, {"f": [*np.linspace(0, 1, 900), *[2.0] * 100]})
    found = compare(with_profile(reference, outside), outside).features["f"]
    assert found.out_of_range == 0.1
    assert found.out_of_range_p_value > 0.5


def test_outliers_are_shares_beyond_the_baselines_fences():
    values = np.arange(1.0, 101.0)
    # Q1 = 25, Q3 = 75: fences −50 and 150; mean 50.5, std 29.01: beyond 137.5
    found = _compared(values, [*values, 150.0, 150.5, -50.0, -50.5, 140.0])
    assert found.outliers_iqr == SidePair(0.0, 2 / 105)
    assert found.outliers_z == SidePair(0.0, 5 / 105)


def test_pictures_show_the_cells_of_psi():
    found = _compared(_levels(300, [0.6, 0.4]), [*_levels(200, [0.6, 0.4]), *["new"] * 50, *[None] * 50])
    assert [cell.name for cell in found.cells] == ["level-0", "level-1", "(other)", "(missing)"]
    assert (found.cells[2].reference, found.cells[2].current) == (0, 50)
    assert found.psi_bins == len(found.cells)


def test_a_comparison_without_features_is_no_error():
    reference = reference_of({})
    found = compare(reference, Profile("bins", 0, {}))
    assert (found.overall.psi, found.overall.features, found.features) == (None, 0, {})


def test_what_is_known_of_the_reference_changes_nothing_but_the_work():
    rng = np.random.default_rng(8)
    columns = {"x": rng.normal(size=900), "c": rng.choice(["a", "b", "c"], 900)}
    reference = reference_of(columns)
    windows = [
        window_of(reference.bins, {"x": rng.normal(shift, 1 + shift, 400), "c": rng.choice(["a", "b", "z"], 400)})
        for shift in (0.0, 0.5, 40.0)
    ]
    known = {}
    with_memory = [compare(reference, window, known=known) for window in windows]
    assert set(known) == {"x", "c"}
    assert with_memory == [compare(reference, window) for window in windows]
