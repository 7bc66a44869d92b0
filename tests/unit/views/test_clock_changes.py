"""Clocks are moved twice a year: a week is then an hour longer or shorter, and is a week all the same."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.monitors.deciles import LIFT
from tiltmeter.views.dashboard.cohorts import PRECISION, RATE, cohorts, funnel_table, segment_table
from tiltmeter.views.dashboard.comparing import by_segment
from tiltmeter.views.dashboard.queries import Scope

BERLIN = ZoneInfo("Europe/Berlin")
MODEL = Model("lead-scoring", segments=("plan",))
LATE = MODEL.outcomes.mature_after
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)
DAYS = [
    pytest.param(datetime(2026, 10, 27, 12, tzinfo=UTC), WEEK + HOUR, id="set back"),
    pytest.param(datetime(2026, 3, 31, 12, tzinfo=UTC), WEEK - HOUR, id="put forward"),
]


class Stored:
    """A state store that holds these numbers."""

    def __init__(self, *metrics):
        self.state = self
        self.zone = BERLIN
        self.kept = metrics

    def metrics(self, query):
        return [
            m for m in self.kept
            if query.metric in (None, m.name) and m.name.startswith(query.prefix or "")
            and query.feature in (None, m.subject.feature)
            and query.segment in (None, (m.subject.segment_key, m.subject.segment_value))
            and query.since < m.window.end <= query.until
        ]  # fmt: skip


def judged_days(noon):
    """The day that holds the moment and the one a week earlier, as the schedule cuts them."""
    return window_at(noon, Grain.DAY, BERLIN), window_at(noon - WEEK, Grain.DAY, BERLIN)


def outcomes_of(day, rate, *, plan=""):
    subject = Subject(MODEL.name, "", "", "plan" if plan else "", plan)
    window = Window(day.end - LATE - WEEK, day.end - LATE, Grain.DAY)
    details = {"predicted": 100, "hits": 30}
    return [
        Metric(RATE, subject, window, rate, lower=rate - 0.01, upper=rate + 0.01, n_current=500),
        Metric(PRECISION, subject, window, 0.3, n_current=500, details=details),
        Metric(LIFT, subject, window, 2.0, n_current=500),
    ]


def scope_at(end, place, *, hours=24):
    return Scope(place, MODEL, "", ("", ""), end - timedelta(hours=hours), end)


@pytest.mark.parametrize(("noon", "apart"), DAYS)
def test_the_cohort_a_week_earlier_is_found_across_a_clock_change(noon, apart):
    now, before = judged_days(noon)
    assert now.end - before.end == apart
    world = Stored(*outcomes_of(now, 0.08), *outcomes_of(before, 0.09))
    for later in (timedelta(0), 23 * HOUR):  # just judged, and right before the next day is
        found = cohorts(world, scope_at(now.end + later, f"clock {noon} {later}"))
        assert found.rate.window.end == now.end - LATE
        assert found.earlier[RATE].value == 0.09
        assert funnel_table(found, 0.5)["before"].notna().all()


@pytest.mark.parametrize(("noon", "apart"), DAYS)
def test_segments_are_held_against_their_week_before_across_a_clock_change(noon, apart):
    now, before = judged_days(noon)
    assert now.end - before.end == apart
    stored = [metric for day, rate in ((now, 0.08), (before, 0.09)) for plan in ("", "team")
              for metric in outcomes_of(day, rate, plan=plan)]  # fmt: skip
    of_plan = Subject(MODEL.name, "", "", "plan", "team")
    stored += [Metric("drift.score_psi", of_plan, day, psi, n_current=90) for day, psi in ((now, 0.3), (before, 0.2))]
    for later in (timedelta(0), 23 * HOUR):
        (row,) = segment_table(Stored(*stored), scope_at(now.end + later, f"parts {noon} {later}")).to_dict("records")
        assert (row["conversion"], row["before"], row["psi"], row["psi_before"]) == (0.08, 0.09, 0.3, 0.2)


@pytest.mark.parametrize(("noon", "apart"), DAYS)
def test_the_drift_of_a_segment_is_held_against_its_week_before_across_a_clock_change(noon, apart):
    now, before = judged_days(noon)
    assert now.end - before.end == apart
    subject = Subject(MODEL.name, "", "age", "plan", "team")
    world = Stored(*(Metric("drift.psi", subject, day, psi, n_current=90) for day, psi in ((now, 0.3), (before, 0.1))))
    for later in (timedelta(0), 23 * HOUR):
        table = by_segment(world, scope_at(now.end, f"drift {noon}"), now.end + later, "age")
        assert table[["psi", "before"]].to_numpy().tolist() == [[0.3, 0.1]]
