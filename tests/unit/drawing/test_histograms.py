"""Bars of equal width from fine bins: mass is kept and stands where the values are."""

import numpy as np
import pytest

import tiltmeter
from lead_frames import leads
from tiltmeter.drawing.histogram import histogram


def drawn(before, after):
    baseline = tiltmeter.Baseline.fit({"x": before}, kinds={"x": "numeric"})
    profile = baseline.profile({"x": after})
    return histogram(
        baseline.bins.features["x"].cells, (baseline.reference.profile.features["x"], profile.features["x"])
    )


RNG = np.random.default_rng(5)
CASES = {
    "normal": (RNG.normal(0, 1, 5000), RNG.normal(1, 1, 3000)),
    "log-normal": (RNG.lognormal(3, 1, 5000), RNG.lognormal(3.2, 1, 3000)),
    "times 100": (RNG.normal(50, 9, 5000), RNG.normal(5000, 900, 3000)),
    "counts": (RNG.poisson(3, 5000).astype(float), RNG.poisson(4, 3000).astype(float)),
    "mostly zero": (np.where(RNG.random(5000) < 0.9, 0.0, RNG.normal(5, 1, 5000)), np.zeros(300)),
    "one outlier": (RNG.normal(0, 1, 5000), np.append(RNG.normal(0, 1, 999), 1e12)),
    "infinite": (np.append(RNG.normal(0, 1, 5000), np.inf), np.append(RNG.normal(0, 1, 500), -np.inf)),
    "constants": (np.ones(500), np.full(500, 2.0)),
    "denormal": (np.full(500, 5e-324), np.zeros(500)),
    "last double": (np.full(500, 1.7976931348623157e308), np.full(300, 1.7976931348623157e308)),
    "first double": (np.full(500, -1.7976931348623157e308), np.full(300, -1.7976931348623157e308)),
    "end to end": (
        np.repeat([-1e308, 1.7976931348623157e308], [240, 60]),
        np.repeat([-1e308, 1.7976931348623157e308], [81, 100]),
    ),
    "from one end": (np.full(300, -1e308), np.append(np.full(180, -1e308), 1.7976931348623157e308)),
    "huge": (RNG.normal(0, 1, 500) * 1e307, RNG.normal(0, 1, 500) * 1e307),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_every_row_is_in_some_bar(before, after):
    bars = drawn(before, after)
    assert bars.shares.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert np.all(bars.shares >= 0)
    assert bars.low < bars.high


def test_bars_hold_the_rows_that_lie_in_them():
    before, after = CASES["normal"]
    bars = drawn(before, after)
    edges = np.linspace(bars.low, bars.high, bars.shares.shape[1] + 1)
    for row, values in zip(bars.shares, (before, after), strict=True):
        counted = np.histogram(np.clip(values, bars.low, bars.high), edges)[0] / values.size
        # A fine bin holds a thousandth of the baseline; where the window is denser it is spread evenly.
        assert np.abs(row - counted).max() < 0.012


def test_counts_have_a_bar_a_value():
    bars = drawn(*CASES["counts"])
    assert bars.centred
    values = np.arange(bars.shares.shape[1])
    assert bars.low == -0.5
    exact = [(CASES["counts"][0] == value).mean() for value in values[:-1]]
    # Rare values share a fine bin: a row or two may stand in the neighbouring bar.
    assert bars.shares[0][:-1] == pytest.approx(exact, abs=0.0005)


def test_one_outlier_does_not_squeeze_the_picture():
    bars = drawn(*CASES["one outlier"])
    assert bars.high < 10
    assert bars.beyond[1][1] > 0


def test_a_window_of_one_value_between_the_baselines_is_drawn_as_one_bar():
    bars = drawn(np.repeat([5191.0, 5228.1], 400), np.full(300, 5195.8))
    assert np.count_nonzero(bars.shares[1]) == 1


def test_nothing_to_draw_is_none():
    assert drawn([None, None, None] * 100, [None] * 100) is None


def test_times_are_drawn_on_epoch_seconds():
    table = leads(500)
    baseline = tiltmeter.Baseline.fit(table, features=["seen_at"])
    profile = baseline.reference.profile.features["seen_at"]
    bars = histogram(baseline.bins.features["seen_at"].cells, (profile, profile))
    assert 0 <= bars.low < bars.high <= 86_400
