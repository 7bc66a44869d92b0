"""Rows become one additive profile per clock hour, model version and segment value."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import types

from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.window import Grain, window_at
from tiltmeter.ports import StateKey
from tiltmeter.profiling.arrow_columns import encoded, level_names
from tiltmeter.profiling.buffers import numpy_of
from tiltmeter.profiling.distinct import STORED, STORED_ENTITIES
from tiltmeter.profiling.kernel import Counter, pays_to_compile
from tiltmeter.profiling.plain_arrays import plain
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.profile import Bins, Profile
    from tiltmeter.ports import Rows

# Every zone of the time-zone database is a multiple of 15 minutes off UTC since 1972, so a clock hour of any zone is
# made of whole quarters.
_QUARTER_SECONDS = 900


class _Cut(NamedTuple):
    """A column whose values get profiles of their own; "" is all rows together."""

    column: str
    is_version: bool


class _Groups(NamedTuple):
    """Rows sorted by group: group g holds `order[starts[g]:starts[g + 1]]`, hour `hours[g]` and value `values[g]`."""

    order: np.ndarray
    starts: np.ndarray
    hours: list[datetime]
    values: list[str]


def profile_hours(
    rows: Rows,
    bins: Bins,
    *,
    model: str,
    time: str,
    version: str | None,
    segments: Sequence[str],
    zone: ZoneInfo,
    grain: Grain = Grain.HOUR,
) -> dict[StateKey, Profile]:
    """One additive profile per clock hour, version, and segment value; in addition all versions and segments ("").

    Args:
        rows: predictions; rows without a time are left out.
        bins: frozen cells.
        model: model name for the keys.
        time: timestamp column; a timestamp without zone is UTC, a number is epoch seconds.
        version: column of the model version, None where there is none.
        segments: columns whose values get profiles of their own.
        zone: cuts the hours.
        grain: longer windows instead of hours, for a history that is judged once and kept nowhere.

    Raises:
        UsageError: the time column does not exist or holds no times.
    """
    if time not in rows.schema.names:
        raise UsageError(f'there is no time column "{time}"', at=rows.name, hint=did_you_mean(time, rows.schema.names))
    total = rows.count()
    counter = Counter(bins, STORED, STORED_ENTITIES, compiled=pays_to_compile(total))
    cuts = _cuts(rows.schema.names, version, segments)
    wanted = [*counter.needed(rows.schema), time, *(cut.column for cut in cuts if cut.column)]
    columns = list(dict.fromkeys(wanted))
    template = counter.schema_profile(rows.schema)
    # Time, version and the log's own columns (`__entity`) play a part of their own: the baseline does not lack them.
    own = {name for name in template.new_columns if name in (time, version) or name.startswith("__")}
    template = replace(template, new_columns=template.new_columns - own)
    totals: dict[StateKey, Profile] = {}
    calendar = _Calendar(zone, grain)
    for batch in rows.batches(columns):
        # A profile that stands under two keys (an hour with one version) is added once and stays one object.
        added: dict[tuple[int, int], Profile] = {}
        kept_alive: list[Profile] = []
        if time not in batch.schema.names:  # a file of a folder may lack it: its rows have no time
            continue
        starts = calendar.starts_of(batch.column(time))
        for found, profile in _batch_states(batch, counter, starts, cuts, model, template):
            key = replace(found, grain=grain)
            before = totals.get(key)
            if before is None:
                totals[key] = profile
                continue
            kept_alive += [before, profile]
            pair = id(before), id(profile)
            if pair not in added:
                added[pair] = before + profile
            totals[key] = added[pair]
    return totals


def _cuts(names: Sequence[str], version: str | None, segments: Sequence[str]) -> list[_Cut]:
    cuts = [_Cut("", is_version=False)]
    if version and version in names:
        cuts.append(_Cut(version, is_version=True))
    return [*cuts, *(_Cut(segment, is_version=False) for segment in segments if segment in names)]


def _batch_states(
    batch: pa.RecordBatch, counter: Counter, hours: np.ndarray, cuts: Sequence[_Cut], model: str, template: Profile
) -> Iterator[tuple[StateKey, Profile]]:
    plain_batch = counter.plain(batch)
    by_hour: dict[datetime, tuple[int, Profile]] = {}
    there = {"", *batch.schema.names}
    for cut in sorted((cut for cut in cuts if cut.column in there), key=lambda cut: not cut.is_version):
        codes, names = _coded(batch.column(cut.column)) if cut.column else (np.zeros(batch.num_rows, np.int64), [""])
        groups = _grouped(hours, codes, names)
        ordered = plain_batch.take(groups.order)
        for group, (hour, value) in enumerate(zip(groups.hours, groups.values, strict=True)):
            if cut.column and not value:
                continue  # rows without a version or segment value are in the total only
            start, end = int(groups.starts[group]), int(groups.starts[group + 1])
            same = by_hour.get(hour) if not cut.column else None
            # An hour of one version holds the very rows of the total: they are counted once.
            if same and same[0] == end - start:
                profile = same[1]
            else:
                profile = template + counter.count(ordered.slice(start, end))
            if cut.is_version:
                by_hour[hour] = (end - start, profile)
            subject = (value, "", "") if cut.is_version else ("", cut.column, value)
            yield StateKey(hour, Grain.HOUR, model, *subject, counter.bins.bins_id), profile


class _Calendar:
    """Windows of a zone's calendar by quarter of an hour; remembers what it worked out."""

    def __init__(self, zone: ZoneInfo, grain: Grain) -> None:
        self._zone = zone
        self._grain = grain
        self._starts: dict[int, int] = {}

    def starts_of(self, column: pa.Array) -> np.ndarray:
        """Start of the window of each row in epoch seconds; the smallest int64 where there is no time."""
        seconds = epoch_seconds(column)
        present = seconds != NO_TIME
        quarters = np.where(present, seconds // _QUARTER_SECONDS, 0)
        distinct, inverse = np.unique(quarters, return_inverse=True)
        starts = np.array([self._start(int(quarter)) for quarter in distinct], dtype=np.int64)
        return np.where(present, starts[inverse.reshape(-1)], NO_TIME) if seconds.size else seconds

    def _start(self, quarter: int) -> int:
        if quarter not in self._starts:
            moment = datetime.fromtimestamp(quarter * _QUARTER_SECONDS, tz=UTC)
            self._starts[quarter] = self._start_of(moment)
        return self._starts[quarter]

    def _start_of(self, moment: datetime) -> int:
        try:
            return int(window_at(moment, self._grain, self._zone).start.timestamp())
        except OverflowError as error:
            if self._grain is Grain.HOUR:  # of a service that goes on: such a row has no time
                return NO_TIME
            raise UsageError(
                f"a row has the time {moment:%Y-%m-%d %H:%M}, whose {self._grain.value} no calendar holds",
                hint="a day that stands for `none` is no time: leave it empty",
            ) from error


NO_TIME = np.iinfo(np.int64).min
"""Stands for a row without a time."""
# Years 1 to 9999 with a margin of a day: what a datetime can hold in any zone.
_FIRST_SECOND, _LAST_SECOND = -62_135_510_400, 253_402_214_400


def epoch_seconds(column: pa.Array) -> np.ndarray:
    """Whole seconds since 1970 of a time column, int64; the smallest int64 where there is no time.

    Raises:
        UsageError: the column holds no times.
    """
    column = plain(column)
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_string(column.type) or types.is_large_string(column.type):
        column = _times_of_text(column)
    if types.is_timestamp(column.type) or types.is_date(column.type):
        # Rounded down before 1970 as well: floor, not truncation, hence not a plain cast.
        micros = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64(), safe=False)
        whole = numpy_of(micros, NO_TIME)
        seconds = np.where(whole == NO_TIME, NO_TIME, whole // 1_000_000)
    elif types.is_integer(column.type) or types.is_floating(column.type):
        numbers = numpy_of(column.cast(pa.float64(), safe=False), np.nan)
        usable = np.isfinite(numbers) & (np.abs(numbers) < 2.0**53)
        seconds = np.where(usable, np.floor(np.where(usable, numbers, 0)), NO_TIME).astype(np.int64)
    elif types.is_null(column.type):
        seconds = np.full(len(column), NO_TIME)
    else:
        raise UsageError(f"the time column holds {column.type}", hint="name a column of timestamps")
    return np.where((seconds < _FIRST_SECOND) | (seconds > _LAST_SECOND), NO_TIME, seconds)


def _times_of_text(column: pa.Array) -> pa.Array:
    """ISO 8601 texts as times; those without an offset are UTC."""
    for zone in ("UTC", None):
        try:
            return column.cast(pa.timestamp("us", tz=zone))
        except pa.ArrowInvalid:
            continue
    raise UsageError("the time column holds text that is no ISO 8601 time", hint="write times as 2026-11-01 08:30:00")


def _coded(column: pa.Array) -> tuple[np.ndarray, list[str]]:
    codes, values = encoded(column)
    names = level_names(values)
    listed = names.to_pylist() if isinstance(names, pa.Array) else names
    return np.where(codes < 0, len(listed), codes), [*(name or "" for name in listed), ""]


def _grouped(hours: np.ndarray, codes: np.ndarray, names: list[str]) -> _Groups:
    order = np.lexsort((codes, hours))
    order = order[hours[order] != NO_TIME]
    sorted_hours, sorted_codes = hours[order], codes[order]
    if order.size == 0:
        return _Groups(order, np.zeros(1, dtype=np.int64), [], [])
    change = (sorted_hours[1:] != sorted_hours[:-1]) | (sorted_codes[1:] != sorted_codes[:-1])
    starts = np.concatenate([[0], np.flatnonzero(change) + 1])
    return _Groups(
        order,
        np.concatenate([starts, [order.size]]),
        [datetime.fromtimestamp(int(sorted_hours[start]), tz=UTC) for start in starts],
        [names[int(sorted_codes[start])] for start in starts],
    )
