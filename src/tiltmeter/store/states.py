"""Stored profiles in Delta: appended as partials, summed when asked, days kept as sums so that a month is cheap.

A row is one feature of one hour, version and segment; the row of feature "" holds what belongs to the window itself
(rows, entities, new columns, labels). An hour may have any number of partials: late rows append one more. Rows of an
older generation of an hour are out of date (erasure and repair write the hour anew under the next generation).

Day sums are a cache inside the table: the sum of the hours that start on a UTC day. A sum names the number of hour
rows and the generation that it covers; as soon as the day has others, the sum is ignored.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from threading import RLock
from typing import TYPE_CHECKING

import structlog

from tiltmeter.domain.profile import Profile, filled
from tiltmeter.domain.window import Grain
from tiltmeter.ports import StateKey
from tiltmeter.profiling.codec import decode_window, encode_window, sum_features
from tiltmeter.store.log_entries import TableFiles
from tiltmeter.store.maintenance import delete_rows, quoted
from tiltmeter.store.schema import PROFILE_STATES
from tiltmeter.store.snapshot import Snapshot, snapshot
from tiltmeter.store.state_days import A_DAY, DAY, HOUR, days_of, gaps, of_grain, rows_by_day, told_spans, whole_days
from tiltmeter.store.state_files import Slice, StateFiles, StoredState, sliced_states
from tiltmeter.store.state_rows import arrow_rows, encoded, hour_rows, slice_row, state_row
from tiltmeter.store.table import ConcurrentCommitError, StoredTable, check_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tiltmeter.domain.window import Window
    from tiltmeter.ports import Clock

RIVAL_TRIES = 20
KEPT_TOTALS = 2_000
"""Answers kept in memory, by slice and window."""

DAY_SETTLED = timedelta(hours=72)
"""Days are summed once late rows no longer reopen them (`schedule.late_rows.reopen_for`)."""

_AN_HOUR = timedelta(hours=1)
_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class DeltaProfileStates:
    """ProfileStates over the `profile_states` table under a root.

    Args:
        root: folder, or address in an object store.
        clock: time of ingestion, and when kept handles are opened anew.
        options: of the object store.
    """

    root: Path | str
    clock: Clock
    options: Mapping[str, str] | None = None
    _files: StateFiles = field(default_factory=StateFiles)
    _totals: OrderedDict[tuple[object, ...], Profile | None] = field(default_factory=OrderedDict)
    _table: StoredTable | None = None
    _lock: RLock = field(default_factory=RLock)

    def __post_init__(self) -> None:
        """Refuse unsafe store options."""
        check_options(self.options)

    @property
    def table(self) -> StoredTable:
        """The table, created or not."""
        if self._table is None:
            root = f"{str(self.root).rstrip('/')}/{PROFILE_STATES.name}"
            self._table = StoredTable(PROFILE_STATES, TableFiles(root, self.options), self.clock)
        return self._table

    def append(self, states: Mapping[StateKey, Profile], *, source_version: int | None) -> None:
        """As the port."""
        if not states:
            return
        series = {_application(key.model_name, key.bins_id) for key in states}
        for _ in range(RIVAL_TRIES):
            handle = self.table.for_writing()
            fresh = {
                key: profile
                for key, profile in states.items()
                if source_version is None
                or not handle.contains(_application(key.model_name, key.bins_id), source_version)
            }
            if not fresh:
                return
            rows = hour_rows(fresh, source_version, self._generations(), now=self.clock.now())
            transactions = {} if source_version is None else dict.fromkeys(series, source_version)
            try:
                handle.append(rows, transactions)
            except ConcurrentCommitError:
                continue
            return
        raise ConcurrentCommitError(self.table.files.root, f"{RIVAL_TRIES} times in a row")

    def replace(
        self,
        states: Mapping[StateKey, Profile],
        hours: Iterable[datetime],
        *,
        model: str,
        bins_id: str,
        source_version: int | None = None,
    ) -> None:
        """As the port."""
        generations = self._generations()
        now = self.clock.now()
        raised = {start: generations.get((model, bins_id, start), 0) + 1 for start in hours}
        rows = [
            state_row(key, name, state, generation=raised[key.window_start], now=now)
            for key, profile in states.items()
            for name, state in encoded(profile)
        ]
        filled = {key.window_start for key in states}
        for start in set(raised) - filled:
            empty = Profile(bins_id=bins_id, rows=0, features={})
            key = StateKey(start, Grain.HOUR, model, bins_id=bins_id)
            rows.append(state_row(key, "", encode_window(empty), generation=raised[start], now=now))
        reached = {} if source_version is None else {_application(model, bins_id): source_version}
        if rows or reached:
            self.table.for_writing().append(arrow_rows(rows), reached)

    def drop_older_generations(self, hours: Iterable[datetime], *, model: str, bins_id: str) -> int:
        """Remove states of hours that were replaced, and sums that counted them; the number of rows."""
        starts = list(hours)
        newest = self._generations()
        mine = f"model_name = {quoted(model)} AND bins_id = {quoted(bins_id)}"
        removed = 0
        for start in starts:
            generation = newest.get((model, bins_id, start), 0)
            hour = f"grain = 'hour' AND window_start = {_timestamp(start)} AND generation < {generation}"
            removed += delete_rows(self.table, f"{mine} AND {hour}")
        for day in {start.date() for start in starts}:
            midnight = _timestamp(datetime.combine(day, time(), UTC))
            removed += delete_rows(self.table, f"{mine} AND grain = 'day' AND window_start = {midnight}")
        return removed

    def watermark(self, model: str, bins_id: str) -> int | None:
        """As the port."""
        handle = self.table.reading()
        found: int | None = None if handle is None else handle.transaction_version(_application(model, bins_id))
        return found

    def hours(
        self, model: str, bins_id: str, window: Window, *, version: str = "", segment: tuple[str, str] = ("", "")
    ) -> Mapping[datetime, Profile]:
        """As the port."""
        wanted = Slice(model, bins_id, version, *segment)
        with self._lock:
            snap = snapshot(self.table)
            if snap is None:
                return {}
            by_hour: dict[datetime, list[StoredState]] = {}
            for state in self._hour_states(snap, wanted, window.start, window.end):
                by_hour.setdefault(state.window_start, []).append(state)
            found = {}
            for start in sorted(by_hour):
                key = ("hour", wanted, start, len(by_hour[start]), by_hour[start][0].generation)
                profile = self._remembered(key, by_hour[start])
                if profile is not None and profile.rows:
                    found[start] = profile
            return found

    def total(
        self,
        model: str,
        bins_id: str,
        window: Window,
        *,
        version: str = "",
        segment: tuple[str, str] = ("", ""),
        as_of: int | None = None,
    ) -> Profile | None:
        """As the port."""
        wanted = Slice(model, bins_id, version, *segment)
        with self._lock:
            snap = snapshot(self.table)
            if snap is None:
                return None
            if as_of is not None:
                states = self._hour_states(snap, wanted, window.start, window.end)
                return _summed([state for state in states if state.covered <= as_of])
            covered = rows_by_day(snap)
            days = tuple((d, covered[d]) for d in days_of(window.start, window.end) if d in covered)
            key = ("total", wanted, window.start, window.end, days)
            if key in self._totals:
                self._totals.move_to_end(key)
                return self._totals[key]
            return self._remembered(key, self._window_states(snap, wanted, window, covered))

    def span(self, model: str, bins_id: str, *, within: Window | None = None) -> tuple[datetime, datetime] | None:
        """As the port."""
        # A file holds hours of one day: those of a clock that was wrong stand apart.
        spans = [
            (low, high)
            for low, high in self._spans_of(model, bins_id)
            if within is None or (high >= within.start and low < within.end)
        ]
        if not spans:
            return None
        return min(low for low, _ in spans).astimezone(UTC), max(high for _, high in spans).astimezone(UTC) + _AN_HOUR

    def bins_ids(self, model: str) -> set[str]:
        """Cells under which a model has profiles, those of earlier baselines included."""
        return {key.bins_id for key, _ in self._spans() if key.model == model}

    def subjects(self, model: str, bins_id: str) -> tuple[list[str], list[tuple[str, str]]]:
        """As the port."""
        slices = {key for key, _ in self._spans() if key[:2] == (model, bins_id)}
        versions = sorted({key.version for key in slices if key.version})
        segments = sorted({(key.segment_key, key.segment_value) for key in slices if key.segment_key})
        return versions, segments

    def versions(self, model: str, bins_id: str, window: Window) -> Mapping[datetime, frozenset[str]]:
        """As the port."""
        found: dict[datetime, set[str]] = {}
        days = {day.isoformat() for day in days_of(window.start, window.end)}
        with self._lock:
            snap = snapshot(self.table)
            if snap is None:
                return {}
            for file in of_grain(snap, HOUR):
                if file.partition.get("window_date") not in days:
                    continue
                for key, (first, last) in self._files.subjects(snap, file).spans.items():
                    if key[:2] != (model, bins_id) or not key.version or key.segment_key:
                        continue
                    for place in range((last - first) // _AN_HOUR + 1):
                        hour = first + place * _AN_HOUR
                        if window.start <= hour < window.end:
                            found.setdefault(hour.astimezone(UTC), set()).add(key.version)
        return {hour: frozenset(names) for hour, names in found.items()}

    def store_day_sums(self, now: datetime) -> int:
        """Sum the hours of every settled day that has no sum in force; the number of days summed."""
        with self._lock:
            snap = snapshot(self.table)
            if snap is None:
                return 0
            covered = rows_by_day(snap)
            settled = (now - DAY_SETTLED).astimezone(UTC).date()
            summed = self._summed_days(snap)
            due = [day for day in sorted(covered) if day < settled and (day, *covered[day]) not in summed]
            for month, days in groupby(due, key=lambda day: day.replace(day=1)):
                rows = [row for day in days for row in self._day_rows(snap, day, covered[day])]
                if rows:
                    self.table.for_writing().append(arrow_rows(rows), {})
                _log.info("days_summed", month=month.isoformat(), rows=len(rows))
        return len(due)

    def _spans_of(self, model: str, bins_id: str) -> Iterator[tuple[datetime, datetime]]:
        """First and last hour of a model in each file that holds any; the log says it of most."""
        with self._lock:
            snap = snapshot(self.table)
            if snap is None:
                return
            for file in of_grain(snap, HOUR):
                told = told_spans(file, model, bins_id)
                if told is None:
                    spans = self._files.subjects(snap, file).spans
                    told = [span for key, span in spans.items() if key[:2] == (model, bins_id)]
                yield from told

    def _spans(self) -> list[tuple[Slice, tuple[datetime, datetime]]]:
        with self._lock:
            snap = snapshot(self.table)
            if snap is None:
                return []
            self._files.forget(file.path for file in snap.files)
            return [item for file in of_grain(snap, HOUR) for item in self._files.subjects(snap, file).spans.items()]

    def _window_states(
        self, snap: Snapshot, wanted: Slice, window: Window, covered: Mapping[date, tuple[int, int]]
    ) -> list[StoredState]:
        """Day sums where they are in force, hours elsewhere."""
        whole = [day for day in whole_days(window.start, window.end) if day in covered]
        sums = self._day_states(snap, wanted, whole, covered) if len(whole) > 1 else {}
        states = [state for day in sums.values() for state in day]
        for start, end in gaps(window.start, window.end, sums):
            states.extend(self._hour_states(snap, wanted, start, end))
        return states

    def _day_states(
        self, snap: Snapshot, wanted: Slice, days: Sequence[date], covered: Mapping[date, tuple[int, int]]
    ) -> dict[date, list[StoredState]]:
        found: dict[date, list[StoredState]] = {}
        months = {day.replace(day=1).isoformat() for day in days}
        asked = set(days)
        for file in of_grain(snap, DAY):
            if file.partition.get("window_date") not in months:
                continue
            latest: dict[date, list[StoredState]] = {}
            for state in sliced_states(snap, file, wanted):
                day = state.window_start.date()
                if day in asked and (state.covered, state.generation) == covered[day]:
                    latest.setdefault(day, []).append(state)
            found.update(latest)  # the same sum stored twice counts once
        return found

    def _hour_states(self, snap: Snapshot, wanted: Slice, start: datetime, end: datetime) -> list[StoredState]:
        days = {day.isoformat() for day in days_of(start, end)}
        files = [f for f in of_grain(snap, HOUR) if f.partition.get("window_date") in days]
        states = [
            state
            for file in files
            for state in self._files.states(snap, file, wanted)
            if start <= state.window_start < end
        ]
        if not any((file.greatest.get("generation") or 0) > 0 for file in files):
            return states
        newest = self._generations()
        return [s for s in states if s.generation == newest.get((wanted.model, wanted.bins_id, s.window_start), 0)]

    def _generations(self) -> dict[tuple[str, str, datetime], int]:
        """Newest generation of every hour that was ever replaced."""
        snap = snapshot(self.table)
        found: dict[tuple[str, str, datetime], int] = {}
        for file in of_grain(snap, HOUR) if snap is not None else ():
            if snap is None or (file.greatest.get("generation") or 0) == 0:
                continue
            for key in self._files.subjects(snap, file).spans:
                for state in self._files.states(snap, file, key):
                    hour = (key.model, key.bins_id, state.window_start)
                    found[hour] = max(found.get(hour, 0), state.generation)
        return found

    def _remembered(self, key: tuple[object, ...], states: Sequence[StoredState]) -> Profile | None:
        if key not in self._totals:
            self._totals[key] = _summed(states)
            while len(self._totals) > KEPT_TOTALS:
                self._totals.popitem(last=False)
        return self._totals[key]

    def _summed_days(self, snap: Snapshot) -> set[tuple[date, int, int]]:
        """Days that have a sum, with the hour rows and the generation that it covers."""
        return {pair for file in of_grain(snap, DAY) for pair in self._files.sums(snap, file)}

    def _day_rows(self, snap: Snapshot, day: date, covered: tuple[int, int]) -> list[dict[str, object]]:
        start = datetime.combine(day, time(), UTC)
        files = [f for f in of_grain(snap, HOUR) if f.partition.get("window_date") == day.isoformat()]
        slices = sorted({key for file in files for key in self._files.subjects(snap, file).spans})
        rows, now = [], self.clock.now()
        for wanted in slices:
            profile = _summed(self._hour_states(snap, wanted, start, start + A_DAY))
            if profile is None:
                continue
            rows += [
                slice_row(wanted, DAY, start, name, state, now=now)
                | {"source_version": covered[0], "generation": covered[1]}
                for name, state in encoded(profile)
            ]
        return rows


def _timestamp(moment: datetime) -> str:
    # The type is named in full: a plain TIMESTAMP has nanoseconds, which the log's statistics refuse to compare.
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')"


def _application(model: str, bins_id: str) -> str:
    return f"states:{model}:{bins_id}"


def _summed(states: Sequence[StoredState]) -> Profile | None:
    by_feature: dict[str, list[bytes]] = {}
    for state in states:
        by_feature.setdefault(state.feature, []).append(state.state)
    windows = by_feature.pop("", [])
    if not windows:
        return None
    total = decode_window(windows[0])
    for window in windows[1:]:
        total += decode_window(window)
    summed = {name: sum_features(found) for name, found in by_feature.items()}
    return replace(total, features=filled(summed, total.rows))
