"""Everything that is said of one feature, held against counting by hand, for each kind; and where each number ends."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
import scipy.stats

from tiltmeter.domain.comparison import SidePair
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Status
from tiltmeter.statistics import tested
from tiltmeter.statistics.comparison import compare
from tiltmeter.statistics.conversion import revenue
from tiltmeter.statistics.intervals import rise_p_value
from tiltmeter.statistics.latency import bin_middle, percentile
from tiltmeter.statistics.ranges import out_of_range
from tiltmeter.statistics.sides import side_statistics
from unit.statistics.samples import bins_of, profile_of, reference_of, window_of

_AGES = [float(age) for age in range(20, 60) for _ in range(10)]
_AGES_NOW = [float(age) for age in range(40, 80) for _ in range(7)] + [math.nan] * 20


def _compared(before, after, kind=None, **arguments):
    reference = reference_of({"f": before}, kinds={"f": kind} if kind else None)
    return compare(reference, window_of(reference.bins, {"f": after}), **arguments).features["f"]


def test_both_sides_of_a_number_are_what_counting_by_hand_gives():
    found = _compared(_AGES, _AGES_NOW)
    before, after = found.reference, found.current
    assert (found.name, found.kind, found.status) == ("f", FeatureKind.NUMERIC, Status.OK)
    assert (before.count, before.missing, before.missing_share, before.distinct) == (400, 0, 0.0, 40)
    assert (after.count, after.missing, after.missing_share, after.distinct) == (300, 20, 20 / 300, 40)
    for side, values in ((before, _AGES), (after, [age for age in _AGES_NOW if not math.isnan(age)])):
        assert side.mean == pytest.approx(np.mean(values), rel=1e-12)
        assert side.std == pytest.approx(np.std(values, ddof=1), rel=1e-8)
        assert (side.min, side.max) == (min(values), max(values))
        assert (side.distinct_error, side.infinite, side.extreme, side.zero_share) == (0.0, 0, 0, 0.0)
    # Quartiles by the inverse of the empirical distribution: the 100th, 200th and 300th of 400.
    assert (before.q25, before.median, before.q75) == (29.0, 39.0, 49.0)
    assert after.median == 59.0


def test_outliers_and_range_of_a_number_are_shares_of_their_own_side():
    before = [*range(1, 101), 1_000] * 4  # quartiles 26 and 76: fences −49 and 151
    found = _compared(before, [500.0] * 30 + [2_000.0] * 10 + [50.0] * 360)
    assert found.outliers_iqr == SidePair(4 / 404, 40 / 400)
    assert found.out_of_range == 10 / 400
    assert found.out_of_range_p_value == pytest.approx(scipy.stats.binom.sf(9, 400, 2 / 404), rel=1e-9)


def test_both_sides_of_a_category_are_what_counting_by_hand_gives():
    before = ["web"] * 200 + ["mail"] * 150 + ["fax"] * 1 + [None] * 49
    after = ["web"] * 100 + ["mail"] * 80 + ["chat"] * 15 + ["push"] * 5 + [None] * 100
    found = _compared(before, after, FeatureKind.CATEGORICAL)
    for side, values in ((found.reference, before), (found.current, after)):
        counted = Counter(values)
        missing = counted.pop(None)
        assert (side.count, side.missing, side.missing_share) == (len(values), missing, missing / len(values))
        assert (side.distinct, side.distinct_error) == (len(counted), 0.0)
        assert {level.level: level.count for level in side.top} == dict(counted)
    assert (found.new_levels.count, found.new_levels.rows, found.new_levels.share) == (2, 20, 20 / 300)
    assert found.new_levels.names == ("chat", "push")
    # One of 400 rows stands alone in its level: so much is expected in new levels without drift.
    assert found.new_level_excess == pytest.approx(20 / 300 - 1 / 400)
    likely = (1 + 1 + 2 * math.sqrt(1 + 1)) / 400
    assert found.new_level_p_value == pytest.approx(scipy.stats.binom.sf(19, 300, likely), rel=1e-9)
    assert (found.lost_levels.count, found.lost_levels.rows, found.lost_levels.share) == (1, 1, 1 / 400)
    assert found.lost_levels.names == ("fax",)
    assert found.chi2_df == len(found.cells) - 1


def test_both_sides_of_a_text_are_counted_and_measured_in_characters():
    found = _compared(["ab", "cdef", None, ""], ["xyz", None], FeatureKind.TEXT)
    assert (found.reference.count, found.reference.missing, found.reference.missing_share) == (4, 1, 0.25)
    assert (found.reference.distinct, found.reference.distinct_error, found.reference.length_mean) == (3, 0.0, 2.0)
    assert (found.current.count, found.current.missing_share, found.current.length_mean) == (2, 0.5, 3.0)
    assert "current.length_mean" not in found.why
    nothing = _compared(["ab", "cdef"], [None, None], FeatureKind.TEXT)
    assert nothing.current.length_mean is None
    assert nothing.why["current.length_mean"] == "no_values"


def test_a_date_is_as_fresh_as_its_newest_value_on_each_side():
    now = datetime(2026, 11, 2, tzinfo=UTC)
    before = [now.timestamp() - 86_400.0 * day for day in range(40, 340)]
    found = _compared(
        before, [now.timestamp() - 3_600.0 * hour for hour in range(2, 302)], FeatureKind.DATETIME, now=now
    )
    assert (found.reference.freshness_seconds, found.current.freshness_seconds) == (40 * 86_400.0, 7_200.0)
    assert all(":" in cell.name for cell in found.cells if not cell.name.startswith("("))
    assert _compared(before, before, FeatureKind.DATETIME).reference.freshness_seconds is None


def test_the_median_of_the_reference_is_exact_whatever_became_of_the_column():
    values = np.random.default_rng(5).normal(size=5_001)
    reference = reference_of({"f": values, "g": values})
    found = compare(reference, window_of(reference.bins, {"g": values})).features
    assert (found["f"].status, found["f"].hints) == (Status.MISSING_COLUMN, ())
    assert found["f"].reference.median == found["g"].reference.median == float(np.sort(values)[2_500])
    # 25 % and 75 % come from fine bins: a little above the exact values, by less than two thousandths of the rows.
    assert 0 <= np.mean(values <= found["f"].reference.q75) - 0.75 < 0.002


def test_distance_is_given_in_standard_deviations_of_the_reference():
    values = np.random.default_rng(6).normal(0.0, 2.0, 2_000)
    found = _compared(values, 3.0 * values)
    exact = scipy.stats.wasserstein_distance(values, 3.0 * values)
    assert found.extra["wasserstein"] == pytest.approx(exact, rel=0.02)
    assert found.extra["wasserstein_in_std"] == pytest.approx(
        found.extra["wasserstein"] / np.std(values, ddof=1), rel=1e-9
    )


def test_a_hundred_levels_keep_a_cell_and_no_more():
    levels = [f"level-{i:03d}" for i in range(150) for _ in range(20)]
    found = _compared(levels, levels)
    assert (found.psi_bins, found.cells[-1].name, found.cells[-1].reference) == (101, "(other)", 50 * 20)


def test_levels_are_kept_by_the_smaller_side_whichever_it_is():
    many, few = ["a"] * 9_000 + ["b"] * 1_000, ["a"] * 36 + ["b"] * 4
    assert [cell.name for cell in _compared(many, few).cells] == ["a", "(other)"]
    assert [cell.name for cell in _compared(few, many).cells] == ["a", "(other)"]
    entities = reference_of({"f": many}, entities=range(10_000))
    assert [cell.name for cell in compare(entities, window_of(entities.bins, {"f": many}, entities=[*range(40)] * 250)
            ).features["f"].cells] == ["a", "(other)"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("psi", "no_rows"), ("psi_p_value", "no_rows"), ("psi_q_value", "not_tested"),
        ("minimum_detectable", "not_tested"),
        ("kl", "no_rows"), ("js_distance", "no_rows"), ("ks", "no_values"), ("ks_upper", "no_values"),
        ("ks_p_value", "no_values"), ("out_of_range", "no_rows"), ("out_of_range_p_value", "no_rows"),
        ("missing_change", "no_rows"), ("missing_p_value", "no_rows"), ("test_q_value", "not_tested"),
        ("chi2", "categorical_only"), ("chi2_df", "categorical_only"), ("cramers_v", "categorical_only"),
        ("new_levels", "categorical_only"), ("new_level_excess", "categorical_only"),
        ("lost_levels", "categorical_only"),
        ("new_level_p_value", "categorical_only"), ("chi2_p_value", "categorical_only"), ("wasserstein", "no_values"),
    ],
)  # fmt: skip
def test_every_gap_of_an_empty_window_has_the_documented_reason(name, why):
    assert _compared(_AGES, []).why[name] == why


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("psi", "no_rows"), ("chi2", "no_rows"), ("chi2_p_value", "no_rows"), ("chi2_df", "no_rows"),
        ("cramers_v", "no_rows"),
        ("ks", "numeric_only"), ("ks_upper", "numeric_only"), ("ks_p_value", "numeric_only"),
        ("outliers_iqr", "numeric_only"), ("outliers_z", "numeric_only"), ("out_of_range", "numeric_only"),
        ("out_of_range_p_value", "numeric_only"), ("new_levels", "no_rows"), ("lost_levels", "no_rows"),
        ("new_level_excess", "no_rows"), ("new_level_p_value", "no_rows"),
    ],
)  # fmt: skip
def test_every_gap_of_an_empty_category_has_the_documented_reason(name, why):
    assert _compared(["a", "b"] * 200, []).why[name] == why


@pytest.mark.parametrize("name", ["psi", "psi_p_value", "psi_q_value", "psi_lower", "psi_noise_floor", "psi_bins", "kl",
                                  "js_distance", "test_q_value", "minimum_detectable"])  # fmt: skip
def test_text_says_that_it_is_free_text(name):
    assert _compared(["ab"] * 300, ["cd"] * 300, FeatureKind.TEXT).why[name] == "free_text"


def test_a_baseline_without_values_says_so_and_not_that_it_has_no_spread():
    why = _compared([math.nan] * 300, _AGES).why
    for name in ("outliers_iqr", "outliers_z", "out_of_range", "out_of_range_p_value", "current.median"):
        assert why[name] == "no_values_in_baseline", name


def test_one_value_on_both_sides_has_one_cell_and_no_test():
    found = _compared(["a"] * 300, ["a"] * 300)
    assert (found.chi2, found.chi2_df, found.chi2_p_value, found.cramers_v) == (0.0, 0, None, None)
    assert found.why["chi2_p_value"] == found.why["cramers_v"] == "one_cell"


def test_levels_too_rare_leave_the_number_of_cells():
    found = _compared([f"id-{i}" for i in range(300)], [f"id-{i}" for i in range(300)])
    assert (found.psi, found.psi_bins, found.why["psi"]) == (None, 1, "levels_too_rare")
    assert (found.chi2, found.why["chi2"]) == (None, "levels_too_rare")


def test_a_single_row_is_enough_to_be_counted():
    assert out_of_range((0, 1), (1, 1), tested.Tested(m=1, n=1)) == (1.0, 1.0)
    assert out_of_range((0, 0), (1, 1), tested.Tested(m=1, n=0)) is None
    assert out_of_range((0, 0), (1, 1), tested.Tested(m=0, n=1)) is None
    assert rise_p_value(0.0, 1.0, 1.0, 1.0) == pytest.approx(scipy.stats.norm.sf(math.sqrt(2.0)))
    one = _compared([1.0, 2.0] * 200, [3.0])
    assert (one.missing_change, one.out_of_range, one.current.median, one.status) == (
        0.0,
        1.0,
        3.0,
        Status.TOO_FEW_ROWS,
    )
    assert _compared([1.0], [1.0] * 300).missing_change == 0.0
    lost = _compared(["a"], ["b"])
    assert (lost.lost_levels.rows, lost.new_levels.rows, lost.status) == (1, 1, Status.TOO_FEW_ROWS)


def test_a_missing_share_is_tested_on_the_entities_of_its_side():
    reference = reference_of({"f": [1.0] * 900 + [math.nan] * 100}, entities=[*range(250)] * 4)
    window = window_of(reference.bins, {"f": [1.0] * 450 + [math.nan] * 150}, entities=[*range(300)] * 2)
    found = compare(reference, window).features["f"]
    assert found.missing_p_value == pytest.approx(rise_p_value(25.0, 250.0, 75.0, 300.0))


def test_text_of_one_value_has_its_length():
    bins = bins_of("f", ["abc"], FeatureKind.TEXT)
    assert side_statistics(bins, profile_of(bins, ["abc"])).length_mean == 3.0


def test_the_trimmed_mean_cuts_a_hundredth_at_either_end():
    # 200 leads: the two lowest and the two highest go. 3 refunds, 190 payers, 7 zeros.
    paid = [-50, -40, -30, *range(1, 191)]
    cut = sorted([*paid, *[0] * 7])[2:-2]
    assert revenue(paid, 200).trimmed == pytest.approx(sum(cut) / len(cut))
    # No zeros and no refunds: the lowest payments go.
    everyone = list(range(1, 301))
    assert revenue(everyone, 300).trimmed == pytest.approx(np.mean(everyone[3:-3]))
    # One zero, which is one of the three lowest.
    assert revenue(everyone[1:], 300).trimmed == pytest.approx(np.mean(sorted([0, *everyone[1:]])[3:-3]))


def test_a_percentile_of_one_request_is_its_bin_and_empty_bins_count_nothing():
    assert percentile({7: 1}, 0.5) == bin_middle(7)
    assert percentile({3: 0, 7: 5, 9: 0}, 0.99) == bin_middle(7)
    assert bin_middle(1) == pytest.approx(math.sqrt(0.1 * 0.1 * 1.02))
