"""Too few rows are no verdict: not in a report, not in MLflow's title, not on a page."""

import html
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

import small_home
from page_reading import charts, first_line
from small_home import END
from tables import FakeClock
from tiltmeter.api.period import period_of
from tiltmeter.api.period_story import outcome_text, period_sentence
from tiltmeter.config.load import load_settings
from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.run import Run
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.outcomes import outcome_metrics
from tiltmeter.service.reports import report_messages
from tiltmeter.wiring import build_world

pytestmark = pytest.mark.slow  # builds homes

DAY = Window(END - timedelta(days=1), END, Grain.DAY)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Three leads an hour: 72 a day, judged on up to seven days."""
    return small_home.build(tmp_path_factory.mktemp("few") / "home", hourly=3)


@pytest.fixture(scope="module")
def day(few):
    world = build_world(load_settings(few, environ={}), clock=FakeClock(END), with_channels=False)
    found = period_of(world, world.models["lead-scoring"], DAY)
    yield found, world
    world.state.close()


def test_a_day_of_few_leads_is_not_called_quiet(day):
    found, world = day
    quiet = replace(found, incidents=[])
    sentence = period_sentence(quiet)
    assert sentence.startswith("Not judged: 72 rows are too few; no incident")
    assert "None of" not in sentence
    assert quiet.verdict == "not judged"
    page = quiet.to_html()
    assert "No feature moved" not in page
    assert "<b>not judged</b>" in page
    (message,) = report_messages(quiet, page, ["mail"], world)
    assert message.content.effect.startswith("Not judged: 72 rows are too few")


def test_rows_enough_for_the_rule_are_judged(tmp_path):
    rules = """
rules:
  - {id: feature_psi, metric: drift.psi, by: [feature], every: day, min_rows: 50, levels: {critical: {above: 0.5}}}
"""
    configuration = small_home.build(tmp_path / "home", hourly=3, rules=rules)
    world = build_world(load_settings(configuration, environ={}), clock=FakeClock(END), with_channels=False)
    found = period_of(world, world.models["lead-scoring"], DAY)
    world.state.close()
    assert period_sentence(found).startswith("1 of 2 features moved, strongest source")
    assert found.is_judged


def test_the_feature_page_shows_the_span_that_was_judged(page, few):
    overview = page("overview", few)
    (cell,) = [
        row for _, tables in charts(overview) for table in tables for row in table
        if row.get("feature") == "source" and row.get("day") == "2026-03-08" and "step" in row
    ]  # fmt: skip
    assert cell["step"] != "not judged"
    assert cell["span"] != "24 h 00 min"
    shown = page("feature", few, f="source", day="2026-03-08")
    psi = next(m for m in shown.metric if m.label == "PSI")
    assert float(psi.value) == pytest.approx(cell["psi"], abs=0.0051)
    assert "not judged" not in psi.delta
    assert f"n = {cell['rows']:,}" in psi.delta
    assert f"in the {cell['span']} to the end of 2026-03-08" in html.unescape(first_line(shown)).replace("\u2060", "")


def test_while_an_alert_is_open_a_feature_of_few_rows_opens_with_what_was_judged(page, few):
    shown = page("feature", few, f="source")
    assert shown.query_params["day"] == "2026-03-08"
    assert "not judged" not in next(m for m in shown.metric if m.label == "PSI").delta


def cohort_of(leads, customers, *, end):
    """Metrics of a week of leads, as the product judges them by default."""
    score = np.linspace(0.05, 0.95, leads)
    converted = np.arange(leads) >= leads - customers
    found = Cohort(score, converted, converted * 100.0, np.zeros(leads, dtype=int))
    window = Window(end - timedelta(days=7), end, Grain.DAY)
    return outcome_metrics(found, subject=Subject("lead-scoring"), window=window, threshold=0.5, min_rows=200)


@pytest.mark.parametrize(
    ("leads", "title"), [((80, 60), "Not judged"), ((80, 400), "Not judged"), ((800, 600), "Conversion fell")]
)
def test_cohorts_of_few_leads_neither_rose_nor_fell(page, tmp_path, leads, title):
    home = small_home.build(tmp_path / "home")
    world = build_world(load_settings(home, environ={}), clock=FakeClock(END), with_channels=False)
    mature = END - world.models["lead-scoring"].outcomes.mature_after
    parts = (leads[0], leads[0] // 2, mature - timedelta(days=7)), (leads[1], leads[1] // 40, mature)
    for rows, customers, end in parts:
        metrics = cohort_of(rows, customers, end=end)
        run = Run("cohorts", "lead-scoring", metrics[0].window, END, None, tuple(metrics), (), (), (), ())
        assert world.state.commit(run)
    world.state.close()
    first = first_line(page("outcomes", home))
    assert title in first
    assert ("more than chance" in first) is (title == "Conversion fell")
    assert ("●" in first) is (title == "Conversion fell")


def test_an_outcome_of_few_leads_says_so(day):
    found, _ = day
    for leads, is_few in ((60, True), (600, False)):
        known = {m.name: m for m in cohort_of(leads, leads // 10, end=END)}
        said = outcome_text(replace(found, outcomes=known), "outcomes.conversion_rate")
        assert said == ("10.0 %, n = 60: not judged" if is_few else "10.0 %")
        assert f"conversion {said}" in period_sentence(replace(found, outcomes=known))
