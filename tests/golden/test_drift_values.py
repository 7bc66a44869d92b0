"""Drift statistics against values from outside, and against SciPy on random counts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats

from golden.drift_values import GOLDEN, cells_of
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.statistics.drift import STATISTICS

_CASES = [(name, golden) for name, cases in GOLDEN.items() for golden in cases]


@pytest.mark.parametrize(("name", "golden"), _CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(_CASES)])
def test_statistic_equals_the_value_from_outside(name, golden):
    measured = STATISTICS.load(name).compute(golden.cells)
    assert measured.value == pytest.approx(golden.value, rel=1e-12, abs=1e-15)
    for part, value in golden.parts.items():
        assert measured.parts[part] == (None if value is None else pytest.approx(value, rel=1e-12))


def _random_counts(seed):
    rng = np.random.default_rng(seed)
    cells = int(rng.integers(2, 40))
    return rng.integers(1, 10_000, cells), rng.integers(1, 10_000, cells)


@pytest.mark.parametrize("seed", range(40))
def test_divergences_equal_scipy_to_twelve_digits(seed):
    reference, current = _random_counts(seed)
    r, c = reference / reference.sum(), current / current.sum()
    seen = cells_of(reference, current)
    psi = STATISTICS.load("psi").compute(seen)
    assert psi.value == pytest.approx(scipy.stats.entropy(c, r) + scipy.stats.entropy(r, c), rel=1e-12)
    assert STATISTICS.load("kl").compute(seen).value == pytest.approx(scipy.stats.entropy(c, r), rel=1e-12)
    distance = scipy.spatial.distance.jensenshannon(c, r, base=2)
    assert STATISTICS.load("js_distance").compute(seen).value == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_psi_p_value_equals_the_chi_square_tail_of_the_halved_psi(seed):
    rng = np.random.default_rng(seed)
    reference, current = rng.multinomial(5000, [0.1] * 10), rng.multinomial(1000, [0.1] * 10)
    c, r = (current + 0.5) / (current.sum() + 5), (reference + 0.5) / (reference.sum() + 5)
    halved = scipy.stats.entropy(c, r) + scipy.stats.entropy(r, c)
    expected = scipy.stats.chi2.sf(halved / (1 / 1000 + 1 / 5000), 9)
    assert STATISTICS.load("psi").compute(cells_of(reference, current)).parts["psi_p_value"] == pytest.approx(
        expected, rel=1e-10
    )


@pytest.mark.parametrize("seed", range(20))
def test_psi_lower_equals_the_formula_written_out(seed):
    reference, current = _random_counts(seed)
    n, m = current.sum(), reference.sum()
    c, r, k = current / n, reference / m, 1 / n + 1 / m
    g = np.log(c / r) + 1 - r / c
    h = np.log(r / c) + 1 - c / r
    variance = (c @ g**2 - (c @ g) ** 2) / n + (r @ h**2 - (r @ h) ** 2) / m + 2 * (c.size - 1) * k**2
    psi = scipy.stats.entropy(c, r) + scipy.stats.entropy(r, c)
    expected = max(0.0, psi - (c.size - 1) * k - 1.645 * np.sqrt(variance))
    assert STATISTICS.load("psi").compute(cells_of(reference, current)).parts["psi_lower"] == pytest.approx(
        expected, rel=1e-10
    )


@pytest.mark.parametrize("seed", range(40))
def test_chi_square_equals_scipy(seed):
    reference, current = _random_counts(seed)
    theirs = scipy.stats.chi2_contingency([reference, current], correction=False)
    mine = STATISTICS.load("chi2").compute(cells_of(reference, current, kind=FeatureKind.CATEGORICAL))
    assert mine.value == pytest.approx(theirs.statistic, rel=1e-12)
    assert mine.parts["chi2_p_value"] == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)
    assert mine.parts["chi2_df"] == theirs.dof


def test_entities_scored_five_times_make_the_test_five_times_weaker():
    once = scipy.stats.chi2_contingency([[30, 70], [45, 55]], correction=False)
    seen = cells_of([150, 350], [225, 275], kind=FeatureKind.CATEGORICAL, n=100, m=100)
    measured = STATISTICS.load("chi2").compute(seen)
    assert measured.value == pytest.approx(5 * once.statistic, rel=1e-12)
    assert measured.parts["chi2_p_value"] == pytest.approx(once.pvalue, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_ks_on_bins_of_one_value_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    reference, current = rng.poisson(4, 500), rng.poisson(4.5, 300)
    size = int(max(reference.max(), current.max())) + 1
    seen = cells_of(
        np.bincount(reference, minlength=size), np.bincount(current, minlength=size), alone=np.ones(size, dtype=bool)
    )
    measured = STATISTICS.load("ks").compute(seen)
    theirs = scipy.stats.ks_2samp(reference, current, method="asymp")
    assert measured.value == pytest.approx(theirs.statistic, rel=1e-12)
    assert measured.parts["ks_upper"] == measured.value
    expected = scipy.stats.kstwobign.sf(theirs.statistic * np.sqrt(500 * 300 / 800))
    assert measured.parts["ks_p_value"] == pytest.approx(expected, rel=1e-9)


def test_ks_stays_exact_where_products_of_counts_pass_64_bits():
    big = 10**10
    measured = STATISTICS.load("ks").compute(cells_of([big, 2 * big], [2 * big, big]))
    assert measured.value == pytest.approx(1 / 3, rel=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_wasserstein_on_narrow_bins_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    reference, current = rng.normal(size=2000), rng.normal(0.4, 1.3, size=2000)
    low, high = min(reference.min(), current.min()), max(reference.max(), current.max())
    edges = np.linspace(low, high, 4001)[1:-1]
    seen = cells_of(
        np.bincount(np.searchsorted(edges, reference), minlength=4000),
        np.bincount(np.searchsorted(edges, current), minlength=4000),
        edges=edges,
        ends=(low, high),
    )
    # A row moves by at most one bin width when it is spread over its bin.
    assert STATISTICS.load("wasserstein").compute(seen).value == pytest.approx(
        scipy.stats.wasserstein_distance(reference, current), abs=2 * (high - low) / 4000
    )
