"""What the pages make of numbers before they draw them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tiltmeter import Baseline, compare
from tiltmeter.alerting.limits import Below
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.histogram import histogram
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.statistics.steps import with_steps
from tiltmeter.views.dashboard.basis import write_of
from tiltmeter.views.dashboard.cards import rate_words
from tiltmeter.views.dashboard.charts import metric_line, time_axis
from tiltmeter.views.dashboard.comparing import facts, psi_parts, quantiles, short
from tiltmeter.views.dashboard.frame import plain
from tiltmeter.views.dashboard.incident_story import PARTS, model_or_world


@pytest.fixture(scope="module")
def moved():
    """A unit that changed by a factor of a hundred, and a level that took over."""
    rng = np.random.default_rng(4)
    before = pl.DataFrame({"money": rng.lognormal(8, 1, 4_000), "plan": ["a", "a", "b", "c"] * 1_000})
    after = pl.DataFrame({"money": rng.lognormal(8, 1, 4_000) * 100, "plan": ["a", "b", "b", "c"] * 1_000})
    return compare(before, after)


@pytest.mark.parametrize("feature", ["money", "plan"])
def test_the_parts_of_a_psi_add_up_to_it(moved, feature):
    parts = psi_parts(moved[feature])
    # By definition PSI is the sum over cells; cells that add less than 0.001 are not drawn.
    assert parts["part"].sum() == pytest.approx(moved[feature].psi, abs=0.012)
    assert list(parts["part"]) == sorted(parts["part"], reverse=True)


def test_parts_say_which_way_a_value_went(moved):
    parts = psi_parts(moved["plan"]).set_index("cell")
    assert parts.loc["b", "direction"] == "more"
    assert parts.loc["b", "words"] == "25.0% → 50.0%"
    assert parts.loc["a", "direction"] == "fewer"


def test_quantiles_stand_side_by_side_for_numbers_only(moved):
    assert list(quantiles(moved["money"])["Value"])[3] == "Median"
    assert quantiles(moved["plan"]).empty


def test_numbers_stand_beside_the_baseline_and_the_window_before():
    rng = np.random.default_rng(5)
    spans = [{"money": rng.normal(mean, 9, 500), "plan": ["a", "b"] * 250} for mean in (40, 44, 50)]
    spans[1]["money"][:50] = np.nan
    baseline = Baseline.fit(pl.DataFrame(spans[0]))
    before, now = (baseline.profile(pl.DataFrame(span)) for span in spans[1:])
    found = with_steps(baseline.compare(now).comparison, baseline.bins, before)
    notes = {fact.title: fact.note for fact in facts(found.features["money"])}
    means = [np.nanmean(span["money"]) for span in spans]
    assert notes["Mean"] == f"baseline {means[0]:.4g} · before {means[1]:.4g}"
    assert notes["Missing"] == "baseline 0.0 % · before 10.0 %"
    assert notes["Distinct"] == "baseline 500 · before 450"
    assert list(quantiles(found.features["money"])) == ["Value", "Baseline", "Before", "Now"]
    assert {fact.title: fact.note for fact in facts(found.features["plan"])}["Distinct"] == "baseline 2 · before 2"
    alone = baseline.compare(now).comparison.features["money"]
    assert {fact.title: fact.note for fact in facts(alone)}["Distinct"] == "baseline 500"


def test_a_changed_unit_is_drawn_on_a_logarithmic_scale_only_where_that_may_be():
    rng = np.random.default_rng(4)
    engine = LocalEngine()
    values = rng.lognormal(8, 1, 4_000)
    rows = open_rows(pl.DataFrame({"money": values}))
    bins = engine.fit(rows, ColumnRoles())
    sides = [engine.profile(open_rows(pl.DataFrame({"money": values * by})), bins).features["money"] for by in (1, 100)]
    drawn = histogram(bins.features["money"].cells, sides, may_be_logarithmic=True)
    assert drawn.is_logarithmic
    steps = np.diff(np.log(drawn.edges))
    assert steps == pytest.approx(np.full(steps.size, steps[0]))
    assert drawn.shares.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert drawn.shares[0].max() < 0.2  # the baseline has a shape again
    assert not histogram(bins.features["money"].cells, sides).is_logarithmic
    assert not histogram(bins.features["money"].cells, sides[:1], may_be_logarithmic=True).is_logarithmic


@pytest.mark.parametrize(
    ("inputs", "score", "service", "said"),
    [
        ("none", "critical", "none", "look at the model first"),
        ("critical", "critical", "none", "the data changed, and the model follows"),
        ("warning", "info", "none", "the score did not"),
        ("info", "none", "critical", "it is the service"),
        ("none", "none", "none", ""),
    ],
)
def test_an_incident_says_whether_the_model_or_the_world_changed(inputs, score, service, said):
    shown = dict.fromkeys(PARTS, Severity.NONE)
    given = {"Inputs": inputs, "Score": score, "Service": service}
    shown.update({part: Severity.of(word) for part, word in given.items() if word != "none"})
    sentence = model_or_world(shown)
    assert said in sentence
    assert bool(sentence) is bool(said)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1_643_210.0, "1.643M"),
        (19_090.0, "19.09k"),
        (906.4, "906.4"),
        (0.07736, "0.07736"),
        (-2.5e9, "-2.5G"),
        (None, "–"),
    ],
)
def test_numbers_on_cards_are_short(value, words):
    assert short(value) == words


def test_a_slow_trickle_is_said_by_the_minute():
    assert rate_words(0.03) == "1.8 / min"
    assert rate_words(12.34) == "12.3 / s"
    assert rate_words(0.0) == "0.0 / s"


def test_long_names_are_cut_and_turning_letters_left_out():
    assert len(plain("W" * 1_000)) < 300
    assert "\u202e" not in plain("\u202egnp.exe")


@pytest.mark.parametrize(("top", "places"), [(7.0, [0.5, 0.5]), (1.0, [0.25, 0.5])])
def test_names_of_limits_that_lie_close_stand_over_the_upper_one(top, places):
    time = pd.to_datetime(["2026-03-01", "2026-03-02"], utc=True)
    table = pd.DataFrame({"time": time, "value": [0.0, top], "lower": 0.0, "upper": 0.0, "rows": 500, "status": "ok"})
    chart = metric_line(table, title="PSI", limits={"warning": 0.25, "critical": 0.5}, height=250).to_dict()
    limits = [rows[0] for rows in chart["datasets"].values() if "over" in rows[0]]
    assert {row["label"]: row["over"] for row in limits} == dict(
        zip(["warning 0.25", "critical 0.5"], places, strict=True)
    )


def shares(values, uppers=None):
    time = pd.date_range("2026-03-01", periods=len(values), tz="UTC")
    uppers = uppers or values
    return pd.DataFrame({"time": time, "value": values, "lower": 0.0, "upper": uppers, "rows": 500, "status": "ok"})


def top_of(chart):
    return next(
        layer["encoding"]["y"]["scale"]["domainMax"] for layer in chart["layer"] if "scale" in layer["encoding"]["y"]
    )


def test_a_chart_in_percent_holds_its_interval_and_its_limits_and_ends_at_all_of_it():
    drawn = metric_line(shares([0.02, 0.03], [0.1, 0.4]), title="", form=".1%", band=True).to_dict()
    assert top_of(drawn) == pytest.approx(0.44)
    limits = {"critical": 0.5, "warning": 0.01}
    write = write_of("serving.error_rate")
    drawn = metric_line(shares([0.02, 0.03]), title="", form=".1%", limits=limits, write=write).to_dict()
    assert top_of(drawn) == pytest.approx(0.55)
    labels = {row["label"] for rows in drawn["datasets"].values() for row in rows if "label" in row}
    assert labels == {"warning 1 %", "critical 50 %"}
    assert top_of(metric_line(shares([0.99, 0.98]), title="", form=".1%").to_dict()) == 1.0


def test_a_limit_is_written_in_the_unit_of_its_metric():
    assert write_of("serving.latency_ms.p95")(500.0) == "500 ms"
    assert write_of("serving.share_within_target")(0.95) == "95 %"
    assert write_of("drift.psi")(0.25) == "0.25"
    assert write_of("outcomes.auc")(0.5) == "0.5"


@pytest.mark.parametrize(
    ("values", "limit", "is_left"),
    [
        ([0.99, 0.99, 0.9], Below(0.95), True),
        ([0.99, 0.99, 0.98], Below(0.95), False),
        ([0.1, 0.1, 0.6], 0.5, True),
        ([0.6, 0.6, 0.9], 0.5, False),
    ],
)
def test_the_name_of_a_limit_leaves_the_end_at_which_the_line_passes_it(values, limit, is_left):
    drawn = metric_line(shares(values), title="", form=".1%", limits={"warning": limit}).to_dict()
    text = next(layer for layer in drawn["layer"] if layer["mark"].get("type") == "text")
    assert (text["mark"]["align"] == "left") is is_left


def test_no_day_stands_twice_under_a_chart_of_three_days():
    time = pd.date_range("2026-03-01", periods=72, freq="h", tz="UTC")
    axis = time_axis(pd.DataFrame({"time": time})).to_dict()["axis"]
    assert (axis["tickCount"], axis["format"]) == ("day", "%d %b")
