"""Every window is due exactly once, whatever the clock of the zone does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.window import Grain, window_at
from tiltmeter.service.calendar import Calendar

CRON = {Grain.HOUR: "5 * * * *", Grain.DAY: "0 6 * * *", Grain.WEEK: "0 7 * * 1"}


def calendar(zone: str, **cron: str) -> Calendar:
    return Calendar(ZoneInfo(zone), {**CRON, **{Grain(k): v for k, v in cron.items()}}, timedelta(hours=2))


def walked(cal: Calendar, start: datetime, end: datetime, grain: Grain, step: timedelta) -> list:
    """Windows in the order in which a service that looks at the clock every `step` judges them."""
    after, now, seen = start, start, []
    while now <= end:
        for window in cal.due(after, now, grain):
            seen.append(window)
            after = window.end
        now += step
    return seen


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        ("Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        ("America/New_York", datetime(2026, 11, 1, 4, tzinfo=UTC), 25),
        ("Asia/Kolkata", datetime(2026, 10, 24, 18, 30, tzinfo=UTC), 24),
        ("Pacific/Apia", datetime(2026, 10, 24, 11, tzinfo=UTC), 24),
    ],
)
def test_each_hour_of_a_changing_day_is_due_once(zone, start, hours):
    end = start + timedelta(hours=hours, minutes=6)
    seen = walked(calendar(zone), start, end, Grain.HOUR, timedelta(minutes=1))
    assert len(seen) == len(set(seen)) == hours
    assert all(one.end == other.start for one, other in pairwise(seen))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])
def test_a_year_has_each_day_and_each_week_once(zone):
    start = window_at(datetime(2026, 1, 5, 12, tzinfo=UTC), Grain.WEEK, ZoneInfo(zone)).start
    end = start + timedelta(days=364, hours=12)
    days = walked(calendar(zone), start, end, Grain.DAY, timedelta(hours=1))
    weeks = walked(calendar(zone), start, end, Grain.WEEK, timedelta(hours=1))
    assert len(days) == len(set(days)) == 364
    assert len(weeks) == len(set(weeks)) == 52


def test_a_service_that_was_away_finds_every_window_in_order():
    start = datetime(2026, 11, 20, 23, tzinfo=UTC)
    found = list(calendar("Europe/Berlin").due(start, start + timedelta(hours=26), Grain.HOUR))
    assert len(found) == 25
    assert found == sorted(found)


def test_a_day_is_due_in_the_morning_of_its_own_time_zone():
    window = window_at(datetime(2026, 11, 22, 12, tzinfo=UTC), Grain.DAY, ZoneInfo("Europe/Berlin"))
    due = calendar("Europe/Berlin").due_at(window)
    assert due == datetime(2026, 11, 23, 5, tzinfo=UTC)


def test_a_schedule_at_the_very_end_of_a_window_counts():
    window = window_at(datetime(2026, 11, 22, 12, tzinfo=UTC), Grain.DAY, ZoneInfo("UTC"))
    assert calendar("UTC", day="0 0 * * *").due_at(window) == window.end


def test_a_schedule_that_cannot_be_read_says_so():
    window = window_at(datetime(2026, 11, 22, 12, tzinfo=UTC), Grain.HOUR, ZoneInfo("UTC"))
    with pytest.raises(ConfigError, match="61"):
        calendar("UTC", hour="61 * * * *").due_at(window)
