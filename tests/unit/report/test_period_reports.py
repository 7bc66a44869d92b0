"""Daily and weekly reports of a small installation: what they say, when they are written, to whom they go."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

import small_home
from command_line import tiltmeter
from tables import FakeClock
from tiltmeter.api.period import before, newest_complete, period_of
from tiltmeter.api.period_story import outcome_text, period_sentence
from tiltmeter.channels.email_body import build_mail
from tiltmeter.config.load import load_settings
from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.message import MessageKind
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.monitors.outcomes import outcome_metrics
from tiltmeter.monitors.registered import judged_until
from tiltmeter.service.checkup import calendar_of
from tiltmeter.service.reports import Reports, report_messages, report_name
from tiltmeter.service.scheduler import Scheduler
from tiltmeter.wiring import build_world

HOSTILE = '<script>alert(1)</script> & "x"'
WEEK = Window(datetime(2026, 3, 2, tzinfo=UTC), small_home.END, Grain.WEEK)
DAY = Window(small_home.END - timedelta(days=1), small_home.END, Grain.DAY)


def world_of(configuration):
    return build_world(load_settings(configuration, environ={}), clock=FakeClock(small_home.END), with_channels=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_home.build(tmp_path_factory.mktemp("reports") / "home")


@pytest.fixture(scope="module")
def world(small):
    made = world_of(small)
    yield made
    made.state.close()


@pytest.fixture(scope="module")
def day(world):
    """The last day, on which every fourth lead came from a level that the baseline never saw."""
    return period_of(world, world.models["lead-scoring"], DAY)


def test_the_sentence_names_what_moved_and_why(day):
    page = day.to_html()
    said = re.search(r'class="answer a3">(.*?)</p>', page).group(1)
    assert said.startswith("1 of 2 features moved, strongest source: new level partner-x")
    assert day.severity is Severity.CRITICAL


def test_numbers_are_those_of_the_day(day):
    assert day.against_baseline.comparison.rows_current == 24 * small_home.HOURLY
    # 288 states of 30 requests; the last 6 of them failed (small_home).
    assert (day.service_total.requests, day.service_total.error_rate) == (8640, 6 / 288)
    assert [job.runs for job in day.jobs] == [1]
    assert len(day.steps) == len(day.service) == 24


def test_failures_of_unknown_kinds_are_not_called_none(day):
    page = day.to_html()
    assert "No request was answered with 4xx or 5xx" not in page
    assert "counted without their kind" in page
    calm = replace(day, service_total=replace(day.service_total, error_rate=0.0)).to_html()
    assert "No request was answered with 4xx or 5xx" in calm


def test_a_week_is_drawn_by_days_and_held_against_the_week_before(world):
    week = period_of(world, world.models["lead-scoring"], WEEK)
    assert len(week.steps) == 7
    assert week.against_before is None
    assert "There is no week before to compare with." in week.to_html()
    psi = week.psi["source"]
    assert psi[-1] == pytest.approx(max(value for value in psi if value is not None))


def test_the_day_before_is_what_changes_are_counted_from(day):
    assert day.against_before.comparison.rows_reference == 24 * small_home.HOURLY
    assert "One feature moved between the two: source" in day.to_html()


def test_a_page_is_one_whole_document_without_scripts_or_addresses(day):
    page = day.to_html()
    assert page.count("</body></html>") == 1
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert len(page.encode()) < 250 * 1024


def test_hostile_names_stay_text(tmp_path):
    configuration = small_home.build(tmp_path / "home", level=HOSTILE)
    world = world_of(configuration)
    page = period_of(world, world.models["lead-scoring"], DAY).to_html()
    world.state.close()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("grain", "start"),
    [(Grain.WEEK, datetime(2026, 2, 23, tzinfo=UTC)), (Grain.DAY, datetime(2026, 3, 7, tzinfo=UTC))],
)
def test_the_period_before(world, grain, start):
    window = WEEK if grain is Grain.WEEK else DAY
    assert before(window, world.zone) == window_at(start, grain, world.zone)


def test_the_newest_complete_week_ends_before_now(world):
    assert newest_complete(small_home.END, Grain.WEEK, world.zone) == WEEK
    assert newest_complete(small_home.END - timedelta(seconds=1), Grain.WEEK, world.zone).end == WEEK.start


def test_a_report_is_written_once_when_its_window_was_judged(tmp_path):
    configuration = small_home.build(tmp_path / "home")
    world = world_of(configuration)
    folder = tmp_path / "reports"
    receivers = {"weekly": ["mail", "chat"]}
    assert Reports(world, folder, receivers).turn(small_home.END) == []
    small_home.mark_judged(world, "lead-scoring", Grain.WEEK, WEEK.end, monitors=["drift"])
    assert Reports(world, folder, receivers).turn(small_home.END) == []  # its outcomes are judged only now
    small_home.mark_judged(world, "lead-scoring", Grain.WEEK, WEEK.end)
    assert [path.name for path in Reports(world, folder, receivers).turn(small_home.END)] == ["2026-W10.html"]
    assert Reports(world, folder, receivers).turn(small_home.END) == []
    (folder / "2026-W10.html").unlink()  # as if the crash had come between the messages and the file
    Reports(world, folder, receivers).turn(small_home.END)
    sent = [d.message for d in world.state.deliveries() if d.message.kind is MessageKind.REPORT]
    assert sorted(message.channel for message in sent) == ["chat", "mail"]
    world.state.close()


def test_a_day_is_published_though_no_outcome_was_ever_told(tmp_path):
    path = small_home.build(tmp_path / "home")
    monday = small_home.END + timedelta(days=7, hours=12)  # every window was due, the newest has no rows
    world = build_world(load_settings(path, environ={}), clock=FakeClock(monday), with_channels=False)
    Scheduler(world, calendar_of(load_settings(path, environ={}))).turn(monday)
    for grain in (Grain.DAY, Grain.WEEK):
        assert judged_until(world.state, "lead-scoring", grain) == small_home.END + timedelta(days=7)
    written = Reports(world, tmp_path / "reports", {}).turn(monday)
    assert sorted(path.name for path in written) == ["2026-03-15.html", "2026-W11.html"]
    world.state.close()


def test_the_mail_carries_the_page(day, world):
    (message,) = report_messages(day, day.to_html(), ["mail"], world)
    mail, _ = build_mail(message, sender="a@example.com", to=["b@example.com"], domain="example.com")
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == "report.html"
    assert attached.get_content().replace("\r\n", "\n").startswith("<!doctype html>")
    assert mail["Subject"].startswith("[REPORT] lead-scoring: lead-scoring, Sunday, 08 March 2026")


def test_names_of_several_models_cannot_leave_the_folder_or_meet(world):
    two = SimpleNamespace(models={"../a": None, "..?a": None}, zone=world.zone)
    names = {report_name(model, WEEK, two) for model in two.models}
    assert len(names) == 2
    assert all("/" not in name and not name.startswith(".") for name in names)


def test_the_command_writes_the_page_and_says_the_sentence(small, tmp_path):
    page = tmp_path / "day.html"
    done = tiltmeter("report", "daily", "--config", str(small), "--date", "2026-03-08", "--html", str(page), "--json")
    assert done.code == 0, done.err
    found = done.document
    assert found["schema"] == "tiltmeter.report/1"
    assert found["models"][0]["severity"] == "critical"
    assert "partner-x" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--date", "last week"], '"last week" is no date'),
        (["--send"], "names no receiver of the weekly report"),
        (["--model", "lead-scorin"], "lead-scoring"),
    ],
)
def test_a_mistake_is_one_sentence(small, arguments, words):
    done = tiltmeter("report", "weekly", "--config", str(small), *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_week_says_what_became_of_its_leads_by_score(day):
    # 200 leads, scores 0.005 to 1; those above 0.9 converted but one: 19 of the 20 best, so 19/20 of 19/200.
    score = np.arange(1, 201) / 200
    converted = score > 0.905
    cohort = Cohort(score, converted, converted * 100.0, np.zeros(score.size, dtype=int))
    judged = outcome_metrics(cohort, subject=Subject("lead-scoring"), window=WEEK, threshold=0.5, min_rows=100)
    page = replace(day, outcomes={metric.name: metric for metric in judged}).to_html()
    said = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert "200 leads scored → 101 predicted to become customers (50.5 %), 19 of them did (18.8 %)" in said
    assert "19 customers in all (9.5 %" in said
    rows = re.findall(r"<tr>(.*?)</tr>", page[page.index("Conversion by score") :])
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows if "<td" in row][:10]
    assert [row[1] for row in cells] == ["20"] * 10
    assert cells[9][0] == "10 (highest)"
    assert cells[9][3] == "95.0 %"
    assert [row[3] for row in cells[:9]] == ["0.0 %"] * 9


def test_a_quiet_period_with_an_incident_names_the_incident(day):
    beside = replace(day.against_before, comparison=replace(day.against_before.comparison, features={}), rules=())
    quiet = replace(day, against_baseline=beside, outcomes={})
    said = period_sentence(quiet)
    assert said.startswith("None of ")
    assert "the worst: source drifted" in said
    assert "the worst" not in period_sentence(day), "the feature that moved is named already"


def test_an_auc_is_no_percentage(day):
    score = np.arange(1, 201) / 200
    cohort = Cohort(score, score > 0.5, score, np.zeros(score.size, dtype=int))
    judged = outcome_metrics(cohort, subject=Subject("lead-scoring"), window=WEEK, threshold=0.5, min_rows=100)
    found = replace(day, outcomes={metric.name: metric for metric in judged}, outcomes_before={})
    assert outcome_text(found, "outcomes.auc") == "1"
    assert outcome_text(found, "outcomes.precision").endswith(" %")


def test_a_report_says_which_amounts_its_revenue_leaves_out():
    window = Window(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC), Grain.WEEK)
    name, left = "outcomes.revenue_per_lead", {"amounts_left_out": 2, "other_currencies": ["JPY"]}
    some = Metric(name, Subject("m"), window, 12.5, details=left)
    none = Metric(name, Subject("m"), window, None, why_missing="no revenue; 2 amounts in JPY left out", details=left)
    texts = [
        outcome_text(SimpleNamespace(outcomes={name: one}, outcomes_before={}, model=Model("m")), name)
        for one in (some, none)
    ]
    assert texts == ["12.50 EUR; 2 amounts in JPY left out", "no revenue; 2 amounts in JPY left out"]
