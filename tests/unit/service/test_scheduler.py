"""The scheduler over real tables: each window once, in order, through restarts, late rows and clocks that jump."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import structlog

from company import MODEL, Company, judged
from tables import FakeClock
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.window import Grain
from tiltmeter.ports import MetricQuery
from tiltmeter.service.clock_jumps import ClockJumps
from tiltmeter.service.scheduler import LIVE

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def company(tmp_path):
    made = Company(tmp_path, at=MONDAY)
    yield made
    made.close()


def values(company, name, grain=Grain.HOUR):
    return {m.window.end: m.value for m in company.world.state.metrics(MetricQuery(metric=name, grain=grain))}


def test_every_due_window_is_judged_once_and_in_order(company):
    company.add(MONDAY, MONDAY + 8 * HOUR)
    runs = company.pass_time(MONDAY + 8 * HOUR)
    hours = judged(runs, "features")
    assert [w.end for w in hours] == [MONDAY + n * HOUR for n in range(1, 8)]
    assert company.pass_time(MONDAY + 8 * HOUR + timedelta(minutes=4)) == []


def test_a_restart_judges_nothing_again(company):
    company.add(MONDAY, MONDAY + 5 * HOUR)
    first = judged(company.pass_time(MONDAY + 4 * HOUR), "features")
    second = judged(company.reopen().pass_time(MONDAY + 6 * HOUR), "features")
    assert set(first).isdisjoint(second)
    assert [*first, *second] == sorted({*first, *second})


def test_a_window_that_waits_for_rows_is_not_late_and_one_that_is_not_judged_is(company):
    wait = company.scheduler.calendar.wait
    company.add(MONDAY, MONDAY + 5 * HOUR)
    company.pass_time(MONDAY + 5 * HOUR + timedelta(minutes=10))
    end = MONDAY + 6 * HOUR  # no row of this hour comes
    for now, lag in ((end + wait - HOUR, 0), (end + wait, 0), (end + wait + HOUR, 3600)):
        company.clock.at = now
        assert company.scheduler.lag(now) == lag, now
    company.turn()
    assert company.scheduler.lag(company.clock.at) == 0


def test_late_rows_are_counted_in_the_window_they_belong_to(company):
    company.add(MONDAY, MONDAY + 6 * HOUR)
    company.pass_time(MONDAY + 6 * HOUR)
    company.add(MONDAY + 2 * HOUR, MONDAY + 3 * HOUR, hourly=5)
    again = judged(company.turn(), "features")
    assert again == company.windows(MONDAY + 2 * HOUR, MONDAY + 3 * HOUR, Grain.HOUR)
    assert values(company, "features.rows")[MONDAY + 3 * HOUR] == 12 * 3 + 5  # a span of the day so far: too few rows
    assert company.turn() == []


def test_rows_later_than_the_horizon_reopen_nothing(company):
    company.scheduler.reopen_for = 4 * HOUR
    company.add(MONDAY, MONDAY + 10 * HOUR)
    company.pass_time(MONDAY + 10 * HOUR)
    company.add(MONDAY + HOUR, MONDAY + 2 * HOUR)
    assert judged(company.turn(), "features") == []


def test_a_crash_between_the_profile_and_the_judgement_of_late_rows_forgets_neither(company):
    company.add(MONDAY, MONDAY + 6 * HOUR)
    company.pass_time(MONDAY + 6 * HOUR)
    company.add(MONDAY + 2 * HOUR, MONDAY + 3 * HOUR, hourly=5)
    company.scheduler._observe(company.model, company.clock.at)  # and then the machine is switched off
    again = judged(company.reopen().turn(), "features")
    assert again == company.windows(MONDAY + 2 * HOUR, MONDAY + 3 * HOUR, Grain.HOUR)


def test_a_job_that_failed_while_the_service_was_away_is_told_after_it_is_back(tmp_path):
    company = Company(tmp_path, at=MONDAY + 12 * HOUR, jobs="{nightly: {expect_every: 24h, grace: 2h}}")
    company.add(MONDAY, MONDAY + 12 * HOUR)
    company.pass_time(MONDAY + 13 * HOUR)
    company.close()
    company.add_job(MONDAY + 14 * HOUR, state="FAILED")
    company.clock.pass_(26 * 3600)
    company.open()
    live = [run for run in company.turn() if run.monitor == LIVE]
    assert [a.rule for run in live for a in run.alerts if a.rule == "job_failed"] == ["job_failed"]
    company.close()


class Locked:
    """A state store whose next commit fails as a locked database does."""

    def __init__(self, inner):
        self.inner, self.failing = inner, True

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def commit(self, run, *, lease=None):
        if self.failing:
            self.failing = False
            raise StoreError("database is locked", retryable=True)
        return self.inner.commit(run, lease=lease)


def test_a_turn_that_failed_is_made_up_for_by_the_next(tmp_path):
    company = Company(tmp_path, at=MONDAY + 12 * HOUR, jobs="{nightly: {expect_every: 24h, grace: 2h}}")
    company.add(MONDAY, MONDAY + 12 * HOUR)
    company.pass_time(MONDAY + 12 * HOUR + timedelta(minutes=3), step=timedelta(minutes=1))
    company.add_job(company.clock.at - timedelta(minutes=9), state="FAILED")
    company.world = replace(company.world, state=Locked(company.world.state))
    company.scheduler = company.make_scheduler()
    company.clock.pass_(60)
    with pytest.raises(StoreError):
        company.turn()
    company.clock.pass_(120)
    found = [a.rule for run in company.turn() for a in run.alerts]
    assert "job_failed" in found
    company.close()


def test_changed_rules_are_in_force_from_the_next_turn_on_live_ones_included(tmp_path):
    company = Company(tmp_path, at=MONDAY + 12 * HOUR, jobs="{nightly: {expect_every: 24h, grace: 2h}}")
    company.add(MONDAY, MONDAY + 12 * HOUR)
    company.turn()
    without = tuple(rule for rule in company.world.rules.rules if rule.id != "job_failed")
    company.scheduler.use(replace(company.world.rules, rules=without))
    company.add_job(MONDAY + 12 * HOUR, state="FAILED")
    company.pass_time(MONDAY + 12 * HOUR + timedelta(minutes=30), step=timedelta(minutes=10))
    assert "job_failed" not in {alert.rule for alert in company.world.state.alerts(MODEL, open_only=False).values()}
    company.close()


# ---- outages


def test_after_26_hours_each_missed_window_is_judged_once_in_order_and_told_once(company):
    company.add(MONDAY, MONDAY + 12 * HOUR)
    company.pass_time(MONDAY + 12 * HOUR)
    company.add(MONDAY + 12 * HOUR, MONDAY + 38 * HOUR, source="partner-x")
    company.clock.pass_(26 * 3600)
    runs = company.turn()
    hours = judged(runs, "features")
    assert hours == company.windows(MONDAY + 11 * HOUR, MONDAY + 37 * HOUR, Grain.HOUR)
    assert judged(runs, "drift", Grain.DAY) == company.windows(MONDAY, MONDAY + DAY, Grain.DAY)
    ends = [(run.window.end, run.window.length) for run in runs if run.window.grain is not Grain.LIVE]
    assert ends == sorted(ends)
    assert company.turn() == []


def test_a_three_day_outage_makes_one_digest_of_what_is_late(company):
    company.add(MONDAY, MONDAY + DAY + 7 * HOUR, hourly=12)
    company.pass_time(MONDAY + DAY + 7 * HOUR)
    before = len(company.world.state.deliveries())
    company.add(MONDAY + DAY + 7 * HOUR, MONDAY + 4 * DAY + 9 * HOUR, hourly=12, source="partner-x")
    company.clock.at = MONDAY + 4 * DAY + 9 * HOUR
    runs = company.turn()
    assert judged(runs, "drift", Grain.DAY) == company.windows(MONDAY + DAY, MONDAY + 4 * DAY, Grain.DAY)
    told = company.world.state.deliveries()[before:]
    per_incident = {d.message.incident for d in told}
    assert len(told) == len(per_incident) == 1
    assert "made up after the monitor was down" in told[0].message.content.facts["Evaluated late"]


# ---- clocks that jump


@pytest.mark.parametrize(
    "jump",
    [
        -HOUR, HOUR, 20 * DAY, pytest.param(400 * DAY, marks=pytest.mark.faults),
        datetime(1970, 1, 2, tzinfo=UTC) - MONDAY,
    ],
)  # fmt: skip
def test_a_clock_that_jumped_for_a_while_loses_and_doubles_no_window(company, jump):
    company.add(MONDAY, MONDAY + 12 * HOUR)
    runs = company.pass_time(MONDAY + 6 * HOUR)
    right = company.clock.at
    company.clock.at = right + jump
    runs += company.pass_time(right + jump + timedelta(minutes=20), step=timedelta(minutes=10))
    company.clock.at = right + timedelta(minutes=20)
    runs += company.pass_time(MONDAY + 12 * HOUR)
    hours = [w for w in judged(runs, "features") if w.end <= MONDAY + 11 * HOUR]
    assert sorted(set(hours)) == company.windows(MONDAY, MONDAY + 11 * HOUR, Grain.HOUR)
    assert len(values(company, "features.rows")) >= 11
    kept = company.world.state.metrics(MetricQuery(metric="features.rows", grain=Grain.HOUR))
    assert len(kept) == len({m.window for m in kept})


def test_rows_of_a_wrong_clock_are_named_and_move_neither_end_of_history(company):
    company.add(MONDAY, MONDAY + 3 * HOUR)
    for wrong in (datetime(1970, 1, 2, tzinfo=UTC), MONDAY + 400 * DAY):
        company.add(wrong, wrong + HOUR)
    with structlog.testing.capture_logs() as said:
        runs = company.pass_time(MONDAY + 4 * HOUR)
    assert [e["hours"] for e in said if e["event"] == "records_out_of_time"] == [3]  # and 02:00, an hour ahead
    assert judged(runs, "features") == company.windows(MONDAY, MONDAY + 3 * HOUR, Grain.HOUR)
    assert company.reopen().scheduler._seen.newest(company.model, company.clock.at) == MONDAY + 3 * HOUR


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 400 * 86400.0])
def test_nothing_is_judged_until_a_clock_that_jumped_has_stood_its_ground(seconds):
    clock = FakeClock(MONDAY)
    jumps = ClockJumps(clock)
    assert jumps.is_settled()
    clock.pass_(10)
    assert jumps.is_settled()
    clock.at += timedelta(seconds=seconds)
    clock.pass_(10)
    assert not jumps.is_settled()
    clock.pass_(280)
    assert not jumps.is_settled()
    clock.pass_(30)
    assert jumps.is_settled()


def test_a_jump_that_is_undone_costs_nothing_more():
    clock = FakeClock(MONDAY)
    jumps = ClockJumps(clock)
    jumps.is_settled()
    clock.at += 400 * DAY
    clock.pass_(10)
    assert not jumps.is_settled()
    clock.at -= 400 * DAY
    clock.pass_(10)
    assert jumps.is_settled()


# ---- clock changes of the zone


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Paris", datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        ("Europe/Paris", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        ("America/New_York", datetime(2026, 11, 1, 4, tzinfo=UTC), 25),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 13, tzinfo=UTC), 25),
        ("Asia/Kolkata", datetime(2026, 10, 24, 18, 30, tzinfo=UTC), 24),
    ],
)
def test_a_day_on_which_the_clocks_change_is_one_day_of_all_its_hours(tmp_path, zone, day, hours):
    company = Company(tmp_path, zone=zone, at=day - timedelta(minutes=10))
    (whole,) = company.windows(day, day + timedelta(hours=26), Grain.DAY)[:1]
    assert whole.start == day
    company.add(day - HOUR, whole.end + 8 * HOUR, hourly=12)
    runs = company.pass_time(whole.end + 7 * HOUR, step=timedelta(minutes=15))
    seen = [w for w in judged(runs, "features") if whole.start <= w.start < whole.end]
    assert len(seen) == len(set(seen)) == hours
    assert all(one.end == other.start for one, other in pairwise(seen))
    assert judged(runs, "drift", Grain.DAY).count(whole) == 1
    rows = {
        m.window: m.value for m in company.world.state.metrics(MetricQuery(metric="features.rows", grain=Grain.DAY))
    }
    real = (whole.end - whole.start) / HOUR
    assert rows[whole] == pytest.approx(12 * real)
    company.close()


def test_a_week_with_a_clock_change_is_judged_once(tmp_path):
    sunday_night = datetime(2026, 10, 18, 22, tzinfo=UTC)
    company = Company(tmp_path, zone="Europe/Paris", at=sunday_night)
    company.add(sunday_night, sunday_night + 8 * DAY, hourly=1)
    runs = company.pass_time(sunday_night + 8 * DAY, step=3 * HOUR)
    (week,) = judged(runs, "drift", Grain.WEEK)
    assert week.length == 7 * DAY + HOUR
    assert len(judged(runs, "drift", Grain.DAY)) == 7
    company.close()


def test_the_model_of_every_run_is_the_companys(company):
    company.add(MONDAY, MONDAY + 2 * HOUR)
    assert {run.model for run in company.pass_time(MONDAY + 3 * HOUR)} == {MODEL}
