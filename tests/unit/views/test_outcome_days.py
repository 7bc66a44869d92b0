"""Page and report name the days of a cohort alike: those of the business calendar, on which its leads were scored."""

import html
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

import small_home
from page_reading import charts, words
from small_home import END
from tables import FakeClock
from tiltmeter.api.period import period_of
from tiltmeter.config.load import load_settings
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.run import Run
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.monitors.cohort_weeks import cohort_weeks, scored_words
from tiltmeter.monitors.deciles import PRECISION_AT_K, RECALL_AT_K
from tiltmeter.views.dashboard.cohorts import RATE
from tiltmeter.views.dashboard.queries import Scope, drift_heatmap
from tiltmeter.wiring import build_world

WEEK = timedelta(days=7)


def cohort(noon, zone, late=30):
    """Window of the cohort that the day holding this moment judges, cut as the monitor cuts it."""
    end = window_at(noon, Grain.DAY, ZoneInfo(zone)).end - timedelta(days=late)
    return Window(end - WEEK, end, Grain.DAY)


@pytest.mark.parametrize(
    ("zone", "noon", "days"),
    [
        ("Europe/Berlin", datetime(2026, 12, 7, 11, tzinfo=UTC), "01 Nov to 07 Nov 2026"),
        ("UTC", datetime(2026, 12, 7, 12, tzinfo=UTC), "01 Nov to 07 Nov 2026"),
        ("Pacific/Auckland", datetime(2026, 12, 7, 0, tzinfo=UTC), "01 Nov to 07 Nov 2026"),
        ("America/Los_Angeles", datetime(2026, 12, 7, 20, tzinfo=UTC), "01 Nov to 07 Nov 2026"),
        # Clocks were moved between scoring and judging: the cohort ends an hour beside midnight.
        ("Europe/Berlin", datetime(2026, 3, 31, 10, tzinfo=UTC), "23 Feb to 01 Mar 2026"),
        ("Europe/Berlin", datetime(2026, 10, 27, 11, tzinfo=UTC), "21 Sep to 27 Sep 2026"),
    ],
)
def test_a_cohort_is_named_by_the_first_and_last_day_of_scoring(zone, noon, days):
    window = cohort(noon, zone)
    assert scored_words(window, ZoneInfo(zone)) == days
    metric = Metric(PRECISION_AT_K, Subject("m"), window, 0.3)
    week = cohort_weeks([metric], since=window.start, until=window.end)[0]
    assert week.name(ZoneInfo(zone)) == days[:6]


def test_a_day_of_the_heatmap_is_that_of_the_calendar():
    zone = ZoneInfo("Pacific/Auckland")
    day = window_at(datetime(2026, 11, 7, 0, tzinfo=UTC), Grain.DAY, zone)
    found = [Metric("drift.psi", Subject("m", "", "age"), day, 0.1, n_current=500)]
    state = SimpleNamespace(metrics=lambda query: found if query.metric == "drift.psi" else [])
    world = SimpleNamespace(state=state, zone=zone, rules=SimpleNamespace(rules=()))
    scope = Scope("auckland", Model("m"), "", ("", ""), day.start - WEEK, day.end)
    assert drift_heatmap(world, scope)["day"].tolist() == ["2026-11-07"]


@pytest.mark.slow  # builds a home
def test_page_and_report_name_the_same_days_and_weeks(page, tmp_path):
    home = small_home.build(tmp_path / "home")
    home.write_text(home.read_text(encoding="utf-8").replace("timezone: UTC", "timezone: Europe/Berlin"), "utf-8")
    world = build_world(load_settings(home, environ={}), clock=FakeClock(END), with_channels=False)
    newest = cohort(END - timedelta(hours=12), "Europe/Berlin")
    for back in (0, 1):
        window = Window(newest.start - back * WEEK, newest.end - back * WEEK, Grain.DAY)
        metrics = tuple(
            Metric(name, Subject("lead-scoring"), window, 0.3, lower=0.2, upper=0.4, n_current=500)
            for name in (RATE, PRECISION_AT_K, RECALL_AT_K)
        )
        assert world.state.commit(Run("cohorts", "lead-scoring", window, END, None, metrics, (), (), (), ()))
    day = window_at(END - timedelta(hours=12), Grain.DAY, world.zone)
    report = period_of(world, world.models["lead-scoring"], day).to_html()
    world.state.close()
    shown = page("outcomes", home)
    assert "leads scored 31 Jan to 06 Feb 2026" in words(shown)
    assert "Leads scored 31 Jan to 06 Feb 2026." in html.unescape(re.sub(r"<[^>]+>", " ", report))
    drawn = {row["week"] for _, tables in charts(shown) for table in tables for row in table if "week" in row}
    assert {"24 Jan", "31 Jan", "07 Feb"} <= drawn
    part = report[report.index("The best tenth by score") :]
    assert set(re.findall(r"\b\d\d (?:Jan|Feb|Mar)\b", part[: part.index("Recall at k")])) == drawn
