"""The cases that every statistic must survive, with the numbers that the definitions promise."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import scipy.stats

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Status
from tiltmeter.statistics.comparison import compare
from unit.statistics.samples import reference_of, window_of


def _compared(before, after, kind=None):
    reference = reference_of({"f": before}, kinds={"f": kind} if kind else None)
    return compare(reference, window_of(reference.bins, {"f": after})).features["f"]


def _rng(seed=3):
    return np.random.default_rng(seed)


def test_equal_windows_show_nothing():
    values = _rng().lognormal(size=5000)
    found = _compared(values, values)
    assert (found.psi, found.kl, found.js_distance, found.ks, found.extra["wasserstein"]) == (0, 0, 0, 0, 0)
    assert (found.psi_p_value, found.ks_p_value) == (1.0, 1.0)
    assert found.psi_lower == 0.0


def test_constant_one_to_two_has_psi_18_2():
    found = _compared([1.0] * 10_000, [2.0] * 2000)
    assert found.psi == pytest.approx(18.2, abs=0.05)
    assert (found.ks, found.out_of_range, found.psi_bins) == (1.0, 1.0, 2)
    assert found.extra["wasserstein"] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("seed", range(10))
def test_one_huge_value_in_the_window_moves_psi_by_less_than_a_twentieth(seed):
    rng = _rng(seed)
    before, after = rng.lognormal(size=10_000), rng.lognormal(size=1000)
    spoilt = np.concatenate([after[:-1], [1e12]])
    plain, found = _compared(before, after), _compared(before, spoilt)
    assert abs(found.psi - plain.psi) < 0.05
    assert found.out_of_range_p_value > 0.001


@pytest.mark.parametrize("seed", range(10))
def test_one_huge_value_in_the_baseline_moves_psi_by_less_than_a_twentieth(seed):
    rng = _rng(seed)
    before, after = rng.lognormal(size=1000), rng.lognormal(size=1000)
    spoilt = np.concatenate([before[:-1], [1e12]])
    assert abs(_compared(spoilt, after).psi - _compared(before, after).psi) < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_ninety_to_eighty_percent_zeros(seed):
    rng = _rng(seed)

    def column(rows, zeros):
        return np.where(np.arange(rows) < zeros * rows, 0.0, rng.lognormal(size=rows))

    found = _compared(column(10_000, 0.9), column(2000, 0.8))
    assert found.psi == pytest.approx(0.08, abs=0.01)
    assert found.psi_p_value < 1e-10
    assert (found.reference.zero_share, found.current.zero_share) == (0.9, 0.8)


def test_thirty_percent_turned_missing():
    rng = _rng()
    before, after = rng.normal(size=5000), rng.normal(size=2000)
    after[:600] = math.nan
    found = _compared(before, after)
    assert found.psi > 0.5
    assert found.missing_change == 0.3
    assert found.missing_p_value < 1e-100
    assert found.ks < 0.06


def test_missing_speaks_in_psi_from_three_percent_on():
    rng = _rng()
    before, after = rng.normal(size=10_000), rng.normal(size=2000)
    after[:80] = math.nan
    assert _compared(before, after).psi > 0.25


def test_all_missing_keeps_its_status_and_numbers():
    found = _compared(_rng().normal(size=5000), [math.nan] * 2000)
    assert found.status is Status.ALL_MISSING
    assert found.psi > 5
    assert (found.ks, found.why["ks"]) == (None, "no_values")


def test_thirty_rows_are_too_few_and_levels_too_rare():
    found = _compared(_rng().normal(size=5000), _rng(4).normal(size=30))
    assert found.status is Status.TOO_FEW_ROWS
    assert (found.psi, found.kl, found.js_distance, found.psi_lower) == (None, None, None, None)
    assert found.why["psi"] == "levels_too_rare"
    assert found.ks is not None
    assert found.minimum_detectable is None


def test_an_empty_window_has_a_status_and_reasons():
    found = _compared(_rng().normal(size=5000), [])
    assert found.status is Status.EMPTY
    assert (found.psi, found.why["psi"]) == (None, "no_rows")
    assert found.why["missing_change"] == "no_rows"


def test_boolean_ten_to_twelve_percent():
    before, after = ["true"] * 1000 + ["false"] * 9000, ["true"] * 240 + ["false"] * 1760
    found = _compared(before, after, FeatureKind.BOOLEAN)
    table = scipy.stats.chi2_contingency([[1000, 9000], [240, 1760]], correction=False)
    assert found.chi2 == pytest.approx(table.statistic, rel=1e-12)
    assert found.chi2_p_value == pytest.approx(table.pvalue, rel=1e-9)
    assert found.psi == pytest.approx(0.02 * (math.log(1.2) - math.log(0.88 / 0.9)), rel=1e-12)


def test_a_new_level_at_one_percent():
    found = _compared(["a", "b"] * 5000, ["a", "b"] * 990 + ["partner-x"] * 20)
    assert (found.new_levels.rows, found.new_levels.share, found.new_levels.names) == (20, 0.01, ("partner-x",))
    assert found.new_level_p_value < 0.001


@pytest.mark.parametrize("seed", range(5))
def test_two_thousand_zipf_levels_stay_at_their_noise_floor(seed):
    rng = _rng(seed)
    weights = 1.0 / np.arange(1, 2001)
    names = [f"level-{i}" for i in range(2000)]
    before = rng.choice(names, 10_000, p=weights / weights.sum()).tolist()
    after = rng.choice(names, 2000, p=weights / weights.sum()).tolist()
    found = _compared(before, after)
    assert found.psi < 2 * found.psi_noise_floor
    assert found.psi_p_value > 1e-4


def test_731_equal_levels_are_too_rare_to_tell():
    names = [f"level-{i}" for i in range(731)]
    rng = _rng()
    found = _compared(rng.choice(names, 5000).tolist(), rng.choice(names, 1000).tolist())
    assert found.status is Status.OK
    assert (found.psi, found.why["psi"], found.chi2, found.why["chi2"]) == (
        None, "levels_too_rare", None, "levels_too_rare",
    )  # fmt: skip


def test_atoms_at_either_end_and_adjacent_keep_cells_of_their_own():
    values = [0.0] * 3000 + [1.0] * 3000 + [math.nextafter(1.0, 2.0)] * 3000 + [9.0] * 1000
    found = _compared(values, values)
    assert found.psi_bins == 4
    assert found.psi == 0.0


def test_disjoint_ranges_are_as_far_apart_as_can_be():
    rng = _rng()
    found = _compared(rng.uniform(0, 1, 5000), rng.uniform(5, 6, 2000))
    assert found.ks == 1.0
    assert found.out_of_range == 1.0
    assert found.js_distance > 0.8
    assert found.extra["wasserstein"] == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize(
    "values",
    [
        [math.inf, -math.inf] * 150,
        [1e308, -1e308] * 150,
        [5e-324, 0.0, -0.0] * 100,
        [float(2**63), float(2**63) + 4096.0, 2.0**70] * 100,
        [math.nan] * 300,
    ],
)
def test_numbers_at_the_end_of_the_doubles_survive(values):
    ordinary = _rng().normal(size=300)
    for before, after in ((values, values), (ordinary, values), (values, ordinary)):
        found = _compared(before, after)
        for number in (found.psi, found.kl, found.ks, found.js_distance, *found.extra.values()):
            assert number is None or math.isfinite(number)


def test_hostile_names_are_names():
    names = ["😀", "\x00", "a" * 1_000_000, "\u202eright", "\ud800"]
    values = [name for name in names for _ in range(100)]
    found = _compared(values, values[:400])
    assert found.psi > 0
    assert {cell.name for cell in found.cells} == set(names)


def test_a_hundred_thousand_levels_take_well_under_a_second():
    rng = _rng()
    names = [f"level-{i:06d}" for i in range(100_000)]
    before = [*names, *rng.choice(names, 50_000).tolist()]
    reference = reference_of({"f": before})
    window = window_of(reference.bins, {"f": [*before[:80_000], *(f"new-{i}" for i in range(20_000))]})
    started = time.process_time()
    found = compare(reference, window).features["f"]
    assert time.process_time() - started < 0.5
    assert found.new_levels.count == 20_000
    assert found.status is Status.OK


@pytest.mark.parametrize("seed", range(8))
def test_ks_bounds_hold_the_exact_statistic_and_are_narrow_on_continuous_values(seed):
    rng = _rng(seed)
    kinds = [rng.normal, rng.lognormal, rng.exponential, rng.random]
    draw = kinds[seed % 4]
    before = draw(size=5000)
    after = draw(size=1200) * rng.choice([1.0, 1.1, 2.0, 100.0]) + rng.choice([0.0, 0.05])
    found = _compared(before, after)
    exact = scipy.stats.ks_2samp(before, after, method="asymp").statistic
    assert found.ks - 1e-15 <= exact <= found.ks_upper + 1e-15
    assert found.ks_upper - found.ks <= 0.002


@pytest.mark.parametrize("seed", range(8))
def test_ks_of_discrete_columns_is_exact(seed):
    rng = _rng(seed)
    before, after = rng.poisson(4, 3000).astype(float), rng.poisson(4.3, 800).astype(float)
    found = _compared(before, after)
    assert found.ks == found.ks_upper
    assert found.ks == pytest.approx(scipy.stats.ks_2samp(before, after, method="asymp").statistic, rel=1e-12)


def test_a_half_deviation_is_seen_and_reads_as_published():
    found = _compared(_rng().normal(size=200_000), _rng(8).normal(0.51, 1.0, 200_000))
    assert found.psi == pytest.approx(0.25, abs=0.015)
    wide = _compared(_rng().normal(size=200_000), _rng(8).normal(0.0, 1.6, 200_000))
    assert wide.psi == pytest.approx(0.25, abs=0.03)


def test_a_rise_of_a_third_in_revenue_has_a_small_psi_and_a_tiny_p_value():
    rng = _rng()
    found = _compared(rng.lognormal(0, 1.5, 50_000), 1.35 * rng.lognormal(0, 1.5, 20_000))
    assert found.psi == pytest.approx(0.04, abs=0.01)
    assert found.psi_p_value < 1e-20
