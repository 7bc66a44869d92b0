"""Conversion by tenths of the score, by hand and for every cohort that can be drawn."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.deciles import LIFT, PRECISION_AT_K, RECALL_AT_K, ScoreDecile, deciles_kept
from tiltmeter.monitors.outcomes import outcome_metrics

WEEK = Window(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=7), Grain.DAY)


def cohort_of(scores, converted):
    score = np.asarray(scores, dtype=np.float64)
    return Cohort(score, np.asarray(converted, dtype=bool), np.zeros(score.size), np.zeros(score.size, dtype=int))


def all_judged(cohort):
    """By name, as the monitor measures them."""
    found = outcome_metrics(cohort, subject=Subject("m"), window=WEEK, threshold=0.5, min_rows=1)
    return {metric.name: metric for metric in found}


def judged(cohort):
    return all_judged(cohort)[LIFT]


def test_twenty_leads_by_hand():
    # Scores 0.01 to 0.20: tenths of two. Of four customers two are the best two leads: 2/2 against 4/20 is five times.
    scores = [n / 100 for n in range(1, 21)]
    metric = judged(cohort_of(scores, [n in (7, 12, 19, 20) for n in range(1, 21)]))
    assert metric.value == pytest.approx(5.0)
    kept = deciles_kept(metric)
    assert [one.leads for one in kept] == [2] * 10
    assert [one.customers for one in kept] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 2]
    assert [one.promised for one in kept] == pytest.approx([0.015 + 0.02 * n for n in range(10)])
    # Wilson 1927 for 2 of 2: z²/n = 1.92073, centre (1 + 0.96036)/(1 + 1.92073), half 0.96036/2.92073.
    best = kept[-1].conversion
    assert (best.value, best.upper) == (1.0, 1.0)
    assert best.lower == pytest.approx(1 / 2.9207294, abs=1e-6)


def test_equal_scores_are_one_group_without_lift():
    metric = judged(cohort_of([0.3] * 40, [n % 4 == 0 for n in range(40)]))
    assert metric.value == 1.0
    assert deciles_kept(metric) == [ScoreDecile(40, 10, 0.3)]


def test_without_customers_there_is_no_lift_but_the_tenths_are_kept():
    metric = judged(cohort_of(np.linspace(0, 1, 50), [False] * 50))
    assert (metric.value, metric.why_missing) == (None, "no customers")
    assert sum(one.leads for one in deciles_kept(metric)) == 50


leads = st.lists(
    st.tuples(st.floats(allow_nan=True, allow_infinity=True), st.booleans()), min_size=1, max_size=80
)  # fmt: skip


@given(leads)
def test_every_lead_with_a_score_stands_in_one_tenth(drawn):
    cohort = cohort_of([score for score, _ in drawn], [won for _, won in drawn])
    metric = judged(cohort)
    kept = deciles_kept(metric)
    sound = np.isfinite(cohort.score) & (np.abs(cohort.score) < 1e100)
    assert sum(one.leads for one in kept) == sound.sum() == metric.n_current
    assert sum(one.customers for one in kept) == cohort.converted[sound].sum()
    assert len(kept) <= 10
    promised = [one.promised for one in kept]
    assert promised == sorted(promised)
    if metric.value is not None:
        assert 0.0 <= metric.value <= metric.n_current
        overall = cohort.converted[sound].sum() / sound.sum()
        assert metric.value * overall == pytest.approx(kept[-1].conversion.value)


@given(st.integers(0, 2**32))
def test_scores_that_say_nothing_have_a_lift_near_one(seed):
    chance = np.random.default_rng(seed)
    metric = judged(cohort_of(chance.random(20_000), chance.random(20_000) < 0.2))
    # 2,000 leads of 20 %: a standard error of 0.009, so of 0.045 in the lift; six of them.
    assert metric.value == pytest.approx(1.0, abs=0.27)


def test_precision_keeps_what_the_funnel_shows():
    scores, converted = [0.9, 0.8, 0.7, 0.2, 0.1], [True, False, True, True, False]
    found = outcome_metrics(
        cohort_of(scores, converted), subject=Subject("m"), window=WEEK, threshold=0.5, min_rows=1
    )  # fmt: skip
    precision = next(metric for metric in found if metric.name == "outcomes.precision")
    assert precision.details == {"predicted": 3, "hits": 2}
    assert precision.value == pytest.approx(2 / 3)


def test_precision_and_recall_at_k_by_hand():
    """20 leads, k = 2: one of the two best bought, of four customers in all.

    Wilson 1927 with z = 1.959964, z² = 3.841459.
    1 of 2: centre (0.5 + 0.960365) / 2.920730 = 0.5, half 1.959964 · sqrt(0.125 + 0.240091) / 2.920730 = 0.405469.
    1 of 4: centre (0.25 + 0.480182) / 1.960365 = 0.372473, half 1.959964 · sqrt(0.046875 + 0.060023) / 1.960365
    = 0.326886.
    """
    found = all_judged(cohort_of([n / 100 for n in range(1, 21)], [n in (3, 7, 12, 20) for n in range(1, 21)]))
    precision, recall = found[PRECISION_AT_K], found[RECALL_AT_K]
    assert (precision.value, precision.n_current) == (0.5, 2)
    assert (precision.lower, precision.upper) == pytest.approx((0.094531, 0.905469), abs=2e-6)
    assert (recall.value, recall.n_current) == (0.25, 4)
    assert (recall.lower, recall.upper) == pytest.approx((0.045587, 0.699358), abs=2e-6)
    assert precision.details == recall.details == {"k": 2, "hits": 1}


@pytest.mark.parametrize("seed", range(5))
def test_precision_and_recall_at_k_are_those_of_scikit_learn_when_the_best_tenth_is_called(seed):
    chance = np.random.default_rng(seed)
    score = chance.random(1_000)
    won = chance.random(1_000) < score / 2
    called = score >= np.sort(score)[900]
    found = all_judged(cohort_of(score, won))
    assert found[PRECISION_AT_K].value == pytest.approx(sklearn.metrics.precision_score(won, called))
    assert found[RECALL_AT_K].value == pytest.approx(sklearn.metrics.recall_score(won, called))


def test_whoever_scored_as_high_as_the_last_of_the_best_tenth_is_called_too():
    found = all_judged(cohort_of([0.1] * 70 + [0.8] * 30, [False] * 70 + [n % 3 == 0 for n in range(30)]))
    assert found[PRECISION_AT_K].details == {"k": 30, "hits": 10}
    assert found[PRECISION_AT_K].value == pytest.approx(1 / 3)
    assert found[RECALL_AT_K].value == 1.0


def test_without_customers_precision_at_k_is_zero_and_recall_unknown():
    found = all_judged(cohort_of(np.linspace(0, 1, 50), [False] * 50))
    assert found[PRECISION_AT_K].value == 0.0
    assert (found[RECALL_AT_K].value, found[RECALL_AT_K].why_missing) == (None, "no customers")


@given(leads)
def test_no_metric_of_any_cohort_is_infinite_or_no_number(drawn):
    cohort = cohort_of([score for score, _ in drawn], [won for _, won in drawn])
    for metric in all_judged(cohort).values():
        for number in (metric.value, metric.lower, metric.upper):
            assert number is None or np.isfinite(number), metric
        assert (metric.value is None) == bool(metric.why_missing), metric


@pytest.mark.parametrize("seed", range(5))
def test_quality_and_revenue_are_those_of_scikit_learn_and_numpy(seed):
    chance = np.random.default_rng(seed)
    score = np.round(chance.random(500), 2)
    won = chance.random(500) < score
    paid = np.where(won, np.round(chance.lognormal(5, 2, 500), 2), 0.0)
    found = all_judged(Cohort(score, won, paid, np.zeros(score.size, dtype=int)))
    values = {name.removeprefix("outcomes."): metric.value for name, metric in found.items()}
    assert values["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(won, score), rel=1e-12)
    assert values["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(won, score), rel=1e-12)
    assert values["calibration"] == pytest.approx(won.sum() / score.sum(), rel=1e-12)
    assert values["revenue_per_lead"] == pytest.approx(paid.mean(), rel=1e-12)
    assert values["revenue_per_lead.median"] == pytest.approx(np.median(paid[paid > 0]), rel=1e-12)
    assert values["revenue_per_lead.trimmed"] == pytest.approx(scipy.stats.trim_mean(paid, 0.01), rel=1e-12)
    assert found["outcomes.auc"].lower < values["auc"] < found["outcomes.auc"].upper
