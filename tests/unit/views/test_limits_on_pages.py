"""Limits of the pages and of the report are those of the rules: changed, removed, limited to other models."""

import html
import re
from datetime import timedelta

import pytest

import small_home
from page_reading import charts, words
from page_reading import first_line as first_line_of
from small_home import END
from tables import FakeClock
from tiltmeter.api.period import period_of
from tiltmeter.config.load import load_settings
from tiltmeter.domain.window import Grain, Window
from tiltmeter.wiring import build_world

pytestmark = pytest.mark.slow  # builds homes

DAY = Window(END - timedelta(days=1), END, Grain.DAY)
CHANGED = """
rules:
  - {id: feature_psi, metric: drift.psi, by: [feature], every: day, levels: {warning: {above: 0.05}}}
  - {id: latency_p95, metric: serving.latency_ms.p95, every: 10s, over: 5m, min_rows: 100,
     levels: {warning: {above: 750}}}
  - {id: error_rate, metric: serving.error_rate, every: 10s, over: 5m, levels: {critical: {above: 0.6}}}
"""
NONE_HERE = """
rules:
  - {id: feature_psi, metric: drift.psi, by: [feature], every: day, models: [churn], levels: {warning: {above: 0.05}}}
  - {id: latency_p95, metric: serving.latency_ms.p95, every: 10s, over: 5m, models: [churn],
     levels: {warning: {above: 1}}}
"""


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """Configurations by what their rules are; every fifteenth request of the last day takes 600 ms."""
    made = tmp_path_factory.mktemp("limits")
    rules = {"default": "", "changed": CHANGED, "none": NONE_HERE.replace("models: [churn]", "models: [lead-scoring]")}
    found = {name: small_home.build(made / name, rules=given, slow_ms=600.0) for name, given in rules.items()}
    text = found["none"].read_text(encoding="utf-8")
    beside = "models:\n  churn: {}\n"
    found["none"].write_text(
        text.replace("models: [lead-scoring]", "models: [churn]").replace("models:\n", beside, 1), encoding="utf-8"
    )
    return found


def card(shown, label):
    return next(m for m in shown.metric if m.label == label)


def limits_drawn(shown):
    return {row["label"] for _, tables in charts(shown) for table in tables for row in table if "label" in row}


def steps_drawn(shown):
    cells = [row for _, tables in charts(shown) for table in tables for row in table if "step" in row and "psi" in row]
    return {(row["feature"], row["day"]): row["step"] for row in cells}


def report_of(configuration):
    world = build_world(load_settings(configuration, environ={}), clock=FakeClock(END), with_channels=False)
    found = period_of(world, world.models["lead-scoring"], DAY)
    page = found.to_html()
    world.state.close()
    return found, page


def first_line(shown):
    return next(m.value for m in shown.markdown if "source" in m.value and "over the" in m.value)


@pytest.mark.parametrize(
    ("home", "step", "lines", "latency"),
    [
        ("default", "critical", {"warning 0.25", "critical 0.5"}, {"target 200 ms", "warning 500 ms"}),
        ("changed", "warning", {"warning 0.05"}, {"target 200 ms", "warning 750 ms"}),
        ("none", "above 0.5", set(), {"target 200 ms"}),
    ],
)
def test_one_number_reads_the_same_on_every_page_and_in_the_report(page, homes, home, step, lines, latency):
    given = homes[home]
    overview = page("overview", given, model="lead-scoring", span="24 h")
    assert steps_drawn(overview)["source", "2026-03-08"] == step
    assert limits_drawn(overview) == latency
    feature = page("feature", given, model="lead-scoring", f="source", day="2026-03-08")
    assert limits_drawn(feature) == lines
    psi = card(feature, "PSI")
    word = {"critical": "■", "warning": "▲"}.get(step, "n")
    assert psi.delta.startswith(word)
    service = page("service", given, model="lead-scoring", span="24 h")
    assert limits_drawn(service) == latency
    found, written = report_of(given)
    assert set(found.psi_steps["source"]) - {"not judged", "ok", "watch", "up to 0.1", "above 0.1", "above 0.25"} == {
        step
    }
    for line in lines:
        severity, limit = line.split()
        assert f"{severity} (above {limit})" in written
    severity = found.against_baseline.comparison.features["source"].severity
    assert severity.word == (step if lines else "none")
    assert ("shades of its size: no rule judges it" in written) is not bool(lines)


def test_cards_of_the_service_follow_the_rules(page, homes):
    severities = {}
    for name, given in homes.items():
        shown = page("overview", given, model="lead-scoring", span="30 d")
        severities[name] = [card(shown, label).delta[0] for label in ("P95 latency", "Error rate", "Drifting")]
    # P95 600 ms: above 500, below 750; half of the requests of the last half hour failed.
    assert severities == {"default": ["▲", "■", "■"], "changed": ["○", "○", "▲"], "none": ["○", "○", "○"]}


def test_the_drifting_card_says_how_many_are_critical(page, homes):
    shown = page("overview", homes["default"], span="30 d")
    assert (card(shown, "Drifting").value, card(shown, "Drifting").delta) == (
        "1 of 2", "■ features, 1 critical, newest day",
    )  # fmt: skip
    without = page("overview", homes["none"], model="lead-scoring", span="30 d")
    assert "no rule judges them" in card(without, "Drifting").delta


def test_a_limit_that_a_number_must_not_fall_under_is_written_so(page, tmp_path):
    rule = "{id: within, metric: serving.share_within_target, every: hour, levels: {warning: {below: 0.95}}}"
    shown = page("service", small_home.build(tmp_path / "home", rules=f"\nrules: [{rule}]\n"))
    assert "warning < 95.0 %" in html.unescape(words(shown))
    assert "warning 95 %" in limits_drawn(shown)


def test_where_no_rule_judges_the_pages_say_so(page, homes):
    shown = page("overview", homes["none"], model="lead-scoring")
    assert "no rule judges it: shades of its size" in words(shown)
    assert "no rule judges it" in first_line(page("feature", homes["none"], model="lead-scoring", f="source"))
    compared = page(
        "compare", homes["none"], model="lead-scoring", a="2026-03-04..2026-03-07", b="2026-03-08..2026-03-08"
    )
    assert "No rule judges it" in html.unescape(first_line_of(compared))
    _, written = report_of(homes["none"])
    said = re.search(r'class="answer a\d">(.*?)</p>', written).group(1)
    assert "no rule judges" in said


def test_the_log_s_own_columns_are_no_new_features(page, homes):
    shown = page(
        "compare", homes["default"], model="lead-scoring", a="2026-03-04..2026-03-07", b="2026-03-08..2026-03-08"
    )
    assert set(shown.dataframe[0].value["feature"]) == {"source", "company_size", "score"}
