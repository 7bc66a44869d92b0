"""The tables behind the Outcomes page, from stored numbers alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.deciles import PRECISION_AT_K, RECALL_AT_K
from tiltmeter.views.dashboard.cohorts import (
    LEFT_OUT,
    LIFT,
    PRECISION,
    RATE,
    SCORED,
    Cohorts,
    decile_table,
    funnel_table,
    segment_table,
    week_table,
)
from tiltmeter.views.dashboard.comparing import by_segment
from tiltmeter.views.dashboard.queries import Scope

END = datetime(2026, 3, 9, tzinfo=UTC)


def numbers(*, leads, customers, predicted, hits, end=END, deciles=()):
    window, subject = Window(end - timedelta(days=7), end, Grain.DAY), Subject("lead-scoring")
    return {
        RATE: Metric(RATE, subject, window, customers / leads, n_current=leads),
        PRECISION: Metric(PRECISION, subject, window, hits / predicted if predicted else None, n_current=leads,
                          details={"predicted": predicted, "hits": hits}),
        LIFT: Metric(LIFT, subject, window, 2.0, n_current=leads, details={"deciles": list(deciles)}),
    }  # fmt: skip


NOW = numbers(leads=1_000, customers=80, predicted=200, hits=50, deciles=["100 2 0.01", "100 30 0.2"])
BEFORE = numbers(leads=2_000, customers=180, predicted=300, hits=90, end=END - timedelta(days=7))


def test_the_funnel_holds_each_step_against_the_week_before():
    table = funnel_table(Cohorts(NOW, BEFORE), 0.3)
    assert table["step"].tolist() == ["Leads scored", "Predicted (≥ 0.3)", "… of them customers", "Customers in all"]
    assert table["share"].tolist() == pytest.approx([1.0, 0.2, 0.05, 0.08])
    assert table["before"].tolist() == pytest.approx([1.0, 0.15, 0.045, 0.09])
    assert table["words"].tolist() == [
        "1,000", "200 · 20.0%, was 15.0%", "50 · 25.0% of these, was 30.0%", "80 · 8.0%, was 9.0%",
    ]  # fmt: skip


def test_without_a_week_before_the_funnel_compares_nothing():
    table = funnel_table(Cohorts(NOW, {}), 0.3)
    assert table["before"].isna().all()
    assert table["words"].tolist()[-1] == "80 · 8.0%"


def test_predictions_that_were_all_wrong_are_still_counted():
    table = funnel_table(Cohorts(numbers(leads=100, customers=5, predicted=20, hits=0), {}), 0.3)
    assert table["words"].tolist() == ["100", "20 · 20.0%", "0 · 0.0% of these", "5 · 5.0%"]


def test_numbers_of_an_older_release_show_the_steps_that_are_known():
    old = {RATE: NOW[RATE]}
    assert funnel_table(Cohorts(old, {}), 0.3)["step"].tolist() == ["Leads scored", "Customers in all"]
    assert not len(decile_table(Cohorts(old, {})))


def test_tenths_say_whether_the_score_kept_its_promise():
    table = decile_table(Cohorts(NOW, {}))
    # By Wilson's formula 2 of 100 lie between 0.55 % and 7.0 %, 30 of 100 between 21.9 % and 39.6 %.
    assert table["lower"].tolist() == pytest.approx([0.0055, 0.2189], abs=5e-5)
    assert table["upper"].tolist() == pytest.approx([0.0700, 0.3958], abs=5e-5)
    assert table["kept"].tolist() == [True, False]


MODEL = Model("lead-scoring", segments=("plan",))
SCOPE = Scope("here", MODEL, "", ("", ""), END - timedelta(days=30), END + timedelta(days=1))


class Stored:
    """A state store that holds these numbers."""

    def __init__(self, *metrics):
        self.state = self
        self.zone = UTC
        self.kept = metrics

    def metrics(self, query):
        return [
            m for m in self.kept
            if m.name == query.metric and query.feature in (None, m.subject.feature)
            and query.since < m.window.end <= query.until
        ]  # fmt: skip


def measured(name, value, *, plan="", days=0, feature="", leads=100):
    # Cohorts end where their leads were scored, 30 days before the day that judges them.
    end = END - timedelta(days=days + (30 if name == RATE else 0))
    subject = Subject("lead-scoring", "", feature, "plan" if plan else "", plan)
    return Metric(name, subject, Window(end - timedelta(days=1), end, Grain.DAY), value, n_current=leads)


def test_segments_that_fell_most_stand_first_and_the_week_before_is_found_by_its_date():
    rates = {"team": (0.04, 0.08), "starter": (0.10, 0.10)}
    stored = [measured(RATE, 0.05), measured(RATE, 0.09, days=7)]
    for plan, (now, before) in rates.items():
        stored += [measured(RATE, now, plan=plan), measured(RATE, before, plan=plan, days=7)]
        # A day between them is not a week earlier, whatever is missing.
        stored += [measured(RATE, 0.5, plan=plan, days=days) for days in (2, 6, 8)]
        stored += [measured("drift.score_psi", 0.3, plan=plan), measured("drift.score_psi", 0.2, plan=plan, days=7)]
    stored.append(measured(RATE, 0.9, plan="new"))
    table = segment_table(Stored(*stored), replace(SCOPE, place="segments"))
    assert table["segment"].tolist() == ["plan = team", "plan = starter", "plan = new"]
    assert table["before"].tolist()[:2] == [0.08, 0.10]
    assert table["lift"].tolist() == pytest.approx([0.8, 2.0, 18.0])
    assert table[["psi", "psi_before"]].iloc[0].tolist() == [0.3, 0.2]
    assert table["before"].isna().tolist() == [False, False, True]


def test_all_segments_are_of_the_same_newest_leads_and_one_that_stopped_is_left_out():
    stored = [measured(RATE, 0.05), measured(RATE, 0.09, days=7)]
    stored += [measured(name, value, plan="team") for name, value in ((RATE, 0.04), ("drift.score_psi", 0.3))]
    # Five weeks ago a partner stopped; another sent no lead in the newest week only.
    stored += [measured(RATE, 0.08, plan="gone", days=days) for days in (35, 42)]
    stored += [measured("drift.score_psi", 0.9, plan="gone", days=35), measured(RATE, 0.07, plan="late", days=7)]
    # Its score has no newest day: the number of another day does not stand in its place.
    stored += [measured(RATE, 0.06, plan="quiet"), measured("drift.score_psi", 0.8, plan="quiet", days=2)]
    scope = replace(SCOPE, place="stopped", start=END - timedelta(days=60))
    table = segment_table(Stored(*stored), scope)
    assert sorted(table["segment"]) == ["plan = quiet", "plan = team"]
    assert table.attrs[LEFT_OUT] == 2
    assert table.attrs[SCORED] == "06 Feb to 06 Feb 2026"
    assert table.set_index("segment")["psi"].isna().to_dict() == {"plan = quiet": True, "plan = team": False}


def test_a_segment_that_is_as_far_from_the_rest_as_ever_did_not_move():
    stored = [
        measured("drift.psi", 1.1, plan="team", feature="age"),
        measured("drift.psi", 1.1, plan="team", feature="age", days=7),
        measured("drift.psi", 0.4, plan="starter", feature="age"),
        measured("drift.psi", 0.1, plan="starter", feature="age", days=7),
    ]
    table = by_segment(Stored(*stored), replace(SCOPE, place="moved"), END, "age")
    assert table["segment"].tolist() == ["plan = starter", "plan = team"]
    assert table["before"].tolist() == [0.1, 1.1]


def test_weeks_that_are_not_mature_yet_stand_behind_those_that_are():
    def at_k(name, value, n, days):
        subject, end = Subject("lead-scoring"), END - timedelta(days=days + 30)
        return Metric(
            name, subject, Window(end - timedelta(days=7), end, Grain.DAY), value, lower=0.1, upper=0.4, n_current=n
        )

    stored = [at_k(name, 0.2, n, days) for days in (0, 3, 7) for name, n in ((PRECISION_AT_K, 50), (RECALL_AT_K, 80))]
    table = week_table(Stored(*stored), replace(SCOPE, place="weeks", end=END))
    precision = table[table["metric"] == PRECISION_AT_K]
    # The newest matured week ended 30 days ago, on 7 February.
    assert precision["week"].tolist() == ["24 Jan", "31 Jan", "07 Feb", "14 Feb", "21 Feb", "28 Feb", "07 Mar"]
    assert precision["open"].tolist() == [False] * 2 + [True] * 5
    assert precision["words"].tolist() == ["n = 50"] * 2 + ["not mature yet"] * 5
    assert precision["value"].tolist()[:2] == [0.2, 0.2]
    assert table[table["metric"] == RECALL_AT_K]["words"].tolist()[0] == "n = 80"
    assert not len(week_table(Stored(), replace(SCOPE, place="none")))
