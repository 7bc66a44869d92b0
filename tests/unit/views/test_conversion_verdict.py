"""The first line of Outcomes and the card of the overview say what the rules and open alerts say, then what changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tiltmeter.domain.alert import Alert, AlertState, Incident, IncidentState
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.rule import Limit, Rule, RuleSet
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.statistics.intervals import wilson
from tiltmeter.views.dashboard.cards import overview_cards
from tiltmeter.views.dashboard.cohorts import RATE
from tiltmeter.views.dashboard.conversion_verdict import conversion_standing, open_incidents
from tiltmeter.views.dashboard.queries import Scope

NOW = datetime(2026, 3, 9, 5, tzinfo=UTC)
MODEL = Model("lead-scoring", segments=("plan",))
NEWEST = NOW.replace(hour=0) - MODEL.outcomes.mature_after
WEEK = timedelta(days=7)
LOW = Rule("low_conversion", RATE, {Severity.CRITICAL: Limit(below=0.05)}, min_rows=100)


def rate(customers, leads=5_000, *, end=NEWEST, status=Status.OK, subject=None):
    low, high = wilson(customers, leads)
    return Metric(
        RATE, subject or Subject(MODEL.name), Window(end - WEEK, end, Grain.DAY), customers / leads, status,
        lower=low, upper=high, n_current=leads,
    )  # fmt: skip


class Stored:
    """A world of stored numbers, alerts and incidents."""

    def __init__(self, *metrics, rules=(), alerts=()):
        self.state = self.log = self.clock = self.baselines = self.states = self
        self.rules, self.kept, self.fired = RuleSet(tuple(rules)), metrics, alerts

    def now(self):
        return NOW

    def metrics(self, query):
        return [
            m for m in self.kept
            if query.metric in (None, m.name) and query.since < m.window.end <= query.until
            and query.segment in (None, (m.subject.segment_key, m.subject.segment_value))
        ]  # fmt: skip

    def traffic(self, model, window):
        return []

    def alerts(self, model="", *, open_only=True):
        return {one.fingerprint: one for one in self.fired}

    def incidents(self, model="", *, open_only=True):
        return [
            Incident(one.incident, MODEL.name, IncidentState.OPEN, one.severity, one.fired_at, one.fired_at,
                     one.severity, title=f"about {one.metric.name}")
            for one in self.fired
        ]  # fmt: skip


def firing(metric, *, back=21, name="1", severity=Severity.CRITICAL):
    fired = NOW - timedelta(days=back)
    return Alert(
        f"alr_{name}", f"finger {name}", LOW.id, metric.subject, AlertState.FIRING, severity, 1, fired, fired, None,
        fired, metric.value, metric.value, 1, incident=f"inc_{name}", metric=metric, breached_at=fired,
    )  # fmt: skip


def scope_of(place, **given):
    return replace(Scope(place, MODEL, "", ("", ""), NOW - timedelta(days=30), NOW), **given)


def conversion_card(world, place):
    (card,) = [c for c in overview_cards(world, scope_of(place), []) if c.title == "Conversion"]
    return card


def test_a_breached_rule_is_said_first_though_nothing_changed():
    now, before = rate(200), rate(205, end=NEWEST - WEEK)
    world = Stored(now, before, rules=[LOW], alerts=[firing(now)])
    said = conversion_standing(world, scope_of("breached"), now, before)
    assert (said.severity, said.title) == (Severity.CRITICAL, "Conversion is below the critical limit of 5.0%")
    assert "0.1 points lower than the week before (4.1%); within chance" in said.words
    assert conversion_card(world, "breached").severity is Severity.CRITICAL


def test_an_alert_that_is_still_open_colours_a_newest_week_that_is_back():
    now, before = rate(300), rate(305, end=NEWEST - WEEK)
    world = Stored(now, before, rules=[LOW], alerts=[firing(rate(200, end=NEWEST - 3 * WEEK))])
    said = conversion_standing(world, scope_of("open"), now, before)
    assert (said.severity, said.title) == (Severity.CRITICAL, "Conversion: critical")
    assert "an alert of it (critical) is still open" in said.words
    assert conversion_card(world, "open").severity is Severity.CRITICAL


def test_without_a_rule_no_colour_of_one_is_shown():
    now, before = rate(200), rate(400, end=NEWEST - WEEK)
    world = Stored(now, before)
    said = conversion_standing(world, scope_of("unruled"), now, before)
    assert (said.severity, said.title) == (Severity.INFO, "Conversion fell")
    assert conversion_card(world, "unruled").severity is Severity.NONE


@pytest.mark.parametrize(
    ("now", "before", "title", "words"),
    [
        # Newcombe's interval by hand from Wilson's of 6.7 % and 8.0 % of 5,000: -2.3 to -0.3 points; p is 0.013.
        (335, 400, "Conversion fell", "more than chance explains (95 % interval of the change −2.3 to −0.3 points)"),
        (400, 335, "Conversion rose", "more than chance explains (95 % interval of the change +0.3 to +2.3 points)"),
        (370, 400, "Conversion is steady", "within chance (95 % interval of the change −1.6 to +0.4 points)"),
    ],
)
def test_the_change_is_held_against_the_interval_of_the_difference(now, before, title, words):
    said = conversion_standing(Stored(), scope_of("apart"), rate(now), rate(before, end=NEWEST - WEEK))
    assert said.title == title
    assert words in said.words


def test_a_rule_that_could_not_judge_says_so():
    now = rate(9, 90, status=Status.TOO_FEW_ROWS)
    said = conversion_standing(Stored(rules=[LOW]), scope_of("few"), now, None)
    assert (said.severity, said.title) == (Severity.NONE, "Not judged")
    assert "its rule does not judge it: too few rows" in said.words


def test_incidents_about_outcomes_are_named_whatever_the_rate_says():
    precision = Metric("outcomes.precision", Subject(MODEL.name), Window(NEWEST - WEEK, NEWEST, Grain.DAY), 0.1)
    drift = replace(precision, name="drift.psi")
    of_plan = rate(10, subject=Subject(MODEL.name, "", "", "plan", "team"))
    world = Stored(alerts=[
        firing(precision, name="precision", severity=Severity.WARNING), firing(drift, name="drift"),
        firing(of_plan, name="plan"),
    ])  # fmt: skip
    assert [one.id for one in open_incidents(world, scope_of("all"))] == ["inc_plan", "inc_precision"]
    starter = scope_of("one", segment=("plan", "starter"))
    assert [one.id for one in open_incidents(world, starter)] == ["inc_precision"]
    # The alert of a part does not colour the rate of the whole.
    assert not conversion_standing(world, scope_of("all"), rate(300), None).severity
