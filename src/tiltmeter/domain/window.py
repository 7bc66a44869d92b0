"""A stretch of time that is judged as one: `[start, end)`, aware UTC, cut on the calendar of a business time zone."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo

_MICROSECOND = timedelta(microseconds=1)

CLOCK_CHANGE = timedelta(hours=2)
"""Windows end at local midnight: across a clock change, days apart are up to so much more or less than whole days."""


class Grain(StrEnum):
    """The lengths of windows. `live` windows are trailing spans of any length that end now."""

    LIVE = "live"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open stretch of time.

    Args:
        start: aware, UTC.
        end: aware, UTC, later than start.
        grain: what kind of window it is; a day has 23, 24 or 25 hours.
    """

    start: datetime
    end: datetime
    grain: Grain

    @property
    def length(self) -> timedelta:
        """Real time between start and end."""
        return self.end - self.start

    def __contains__(self, moment: datetime) -> bool:
        """Whether the moment lies in `[start, end)`."""
        return self.start <= moment < self.end

    @property
    def previous(self) -> Window:
        """As long a span, right before this window."""
        return Window(self.start - self.length, self.start, self.grain)

    def trailing(self, length: timedelta) -> Window:
        """The span of that length which ends where this window ends."""
        return Window(self.end - length, self.end, self.grain)


def _next_local(day: date, grain: Grain) -> date:
    if grain is Grain.DAY:
        return day + timedelta(days=1)
    if grain is Grain.WEEK:
        return day + timedelta(days=7)
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _first_local(moment: datetime, grain: Grain, zone: ZoneInfo) -> date:
    day = moment.astimezone(zone).date()
    if grain is Grain.WEEK:
        return day - timedelta(days=day.weekday())
    if grain is Grain.MONTH:
        return day.replace(day=1)
    return day


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # A zone may skip midnight itself (or a whole day): fold=0 then names the first instant after the gap.
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _hour(moment: datetime, zone: ZoneInfo) -> Window:
    # An hour is a clock hour of the zone: minutes are cut on the local clock (Kolkata is UTC+5:30), by UTC instant,
    # so that the two 02:00 hours of an autumn night are two windows.
    local = moment.astimezone(zone)
    cut = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    start = (moment - cut).astimezone(UTC)
    end = start + timedelta(hours=1)
    # Where clocks move by half an hour (Lord Howe), an hour ends or begins with the change: it is a short window.
    if start.astimezone(zone).utcoffset() != local.utcoffset():
        start = _change_between(start, moment, zone)
    if (end - _MICROSECOND).astimezone(zone).utcoffset() != local.utcoffset():
        end = _change_between(moment, end, zone)
    return Window(start, end, Grain.HOUR)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment between the two at which the zone moves its clocks; clocks are moved at whole minutes."""
    old = before.astimezone(zone).utcoffset()
    low = before.astimezone(UTC).replace(second=0, microsecond=0)
    minutes = int((after - low) / timedelta(minutes=1)) + 1
    found = bisect_left(
        range(minutes), 1, key=lambda n: (low + timedelta(minutes=n)).astimezone(zone).utcoffset() != old
    )
    return low + timedelta(minutes=found)


def window_at(moment: datetime, grain: Grain, zone: ZoneInfo) -> Window:
    """The window of that grain which holds the moment.

    Args:
        moment: aware.
        grain: hour, day, week (Monday to Sunday) or month.
        zone: business time zone whose calendar cuts the windows.
    """
    if grain is Grain.HOUR:
        return _hour(moment, zone)
    day = _first_local(moment, grain, zone)
    start, end = _midnight(day, zone), _midnight(_next_local(day, grain), zone)
    while end <= moment or end <= start:  # a zone that skipped a whole day (Apia 2011)
        day = _next_local(day, grain)
        start, end = _midnight(day, zone), _midnight(_next_local(day, grain), zone)
    return Window(start, end, grain)


def windows_between(start: datetime, end: datetime, grain: Grain, zone: ZoneInfo) -> Iterator[Window]:
    """Every window of that grain that ends after `start` and starts before `end`, in order."""
    moment = start
    while moment < end:
        window = window_at(moment, grain, zone)
        yield window
        moment = window.end


def local_days(window: Window, zone: ZoneInfo) -> tuple[date, date]:
    """First and last day of the zone's calendar that a window of days holds.

    Args:
        window: cut at local midnight, or so many times 24 hours before one: across a clock change it then begins and
            ends up to two hours beside midnight, and holds the same days.
        zone: business time zone.
    """
    first, last = window.start + CLOCK_CHANGE, window.end - CLOCK_CHANGE
    return first.astimezone(zone).date(), last.astimezone(zone).date()


def nearest(moments: Iterable[datetime], wanted: datetime) -> datetime | None:
    """That of the moments which lies nearest to the wanted one, at most a clock change away; None where none does.

    Args:
        moments: ends of windows, aware.
        wanted: where a window would end if all days were equally long, aware.
    """
    found = min(moments, key=lambda known: abs(known - wanted), default=None)
    return found if found is not None and abs(found - wanted) <= CLOCK_CHANGE else None


def hours_of(window: Window, zone: ZoneInfo) -> list[datetime]:
    """UTC starts of the clock hours that make up the window."""
    return [hour.start for hour in windows_between(window.start, window.end, Grain.HOUR, zone)]
