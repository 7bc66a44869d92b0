"""Rows of a stretch of time, and the windows that a history falls into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tiltmeter.domain.errors import EmptyWindow, UsageError
from tiltmeter.domain.window import Grain, Window, windows_between
from tiltmeter.profiling.hours import epoch_seconds
from tiltmeter.profiling.progress import told
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.profile import Bins, Profile
    from tiltmeter.ports import Engine, ProfileStates, Rows

MOST_WINDOWS = 50_000
"""Windows of one history: five years of hours. A single wrong time would otherwise make millions."""

_WEEK = 168
"""Hours that are read at once: one at a time costs a look at all files, a year at once would fill the memory."""

_NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class TimeSlice:
    """Rows whose time lies in `[since, until)`; rows without a time are left out.

    Args:
        rows: all of them.
        time: timestamp column.
        since: aware; None from the beginning.
        until: aware; None to the end.
    """

    rows: Rows
    time: str
    since: datetime | None = None
    until: datetime | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.rows.name

    @property
    def version(self) -> int | None:
        """Version of the table that is pinned."""
        return self.rows.version

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema."""
        return self.rows.schema

    def count(self) -> int | None:
        """Not known without reading."""
        return None

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches in row order; empty ones are left out."""
        wanted = None if columns is None else [*columns, *({self.time} - set(columns))]
        for batch in self.rows.batches(wanted):
            if self.time not in batch.schema.names:  # a file of a folder may lack columns
                continue
            kept = batch.filter(pa.array(self._inside(epoch_seconds(batch.column(self.time)))))
            if kept.num_rows:
                there = set(kept.schema.names)
                yield kept if columns is None else kept.select([name for name in columns if name in there])

    def _inside(self, seconds: np.ndarray) -> np.ndarray:
        inside = seconds != _NO_TIME
        if self.since is not None:
            inside &= seconds >= self.since.timestamp()
        if self.until is not None:
            inside &= seconds < self.until.timestamp()
        return np.asarray(inside)

    def with_text(self, names: Sequence[str]) -> TimeSlice:
        """The same rows with these columns read as text where no types are stated; itself where they are."""
        inner: Any = self.rows
        if not hasattr(inner, "with_text"):
            return self
        typed = inner.with_text([name for name in names if name != self.time])
        return self if typed is inner else replace(self, rows=typed)


def checked_time(rows: Rows, time: str) -> None:
    """See that there is such a time column.

    Raises:
        UsageError: there is none.
    """
    if time not in rows.schema.names:
        raise UsageError(f'there is no time column "{time}"', at=rows.name, hint=did_you_mean(time, rows.schema.names))


def profiled_windows(
    engine: Engine,
    rows: Rows,
    bins: Bins,
    *,
    time: str,
    grain: Grain,
    zone: ZoneInfo,
    since: datetime | None = None,
) -> list[tuple[Window, Profile | None]]:
    """Every window up to the last row with its profile, None where it has no rows; in one pass.

    Args:
        engine: counts the rows.
        rows: the history.
        bins: frozen cells.
        time: timestamp column.
        grain: of the windows.
        zone: calendar that cuts them.
        since: moment in the first window; that of the first row by default.

    Raises:
        EmptyWindow: no row has a time.
        UsageError: the windows would be too many.
    """
    states = engine.profile_hours(rows, bins, model="", time=time, version=None, segments=(), zone=zone, grain=grain)
    by_start = {key.window_start: profile for key, profile in states.items()}
    if not by_start:
        if since is not None:
            what = f'no row with a time in "{time}" lies at or after {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC'
            raise EmptyWindow(what, at=rows.name, hint="name an earlier --baseline-until, or another --time-column")
        raise EmptyWindow(f'no row to judge has a time in "{time}"', at=rows.name, hint="is it the right column?")
    moments = [*by_start, since] if since is not None else list(by_start)
    return [(window, by_start.get(window.start)) for window in _windows(moments, grain, zone, rows.name)]


def told_windows(windows: Sequence[tuple[Window, Profile | None]]) -> Iterator[tuple[Window, Profile | None]]:
    """The windows one after the other; whoever listens is told how many are judged."""
    tell = told("judging windows")
    for number, pair in enumerate(windows):
        if tell is not None:
            tell(number, len(windows))
        yield pair


def stored_windows(
    states: ProfileStates, model: str, bins_id: str, windows: Sequence[Window]
) -> Iterator[tuple[Window, Profile | None]]:
    """Windows with their stored profiles, None where nothing is stored; hours are read a week at once.

    Args:
        states: where profiles are stored.
        model: whose.
        bins_id: cells of the profiles.
        windows: of one grain, in order.
    """
    tell, done = told("judging windows"), 0
    for start in range(0, len(windows), _WEEK):
        some = windows[start : start + _WEEK]
        hours: Mapping[datetime, Profile] = {}
        if some[0].grain is Grain.HOUR:
            hours = states.hours(model, bins_id, Window(some[0].start, some[-1].end, Grain.WEEK))
        for window in some:
            if tell is not None:
                tell(done, len(windows))
            done += 1
            if window.grain is Grain.HOUR and not window.start.minute:
                yield window, hours.get(window.start)
            else:
                yield window, states.total(model, bins_id, window)


def _windows(moments: Sequence[datetime], grain: Grain, zone: ZoneInfo, name: str) -> list[Window]:
    first, last = min(moments), max(moments)
    found = []
    for window in windows_between(first, last + timedelta(seconds=1), grain, zone):
        found.append(window)
        if len(found) > MOST_WINDOWS:
            raise UsageError(
                f"from {first:%Y-%m-%d} to {last:%Y-%m-%d} are more than {MOST_WINDOWS:,} windows of a {grain.value}",
                at=name,
                hint="take longer windows, or look at the times",
            )
    return found


def moment_of(text: str, zone: ZoneInfo) -> datetime:
    """A day or moment as a person writes it; without an offset it is local time of the zone.

    Raises:
        UsageError: the text is no date, or it lies outside the calendar once it is told in UTC.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'"{text}" is no date', hint="write 2026-10-01 or 2026-10-01T08:00") from error
    try:
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        what = f'"{text}" lies outside the years 1 to 9999 in UTC'
        raise UsageError(what, hint="write a day of the history, such as 2026-10-01") from error


def window_name(window: Window, zone: ZoneInfo) -> str:
    """A window as people call it: `2008-11`, `2008-W45`, `2008-11-03`, `2008-11-03 14:00`."""
    start = window.start.astimezone(zone)
    if window.grain is Grain.MONTH:
        return f"{start:%Y-%m}"
    if window.grain is Grain.WEEK:
        year, week, _ = start.isocalendar()
        return f"{year}-W{week:02d}"
    if window.grain is Grain.DAY:
        return f"{start:%Y-%m-%d}"
    return f"{start:%Y-%m-%d %H:%M}"
