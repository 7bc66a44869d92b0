"""Feature statistics against the window before, against SciPy and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import Frame
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import profile_rows
from tiltmeter.statistics.comparison import compare
from tiltmeter.statistics.steps import with_steps

ROLES = ColumnRoles(score="score", entity="lead")


def table(sizes, *, missing=0, seed=1, plan="a", at=0, leads=None):
    rows = len(sizes)
    rng = np.random.default_rng(seed)
    values = [None] * missing + list(sizes[missing:])
    return Frame(
        pa.table(
            {
                "size": pa.array(values, pa.float64()),
                "plan": [plan] * (rows // 2) + ["b"] * (rows - rows // 2),
                "seen": pa.array(np.arange(rows) + at, pa.timestamp("s")),
                "score": rng.random(rows),
                "lead": [str(at + n % (leads or rows)) for n in range(rows)],
            }
        )
    )


RNG = np.random.default_rng(11)
BASE, THEN, NOW = RNG.normal(50, 10, 2000), RNG.normal(50, 10, 600), RNG.normal(53, 12, 400)
BINS = fit_bins(table(BASE), ROLES)
REFERENCE = Reference("training", "b", BINS, profile_rows(table(BASE), BINS))


def stepped(now, then, reference=REFERENCE):
    found = compare(reference, profile_rows(now, BINS))
    return with_steps(found, BINS, None if then is None else profile_rows(then, BINS))


def test_the_mean_is_held_against_the_window_before_in_deviations_of_the_baseline():
    step = stepped(table(NOW), table(THEN)).features["size"].step
    assert step.mean == pytest.approx((NOW.mean() - THEN.mean()) / BASE.std(ddof=1), rel=1e-8)
    welch = (NOW.mean() - THEN.mean()) / np.hypot(NOW.std(ddof=1) / 20, THEN.std(ddof=1) / 600**0.5)
    assert step.mean_p_value == pytest.approx(2 * scipy.stats.norm.sf(abs(welch)), rel=1e-6)
    assert step.previous.mean == pytest.approx(THEN.mean())
    assert step.rows_tested == 600


def test_missing_is_tested_in_both_directions():
    # 60 of 600 then, 100 of 400 now: pooled 0.16, z = 0.15/√(0.16·0.84·(1/600 + 1/400)).
    p = 2 * scipy.stats.norm.sf(0.15 / (0.16 * 0.84 * (1 / 600 + 1 / 400)) ** 0.5)
    there = stepped(table(NOW, missing=100), table(THEN, missing=60)).features["size"].step
    assert (there.missing, there.missing_p_value) == (pytest.approx(0.15), pytest.approx(p, rel=1e-9))
    back = stepped(table(THEN, missing=60), table(NOW, missing=100)).features["size"].step
    assert (back.missing, back.missing_p_value) == (pytest.approx(-0.15), pytest.approx(p, rel=1e-9))
    same = stepped(table(NOW), table(THEN)).features["plan"].step
    assert (same.missing, same.missing_p_value) == (0.0, 1.0)


def test_missing_rows_are_no_values_behind_a_mean():
    step = stepped(table(NOW, missing=100), table(THEN)).features["size"].step
    values = NOW[100:]
    error = np.hypot(values.std(ddof=1) / 300**0.5, THEN.std(ddof=1) / 600**0.5)
    expected = 2 * scipy.stats.norm.sf(abs(values.mean() - THEN.mean()) / error)
    assert step.mean_p_value == pytest.approx(expected, rel=1e-6)


def test_leads_that_were_scored_often_count_once():
    many = stepped(table(NOW, leads=80), table(THEN, leads=120)).features["size"].step
    error = np.hypot(NOW.std(ddof=1) / 80**0.5, THEN.std(ddof=1) / 120**0.5)
    expected = 2 * scipy.stats.norm.sf(abs(NOW.mean() - THEN.mean()) / error)
    assert many.rows_tested == 120
    assert many.mean_p_value == pytest.approx(expected, rel=1e-6)


def test_levels_and_dates_have_no_step_of_a_mean_and_the_score_has_one():
    found = stepped(table(NOW, at=9000), table(THEN))
    assert found.features["plan"].step.mean is None
    assert found.features["seen"].step.mean is None
    assert found.features["seen"].step.previous.max is not None
    assert found.score.step.mean is not None


def test_without_a_window_before_nothing_is_said():
    for then in (None, table(THEN[:0])):
        found = stepped(table(NOW), then)
        assert all(feature.step is None for feature in found.features.values())


def test_constants_step_without_doubt_or_not_at_all():
    ones, twos = table(np.ones(300)), table(np.full(300, 2.0))
    there = stepped(twos, ones).features["size"].step
    assert (there.mean, there.mean_p_value) == (pytest.approx(1 / BASE.std(ddof=1)), 0.0)
    same = stepped(ones, ones).features["size"].step
    assert (same.mean, same.mean_p_value) == (0.0, 1.0)
    bins = fit_bins(ones, ROLES)
    flat = Reference("flat", "f", bins, profile_rows(ones, bins))
    found = with_steps(compare(flat, profile_rows(twos, bins)), bins, profile_rows(ones, bins))
    assert found.features["size"].step.mean is None


def test_a_window_that_is_all_missing_has_no_mean_to_compare():
    step = stepped(table(NOW, missing=400), table(THEN)).features["size"].step
    assert (step.mean, step.mean_p_value, step.missing) == (None, None, 1.0)
    assert step.missing_p_value < 1e-100


def test_a_feature_that_was_not_there_before_has_no_step():
    profile = profile_rows(table(THEN), BINS)
    kept = {name: one for name, one in profile.features.items() if name != "plan"}
    then = replace(profile, features=kept)
    found = with_steps(compare(REFERENCE, profile_rows(table(NOW), BINS)), BINS, then)
    assert found.features["plan"].step is None
    assert found.features["size"].step is not None


@given(st.integers(0, 400), st.integers(0, 600))
@settings(deadline=None, max_examples=40)
def test_swapping_the_windows_flips_the_sign_and_keeps_the_p_value(now_missing, then_missing):
    now, then = table(NOW, missing=now_missing), table(THEN, missing=then_missing)
    there, back = stepped(now, then).features["size"].step, stepped(then, now).features["size"].step
    assert there.missing == -back.missing
    assert there.missing_p_value == pytest.approx(back.missing_p_value)
    if there.mean is not None:
        assert there.mean == -back.mean
        assert there.mean_p_value == (pytest.approx(back.mean_p_value) if back.mean_p_value is not None else None)


_hostile = st.lists(st.one_of(st.none(), st.floats(), st.sampled_from([1e308, -1e308, 5e-324, 1e12])), max_size=30)


@given(_hostile, _hostile, _hostile)
@settings(deadline=None)
def test_any_values_give_finite_steps_or_none(base, then, now):
    frames = [Frame(pa.table({"size": pa.array(values, pa.float64())})) for values in ([*base, 1.0], then, now)]
    bins = fit_bins(frames[0], ColumnRoles(kinds={"size": FeatureKind.NUMERIC}))
    base_profile, before, current = (profile_rows(frame, bins) for frame in frames)
    found = with_steps(compare(Reference("b", "b", bins, base_profile), current), bins, before).features["size"].step
    assert (found is None) == (not then)
    if found is not None:
        numbers = (found.mean, found.mean_p_value, found.missing, found.missing_p_value)
        assert all(number is None or np.isfinite(number) for number in numbers)
        assert all(p is None or 0.0 <= p <= 1.0 for p in numbers[1::2])


def test_without_drift_one_window_in_twenty_falls_below_five_percent():
    rng = np.random.default_rng(1)
    low = {"mean": 0, "missing": 0}
    repeats = 600
    for _ in range(repeats):
        # A skewed column, a tenth of which is missing.
        sizes = [rng.exponential(30, 300) for _ in range(2)]
        holes = [int(rng.binomial(300, 0.1)) for _ in range(2)]
        now, then = (table(one, missing=hole) for one, hole in zip(sizes, holes, strict=True))
        step = stepped(now, then).features["size"].step
        low["mean"] += step.mean_p_value < 0.05
        low["missing"] += step.missing_p_value < 0.05
    # Binomial(600, 0.05) lies between 17 and 45 in 99 of 100 cases.
    assert all(14 <= count <= 48 for count in low.values()), low
