"""Classification, calibration, conversion and revenue against scikit-learn, SciPy and hand computations."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.statistics.classification import (
    Confusion,
    auc,
    auc_from_bins,
    brier,
    calibration,
    calibration_curve,
    confusion,
)
from tiltmeter.statistics.conversion import conversion_rate, revenue
from tiltmeter.statistics.intervals import wilson


def _leads(seed, leads=400):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(leads), 2)
    return scores, rng.random(leads) < scores


@pytest.mark.parametrize("seed", range(10))
def test_precision_recall_f1_and_auc_equal_scikit_learn(seed):
    scores, converted = _leads(seed)
    found = confusion(scores, converted, 0.6)
    predicted = scores >= 0.6
    assert found.precision().value == pytest.approx(sklearn.metrics.precision_score(converted, predicted))
    assert found.recall().value == pytest.approx(sklearn.metrics.recall_score(converted, predicted))
    assert found.f1() == pytest.approx(sklearn.metrics.f1_score(converted, predicted))
    assert auc(scores, converted).value == pytest.approx(sklearn.metrics.roc_auc_score(converted, scores), rel=1e-12)
    assert brier(scores, converted) == pytest.approx(sklearn.metrics.brier_score_loss(converted, scores), rel=1e-12)
    (tn, fp), (fn, tp) = sklearn.metrics.confusion_matrix(converted, predicted)
    assert found == Confusion(tp, fp, fn, tn)


def test_threshold_itself_counts_as_predicted():
    found = confusion(np.array([0.5, 0.4999, np.nan]), np.array([True, True, True]), 0.5)
    assert found == Confusion(1, 0, 2, 0)


def test_shares_carry_wilson_intervals():
    found = Confusion(8, 2, 4, 86)
    assert (found.precision().lower, found.precision().upper) == wilson(8, 10)
    assert (found.recall().lower, found.recall().upper) == wilson(8, 12)


def test_what_cannot_be_computed_is_unknown():
    assert Confusion(0, 0, 3, 5).precision() is None
    assert Confusion(0, 3, 0, 5).recall() is None
    assert Confusion(0, 0, 0, 5).f1() is None
    assert Confusion(0, 1, 0, 5).f1() == 0.0
    assert auc(np.array([0.1, 0.2]), np.array([True, True])) is None
    assert auc(np.array([0.1, 0.2]), np.array([False, False])) is None
    assert brier(np.array([]), np.array([], dtype=bool)) is None
    assert calibration(np.array([0.0]), np.array([False])) is None
    assert calibration_curve(np.array([]), np.array([], dtype=bool)) == []
    assert conversion_rate(0, 0) is None
    assert revenue([], 0) is None


def test_calibration_of_few_sure_leads_is_given_with_its_interval():
    # One lead at 0.5 that converted: O/E = 2, half width 1.96·√0.25/0.5.
    found = calibration(np.array([0.5]), np.array([True]))
    assert found.value == 2.0
    assert found.upper == pytest.approx(2.0 + 1.959963984540054)
    assert found.lower == pytest.approx(2.0 - 1.959963984540054)
    sure = calibration(np.array([1.0, 0.0]), np.array([True, False]))
    assert (sure.value, sure.lower, sure.upper) == (1.0, 1.0, 1.0)


def test_calibration_curve_has_ten_groups_of_equal_size():
    scores = np.linspace(0.0, 0.99, 100)[::-1]
    curve = calibration_curve(scores, scores > 0.5)
    assert [one.leads for one in curve] == [10] * 10
    assert curve[0].predicted == pytest.approx(0.045)
    assert [one.observed.value for one in curve] == [0.0] * 5 + [pytest.approx(0.9)] + [1.0] * 4


def test_auc_by_hand_with_interval_of_hanley_and_mcneil():
    # customers 0.8, 0.4; others 0.4, 0.2: pairs won 3½ of 4; Q1 = A/(2 − A), Q2 = 2A²/(1 + A)
    found = auc(np.array([0.8, 0.4, 0.4, 0.2]), np.array([True, True, False, False]))
    a = 0.875
    variance = (a * (1 - a) + (a / (2 - a) - a * a) + (2 * a * a / (1 + a) - a * a)) / 4
    assert found.value == a
    assert found.lower == pytest.approx(a - 1.959963984540054 * variance**0.5)
    assert found.upper == 1.0


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=60))
def test_auc_turns_around_with_the_scores(leads):
    scores = np.array([float(score) for score, _ in leads])
    converted = np.array([won for _, won in leads])
    straight, turned = auc(scores, converted), auc(-scores, converted)
    if straight is None:
        assert turned is None
    else:
        assert straight.value + turned.value == pytest.approx(1.0)
        assert 0.0 <= straight.lower <= straight.value <= straight.upper <= 1.0


def test_auc_interval_covers_the_true_value_in_95_of_100_runs():
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        scores = np.concatenate([rng.normal(1, 1, 60), rng.normal(0, 1, 240)])
        found = auc(scores, np.arange(300) < 60)
        covered += found.lower <= 0.7602499389065233 <= found.upper  # Φ(1/√2)
    assert covered >= 0.92 * 400


def test_auc_of_huge_counts_stays_exact():
    found = auc_from_bins(np.array([10**12, 3 * 10**12]), np.array([3 * 10**12, 10**12]))
    assert found.value == pytest.approx(0.75, rel=1e-15)


def test_calibration_is_observed_over_expected():
    found = calibration(np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, False, False, False]))
    assert found.value == 0.5
    assert found.upper == pytest.approx(0.5 + 1.959963984540054 * 1.0 / 2.0)
    assert found.lower == 0.0


def test_perfect_scores_are_called_calibrated_in_95_of_100_runs():
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(500):
        scores = rng.beta(2, 8, 500)
        found = calibration(scores, rng.random(500) < scores)
        inside += found.lower <= 1.0 <= found.upper
    assert 0.92 * 500 <= inside <= 0.98 * 500


def test_calibration_curve_keeps_equal_scores_together():
    scores = np.array([0.1] * 5 + [0.3] * 5 + [0.9] * 10)
    converted = np.array([False] * 9 + [True] * 11)
    curve = calibration_curve(scores, converted, bins=4)
    assert [entry.leads for entry in curve] == [5, 5, 10]
    assert [entry.predicted for entry in curve] == pytest.approx([0.1, 0.3, 0.9])
    assert [entry.observed.value for entry in curve] == [0.0, 0.2, 1.0]


def test_conversion_rate_of_the_bank_campaign():
    # 4,640 of 41,188 calls, 11.27 % (UCI data set 222)
    found = conversion_rate(4640, 41188)
    assert found.value == pytest.approx(0.1127, abs=5e-5)
    assert (found.lower, found.upper) == wilson(4640, 41188)


def test_revenue_of_one_huge_deal_moves_the_mean_and_not_the_trimmed_mean():
    found = revenue([50_000_000, *[100] * 150], 200)
    assert found.per_lead == (50_000_000 + 15_000) / 200
    assert found.median == 100.0
    # two leads are left out at either end: two zeros below; the huge deal and one of 100 above
    assert found.trimmed == 149 * 100 / 196
    assert (found.leads, found.paying) == (200, 151)


@given(st.lists(st.integers(-1000, 1000), max_size=150), st.integers(0, 400))
def test_revenue_equals_the_sum_over_all_leads_written_out(amounts, more):
    leads = len(amounts) + more
    found = revenue(amounts, leads)
    if leads == 0:
        assert found is None
        return
    ordered = sorted([*amounts, *[0] * more])
    cut = leads // 100
    kept = ordered[cut : leads - cut]
    paid = [amount for amount in amounts if amount]
    assert found.per_lead == sum(ordered) / leads
    assert found.trimmed == sum(kept) / len(kept)
    assert found.median == (float(np.median(paid)) if paid else None)
    assert found.paying == len(paid)


def test_more_payments_than_leads_count_as_leads():
    assert revenue([100, 300], 1).per_lead == 200.0
