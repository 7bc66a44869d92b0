"""Windows on the calendar of a business time zone. Offsets and dates of the changes: IANA time zone data base."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.domain.window import Grain, Window, hours_of, window_at, windows_between

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe", "UTC"]
CALENDAR = [Grain.HOUR, Grain.DAY, Grain.WEEK, Grain.MONTH]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC), 23),
        ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC), 25),
        ("America/New_York", datetime(2026, 3, 8, 17, tzinfo=UTC), 23),
        ("America/New_York", datetime(2026, 11, 1, 17, tzinfo=UTC), 25),
        ("Asia/Kolkata", datetime(2026, 10, 25, 12, tzinfo=UTC), 24),
    ],
)
def test_a_day_has_as_many_hours_as_the_clock_says(zone, day, hours):
    window = window_at(day, Grain.DAY, ZoneInfo(zone))
    assert window.length == timedelta(hours=hours)
    assert len(hours_of(window, ZoneInfo(zone))) == hours


def test_the_two_hours_of_an_autumn_night_are_two_windows():
    zone = ZoneInfo("Europe/Berlin")
    first = window_at(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), Grain.HOUR, zone)
    second = window_at(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), Grain.HOUR, zone)
    assert first.start.astimezone(zone).hour == second.start.astimezone(zone).hour == 2
    assert first.end == second.start


def test_hours_of_a_half_hour_zone_start_on_its_own_clock():
    window = window_at(datetime(2026, 6, 1, 12, 10, tzinfo=UTC), Grain.HOUR, ZoneInfo("Asia/Kolkata"))
    assert window.start == datetime(2026, 6, 1, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "length", "short"),
    [
        # Clocks went from +11:00 to +10:30 at 15:00 UTC on 4 April, and back at 15:30 UTC on 3 October 2026.
        (datetime(2026, 4, 5, 0, tzinfo=UTC), timedelta(hours=24, minutes=30), datetime(2026, 4, 4, 15, tzinfo=UTC)),
        (
            datetime(2026, 10, 4, 0, tzinfo=UTC),
            timedelta(hours=23, minutes=30),
            datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        ),
    ],
)
def test_a_change_of_half_an_hour_makes_one_short_hour_and_none_overlaps(day, length, short):
    zone = ZoneInfo("Australia/Lord_Howe")
    window = window_at(day, Grain.DAY, zone)
    hours = list(windows_between(window.start, window.end, Grain.HOUR, zone))
    assert window.length == length
    assert all(one.end == other.start for one, other in pairwise(hours))
    assert (hours[0].start, hours[-1].end) == (window.start, window.end)
    assert [h.start for h in hours if h.length == timedelta(minutes=30)] == [short]
    assert window_at(short + timedelta(minutes=20), Grain.HOUR, zone).start == short


def test_the_day_that_a_zone_skipped_does_not_exist():
    zone = ZoneInfo("Pacific/Apia")  # there was no 30 December 2011
    days = list(
        windows_between(datetime(2011, 12, 28, 12, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC), Grain.DAY, zone)
    )
    assert [window.start.astimezone(zone).day for window in days] == [28, 29, 31, 1]
    assert all(one.end == other.start for one, other in pairwise(days))


def test_weeks_start_on_monday_and_months_on_the_first():
    zone = ZoneInfo("Europe/Berlin")
    week = window_at(datetime(2026, 11, 26, tzinfo=UTC), Grain.WEEK, zone)
    month = window_at(datetime(2026, 11, 26, tzinfo=UTC), Grain.MONTH, zone)
    assert week.start.astimezone(zone).strftime("%a %d %H:%M") == "Mon 23 00:00"
    assert month.start.astimezone(zone).strftime("%d %H:%M") == "01 00:00"
    assert month.end.astimezone(zone).strftime("%m-%d") == "12-01"


MOMENTS = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds


@given(moment=MOMENTS, zone=st.sampled_from(ZONES), grain=st.sampled_from(CALENDAR))
def test_a_window_holds_its_moment_and_is_found_again_from_its_start(moment, zone, grain):
    window = window_at(moment, grain, ZoneInfo(zone))
    assert moment in window
    assert window_at(window.start, grain, ZoneInfo(zone)) == window


@given(moment=MOMENTS, zone=st.sampled_from(ZONES), grain=st.sampled_from(CALENDAR))
def test_windows_follow_each_other_without_gap_or_overlap(moment, zone, grain):
    window = window_at(moment, grain, ZoneInfo(zone))
    following = window_at(window.end, grain, ZoneInfo(zone))
    assert following.start == window.end
    assert following.end > window.end


def test_a_trailing_span_ends_with_its_window():
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC), Grain.HOUR)
    assert window.trailing(timedelta(hours=24)).end == window.end
    assert window.trailing(timedelta(hours=24)).length == timedelta(hours=24)
