"""What a comparing monitor judges apart: versions that scored side by side, segments, and nothing twice."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import tiltmeter
from tables import Frame
from tiltmeter.alerting.rules import verdicts
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.model import Model
from tiltmeter.domain.rule import Limit, Rule, RuleSet
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.comparing import DRIFT, FEATURES
from tiltmeter.monitors.drift import STEPS
from tiltmeter.monitors.effects import effect_of, shift_of
from tiltmeter.monitors.recomputing import recompute
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import profile_rows

START = datetime(2026, 3, 2, tzinfo=UTC)


def _day(number):
    return Window(START + timedelta(days=number), START + timedelta(days=number + 1), Grain.DAY)


def _rows(seed):
    return Frame(pa.table({"size": np.random.default_rng(seed).lognormal(3, 1, 400)}))


@dataclass
class Stored:
    """Daily profiles by version; "" is the sum of a day's versions."""

    days: dict

    def subjects(self, model, bins_id):
        return sorted({version for day in self.days.values() for version in day}), []

    def total(self, model, bins_id, window, *, version="", segment=("", ""), as_of=None):
        parts = [p for v, p in self.days.get(window.start, {}).items() if version in ("", v)]
        return sum(parts[1:], parts[0]) if parts else None

    def hours(self, model, bins_id, window, *, version="", segment=("", "")):
        return {}

    def watermark(self, model, bins_id):
        return 1


@pytest.fixture(scope="module")
def world():
    bins = fit_bins(_rows(1), ColumnRoles())
    reference = Reference("training", "b-1", bins, profile_rows(_rows(1), bins))
    one, two = profile_rows(_rows(2), bins), profile_rows(_rows(3), bins)
    days = {_day(0).start: {"14": one}, _day(1).start: {"14": one, "15": two}, _day(2).start: {"15": two}}
    return SimpleNamespace(
        states=Stored(days),
        baselines=SimpleNamespace(
            bins=lambda _model, _now: bins,
            judging=lambda _model, _window, **_: reference,
            beside=lambda _model, _window: (),
        ),
        rules=RuleSet(()),
    )


def _versions(world, monitor, number):
    return {metric.subject.model_version for metric in monitor.measure(Model("leads"), _day(number), world)}


def test_versions_are_judged_apart_only_where_several_scored(world):
    assert _versions(world, DRIFT, 0) == {""}
    assert _versions(world, DRIFT, 1) == {"", "14", "15"}
    assert _versions(world, DRIFT, 2) == {""}


def test_an_hour_is_judged_as_a_whole(world):
    assert _versions(world, FEATURES, 1) == {""}


def _steps(world, monitor, number, rules=()):
    asked = SimpleNamespace(**{**vars(world), "rules": RuleSet(tuple(rules))})
    metrics = monitor.measure(Model("leads"), _day(number), asked)
    return {m.name: m for m in metrics if m.name in STEPS and m.subject.model_version == ""}


def test_a_day_is_held_against_the_day_before(world):
    assert _steps(world, DRIFT, 0) == {}
    found = _steps(world, DRIFT, 2)
    assert set(found) == {"features.mean_step", "features.missing_step"}
    before, now = (np.concatenate([_rows(seed).table["size"].to_numpy() for seed in seeds]) for seeds in ((2, 3), (3,)))
    base = _rows(1).table["size"].to_numpy()
    step = found["features.mean_step"]
    assert step.value == pytest.approx((now.mean() - before.mean()) / base.std(ddof=1), rel=1e-6)
    assert (step.n_reference, step.n_current) == (800, 400)
    assert 0.0 < step.p_value < 1.0
    assert step.details["effect"].startswith("mean ")
    assert step.details["effect"].endswith("in one window")


def test_an_hour_is_held_against_the_hour_before_where_a_rule_asks_for_it(world):
    assert _steps(world, FEATURES, 2) == {}
    rule = Rule("jump", "features.mean_step", {Severity.WARNING: Limit(above=1.0)}, by=("feature",), every=Grain.HOUR)
    assert set(_steps(world, FEATURES, 2, [rule])) == {"features.mean_step", "features.missing_step"}


def test_a_step_is_recomputed_to_the_last_bit(world):
    gone = SimpleNamespace(rows_at=lambda *_: None)
    again = SimpleNamespace(**{**vars(world), "log": gone})
    for metric in _steps(world, DRIFT, 2).values():
        assert [one.is_same for one in recompute(metric, Model("leads"), again)] == [True, None]


def test_a_rule_on_a_step_is_judged_by_the_rows_of_both_windows(world):
    rule = Rule("jump", "features.mean_step", {Severity.WARNING: Limit(above=-9.0)}, by=("feature",), min_rows=401)
    step = _steps(world, DRIFT, 2)["features.mean_step"]
    assert [v.why for v in verdicts([step], [rule])] == ["too_few_rows"]
    enough = replace(rule, min_rows=400)
    assert [v.severity for v in verdicts([step], [enough])] == [Severity.WARNING]
    assert [v.why for v in verdicts([replace(step, n_reference=399)], [enough])] == ["too_few_rows"]


def _shifted(before, now):
    """Words about one column between two tables."""
    found = tiltmeter.compare(pa.table({"x": before}), pa.table({"x": now}))["x"]
    return effect_of(found), shift_of(found)


def test_a_small_shift_is_said_from_what_to_what():
    # 320 of 1,000 are 32.0 %, 335 are 33.5 %: 1.5 points, below the two that an effect begins with.
    before = ["mobile"] * 320 + ["desktop"] * 680
    now = ["mobile"] * 335 + ["desktop"] * 665
    assert _shifted(before, now) == ("", "mobile 32.0 % → 33.5 %")
    # 0 to 299 have the mean 149.5; two more each, but for the last two, (44,850 + 600 - 2 - 1) / 300 = 151.49.
    numbers = [float(n) for n in range(300)]
    shifted = [min(n + 2, 299.0) for n in numbers]  # 2 of 86.6, the standard deviation: just above two hundredths
    assert _shifted(numbers, shifted) == ("", "mean 149.5 → 151.5")
    # Where the mean stands still, the cell that changed most: 30 of 300 are 10.0 %, 27 are 9.0 %.
    squeezed = [145.0 if n in {n0 + 0.0 for n0 in (0, 1, 2)} or n in {297.0, 298.0, 299.0} else n for n in numbers]
    assert re.fullmatch(r"\d+\.\d % → \d+\.\d % in .+", _shifted(numbers, squeezed)[1])


def test_a_large_shift_is_said_as_everywhere():
    before, now = ["mobile"] * 300 + ["desktop"] * 700, ["mobile"] * 500 + ["desktop"] * 500
    assert _shifted(before, now) in {
        ("desktop 20 points down, mobile 20 points up",) * 2, ("mobile 20 points up, desktop 20 points down",) * 2,
    }  # fmt: skip


def test_equal_sides_have_no_words():
    assert _shifted(["a", "b"] * 300, ["a", "b"] * 300) == ("", "")
