"""Outcomes are known `mature_after` late: every span shows the cohorts that matured within it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import hostile_home
from tiltmeter.domain.alert import Alert, AlertState, Incident, IncidentState
from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.rule import RuleSet
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.cohorts import OUTCOMES
from tiltmeter.views.dashboard.cards import overview_cards
from tiltmeter.views.dashboard.cohorts import RATE, cohorts, segment_table, week_table
from tiltmeter.views.dashboard.incident_story import story_of
from tiltmeter.views.dashboard.queries import SPANS, Scope, marks, series

NOW = datetime(2026, 3, 9, 5, tzinfo=UTC)
MIDNIGHT = NOW.replace(hour=0)
DAY = timedelta(days=1)
MODEL = Model("lead-scoring", segments=("plan",))
LATE = MODEL.outcomes.mature_after
every_span = pytest.mark.parametrize("span", list(SPANS))


class Judged:
    """A world whose outcomes the real monitor judged every day for 140 days; the newest cohort converts best."""

    def __init__(self, model=MODEL, *, days=140):
        self.state = self.log = self.clock = self
        self.zone = UTC
        self.models, self.rules = {model.name: model}, RuleSet(())
        self.fired = {}
        self.kept = []
        for back in range(days):
            end = MIDNIGHT - back * DAY
            self.kept += OUTCOMES.measure(model, Window(end - DAY, end, Grain.DAY), self)

    def now(self):
        return NOW

    def cohort(self, model, window, known):
        assert known - window.end == model.outcomes.mature_after
        score = np.tile([0.2, 0.8], 300)
        rate = 0.5 - 0.001 * (MIDNIGHT - known).days
        plans = np.where(np.arange(600) < 300, "team", "starter")
        return Cohort(
            score, np.arange(600) < 600 * rate, np.zeros(600), np.zeros(600, dtype=int), values={"plan": plans}
        )

    def metrics(self, query):
        return [
            m for m in self.kept
            if query.metric in (None, m.name) and m.name.startswith(query.prefix or "")
            and query.feature in (None, m.subject.feature) and query.grain in (None, m.window.grain)
            and query.segment in (None, (m.subject.segment_key, m.subject.segment_value))
            and query.since < m.window.end <= query.until
        ]  # fmt: skip

    def traffic(self, model, window):
        return []

    def alerts(self, model="", *, open_only=True):
        return self.fired


class Untold(Judged):
    """The same leads, and nobody who ever said what became of them."""

    def cohort(self, model, window, known):
        found = super().cohort(model, window, known)
        return replace(found, converted=np.zeros(600, dtype=bool), is_told=False)


def test_leads_of_which_nobody_reported_anything_have_no_conversion_rate():
    world = Untold()
    found = cohorts(world, shown("30 d", place="untold"))
    assert (found.rate, found.untold) == (None, 600)
    (card,) = [c for c in overview_cards(world, shown("30 d", place="untold"), []) if c.title == "Conversion"]
    assert (card.value, card.note) == ("–", "no outcome was reported")
    assert {m.name for m in world.kept} == {RATE}


@pytest.fixture(scope="module")
def judged():
    return Judged()


def shown(span, *, place="spans", model=MODEL):
    return Scope(place, model, "", ("", ""), NOW - SPANS[span], NOW)


@every_span
@pytest.mark.parametrize("late", [30, 90])
def test_the_newest_matured_cohort_is_found_and_the_one_a_week_before(span, late):
    model = replace(MODEL, outcomes=replace(MODEL.outcomes, mature_after=late * DAY))
    found = cohorts(Judged(model), shown(span, place=f"cohorts {late}", model=model))
    assert found.rate is not None
    assert found.rate.window.end == MIDNIGHT - late * DAY
    assert found.earlier[RATE].window.end == MIDNIGHT - (late + 7) * DAY


@every_span
def test_lines_weeks_and_segments_hold_what_matured_within_the_span(judged, span):
    scope = shown(span)
    line = series(judged, scope, RATE, grain=Grain.DAY)
    # A week further back than the span, for the cohort that the oldest one is held against.
    assert len(line) == SPANS[span] // DAY + 7
    assert line["time"].max() == MIDNIGHT - LATE
    weeks = week_table(judged, scope)
    assert len(weeks.dropna(subset=["value"])) > 0
    assert weeks["open"].any()
    segments = segment_table(judged, scope)
    assert sorted(segments["segment"]) == ["plan = starter", "plan = team"]
    assert segments["before"].notna().all()


@every_span
def test_the_conversion_card_has_a_number(judged, span):
    (card,) = [c for c in overview_cards(judged, shown(span), []) if c.title == "Conversion"]
    assert (card.value, card.note) == ("50.0%", "n = 600, matured")
    assert len(card.trend) > 1


def test_the_card_says_when_conversion_will_be_known_where_nothing_matured():
    (card,) = [c for c in overview_cards(Judged(days=0), shown("90 d", place="nothing"), []) if c.title == "Conversion"]
    assert (card.value, card.note) == ("–", "known after 30 days")


def outcome_alert(judged, *, fired):
    (metric,) = [m for m in judged.kept if (m.name, m.subject.segment_key, m.window.end) == (RATE, "", fired - LATE)]
    return Alert(
        "alr_1", "finger", "conversion", Subject(MODEL.name), AlertState.FIRING, Severity.WARNING, 1, fired, fired,
        None, fired, 0.4, 0.4, 1, incident="inc_1", metric=metric, breached_at=fired,
    )  # fmt: skip


def test_an_alert_about_outcomes_is_marked_at_the_cohort_that_it_fired_for():
    judged = Judged()
    fired = MIDNIGHT - 3 * DAY
    judged.fired["finger"] = outcome_alert(judged, fired=fired)
    table = marks(judged, shown("30 d", place="marked"), metrics="outcomes.")
    assert table["time"].tolist() == [fired - LATE]
    assert marks(judged, shown("30 d", place="marked"))["time"].tolist() == [fired]


@pytest.mark.parametrize("back", [0, 10, 60])
def test_an_incident_about_outcomes_is_drawn_around_the_cohort_that_opened_it(judged, back):
    fired = MIDNIGHT - back * DAY
    incident = Incident("inc_1", MODEL.name, IncidentState.OPEN, Severity.WARNING, fired, fired, Severity.WARNING)
    story = story_of(judged, f"incident {back}", incident, [outcome_alert(judged, fired=fired)])
    line = series(judged, story.scope, story.metric, grain=story.grain).dropna(subset=["value"])
    assert line["time"].min() < fired - LATE <= line["time"].max()


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    return hostile_home.build(tmp_path_factory.mktemp("late") / "home", [f"name{place}" for place in range(12)])


@pytest.mark.slow
@every_span
def test_the_outcomes_page_and_the_overview_show_them_in_every_span(page, hostile, span):
    outcomes = page("outcomes", hostile, span=span)
    assert "Conversion is steady" in " ".join(m.value for m in outcomes.markdown)
    assert not outcomes.info
    (card,) = [m for m in page("overview", hostile, span=span).metric if m.label == "Conversion"]
    assert card.value != "–"


@pytest.mark.slow
def test_a_home_without_matured_leads_says_when_the_first_numbers_come(page, small):
    (said,) = page("outcomes", small).info
    assert said.value.startswith("No matured leads in this span. A lead counts 30 days after it was scored")
