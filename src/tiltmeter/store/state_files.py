"""Data files of `profile_states`, read once each: which subjects they hold, and the states of a subject by hour."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.store.parquet_rows import ParquetRows, RowFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from tiltmeter.store.log_entries import AddedFile
    from tiltmeter.store.snapshot import Snapshot

KEPT_BYTES = 128 * 1024 * 1024
"""Compressed states kept in memory: two days of 60 features, 18 slices and 24 hours take about 50 MB."""

_SUBJECT = ("model_name", "bins_id", "model_version", "segment_key", "segment_value")


class Slice(NamedTuple):
    """One series of stored profiles."""

    model: str
    bins_id: str
    version: str
    segment_key: str
    segment_value: str


class StoredState(NamedTuple):
    """One row: a feature's partial (or the window's own facts, feature "") of one hour or day."""

    window_start: datetime
    feature: str
    generation: int
    covered: int
    state: bytes


@dataclass(frozen=True, slots=True)
class FileSubjects:
    """Which slices a file holds, with the first and last window of each."""

    spans: dict[Slice, tuple[datetime, datetime]]


@dataclass(slots=True, eq=False)
class StateFiles:
    """Reads files of one table and keeps what is asked again. Files never change, so their path is the key."""

    _subjects: dict[str, FileSubjects] = field(default_factory=dict)
    _sums: dict[str, set[tuple[date, int, int]]] = field(default_factory=dict)
    _states: OrderedDict[str, dict[Slice, list[StoredState]]] = field(default_factory=OrderedDict)
    _bytes: dict[str, int] = field(default_factory=dict)

    def subjects(self, snap: Snapshot, file: AddedFile) -> FileSubjects:
        """Slices of a file, from its window rows alone."""
        if file.path not in self._subjects:
            spans: dict[Slice, tuple[datetime, datetime]] = {}
            rows = _rows_of(snap, file, RowFilter({"feature": ""}))
            for batch in rows.batches([*_SUBJECT, "window_start"]):
                columns = [batch.column(name).to_pylist() for name in (*_SUBJECT, "window_start")]
                for *names, start in zip(*columns, strict=True):
                    key = Slice(*names)
                    low, high = spans.get(key, (start, start))
                    spans[key] = min(low, start), max(high, start)
            self._subjects[file.path] = FileSubjects(spans)
        return self._subjects[file.path]

    def states(self, snap: Snapshot, file: AddedFile, wanted: Slice) -> list[StoredState]:
        """Partials of a slice in a file."""
        return self._loaded(snap, file).get(wanted, [])

    def sums(self, snap: Snapshot, file: AddedFile) -> set[tuple[date, int, int]]:
        """Days that a file of day sums holds, with the hour rows and the generation that each sum covers."""
        if file.path not in self._sums:
            rows = _rows_of(snap, file, RowFilter({"feature": ""}))
            self._sums[file.path] = {
                (start.date(), covered, generation)
                for batch in rows.batches(["window_start", "source_version", "generation"])
                for start, covered, generation in zip(*(c.to_pylist() for c in batch.columns), strict=True)
            }
        return self._sums[file.path]

    def forget(self, live: Iterable[str]) -> None:
        """Drop what belongs to files that a compaction has replaced."""
        kept = set(live)
        for path in [p for p in self._states if p not in kept]:
            del self._states[path]
            del self._bytes[path]
        caches: tuple[dict[str, Any], ...] = (self._subjects, self._sums)
        for known in caches:
            for path in [p for p in known if p not in kept]:
                known.pop(path)

    def _loaded(self, snap: Snapshot, file: AddedFile) -> dict[Slice, list[StoredState]]:
        found = self._states.get(file.path)
        if found is None:
            found, size = {}, 0
            for key, state in _states_of(_rows_of(snap, file, RowFilter())):
                found.setdefault(key, []).append(state)
                size += len(state.state) + 200  # and about as much for the tuple around it
            self._states[file.path] = found
            self._bytes[file.path] = size
        self._states.move_to_end(file.path)
        while len(self._states) > 1 and sum(self._bytes.values()) > KEPT_BYTES:
            oldest, _ = self._states.popitem(last=False)
            del self._bytes[oldest]
        return found


def sliced_states(snap: Snapshot, file: AddedFile, wanted: Slice) -> Iterator[StoredState]:
    """Partials of one slice, read without keeping the rest: for day sums, which are asked by slice."""
    equal = {
        "model_version": wanted.version,
        "segment_key": wanted.segment_key,
        "segment_value": wanted.segment_value,
        "model_name": wanted.model,
        "bins_id": wanted.bins_id,
    }
    for _, state in _states_of(_rows_of(snap, file, RowFilter(equal))):
        yield state


def _rows_of(snap: Snapshot, file: AddedFile, wanted: RowFilter) -> ParquetRows:
    return ParquetRows("profile_states", snap.version, snap.table.files, [file], snap.schema, wanted)


def _states_of(rows: ParquetRows) -> Iterator[tuple[Slice, StoredState]]:
    slices: dict[tuple[str, ...], Slice] = {}
    moments: dict[int, datetime] = {}
    for batch in rows.batches((*_SUBJECT, "window_start", "feature", "generation", "source_version", "state")):
        subjects = list(zip(*(_objects(batch.column(name)) for name in _SUBJECT), strict=True))
        starts = pc.cast(batch.column("window_start"), pa.int64()).to_pylist()
        for subject in set(subjects).difference(slices):
            slices[subject] = Slice(*subject)
        for start in set(starts).difference(moments):
            moments[start] = datetime.fromtimestamp(start // 1_000_000, UTC).replace(microsecond=start % 1_000_000)
        covered = pc.fill_null(batch.column("source_version"), -1).to_pylist()
        states = map(
            StoredState,
            map(moments.__getitem__, starts),
            _objects(batch.column("feature")),
            batch.column("generation").to_pylist(),
            covered,
            _objects(batch.column("state")),
        )
        yield from zip(map(slices.__getitem__, subjects), states, strict=True)


def _objects(column: pa.Array) -> list[Any]:
    """Texts or bytes of a column: a fifth of the time of `to_pylist`, which makes a scalar of each first."""
    found: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return found
