"""A Delta table that somebody else writes: read in place, followed by version, never written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder

from tiltmeter.domain.errors import RowsRewritten, SchemaChanged, StoreError, UnreadableData
from tiltmeter.domain.window import Grain, Window
from tiltmeter.store.log_entries import TableFiles
from tiltmeter.store.parquet_rows import RowFilter, utc_times
from tiltmeter.store.schema import TableDefinition
from tiltmeter.store.snapshot import logged_moment, snapshot
from tiltmeter.store.table import StoredTable, in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tiltmeter.domain.model import Model, TableSource
    from tiltmeter.ports import Clock, Rows
    from tiltmeter.store.log_entries import AddedFile
    from tiltmeter.store.snapshot import Snapshot

_PLAIN = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "appendOnly", "invariants"})
"""Reader features that change nothing about the data files."""

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_LOG_CUT = timedelta(milliseconds=1)
"""Times in the log's statistics are cut to milliseconds."""

_BY_QUERY = frozenset({"deletionVectors", "columnMapping"})
"""Reader features under which a data file alone says something else than the table."""


class SourceRows(Protocol):
    """Predictions that somebody else keeps: a Delta table, or a folder of files."""

    def new_rows(self, since: int | None, begin: datetime | None = None) -> Rows:
        """Rows with a prediction of later versions (all for None) that are not older than `begin`.

        Raises:
            RowsRewritten: rows that were there before are others now.
        """
        ...

    def rows(self, window: Window, filters: Mapping[str, object] | None = None) -> Rows:
        """Rows with a prediction in the window."""
        ...


@dataclass(slots=True, eq=False)
class ForeignTable:
    """One source table.

    Args:
        source: where it lies and which columns play which part.
        table: for the kept handle.
    """

    source: TableSource
    table: StoredTable

    @classmethod
    def of(cls, model: Model, clock: Clock, options: Mapping[str, str] | None) -> ForeignTable:
        """The source of a model."""
        if model.source is None:
            raise UnreadableData(f'model "{model.name}" has no source table')
        place = model.source.table
        definition = TableDefinition(place, pa.schema([]), (), (), ())
        return cls(model.source, StoredTable(definition, TableFiles(place, options), clock))

    @property
    def time(self) -> str:
        """Name of the time column."""
        return self.source.columns.get("time", "time")

    def new_rows(self, since: int | None, begin: datetime | None = None) -> Rows:
        """Rows with a prediction of later versions; all for None.

        Args:
            since: version that was read before.
            begin: rows before it are history that is not wanted.

        Raises:
            RowsRewritten: a later version changed rows in place, or the log no longer tells what it did.
            StoreError: the table is away.
        """
        span = (self.time, begin, _END_OF_TIME) if begin is not None else None
        wanted = RowFilter(present=self._predicted(), span=span)
        by_query = self._by_query()
        snap = self._snapshot()
        if since is not None and snap.version != since:
            added = self._appended(snap, since, by_query=by_query)
            return snap.rows_of(added, wanted)
        if by_query:
            return self._queried(wanted, nothing=since is not None)
        return snap.rows(wanted) if since is None else snap.rows_of([], wanted)

    def rows(self, window: Window, filters: Mapping[str, object] | None = None) -> Rows:
        """Rows with a prediction in the window."""
        wanted = RowFilter(dict(filters or {}), self._predicted(), (self.time, window.start, window.end))
        return self._queried(wanted) if self._by_query() else self._snapshot().rows(wanted)

    def _snapshot(self) -> Snapshot:
        snap = snapshot(self.table)
        if snap is None:
            raise self._absent()
        self._check_columns(snap.schema)
        return snap

    def _appended(self, snap: Snapshot, since: int, *, by_query: bool) -> list[AddedFile]:
        """Files that later versions appended.

        Raises:
            RowsRewritten: they did not only append, or their files alone do not tell the rows.
        """
        files: list[AddedFile] = []
        is_rewritten = by_query
        if snap.version < since:
            what = f"the table was made anew: it is at version {snap.version} and was at {since}"
            raise RowsRewritten(what, at=self.source.table, version=snap.version, span=None)
        try:
            for version in range(since + 1, snap.version + 1):
                written, changed = self.table.files.written(version)
                files += written
                is_rewritten |= changed
        except StoreError as error:
            if error.retryable:  # the entry is there: to read the whole table anew might lose what it forgot since
                raise
            what = f"the log no longer tells what came after version {since}"
            raise RowsRewritten(what, at=self.source.table, version=snap.version, span=None) from error
        if is_rewritten and files:
            span = self._logged_span(files) if by_query else self._read_span(snap, files)
            what = f"versions {since + 1} to {snap.version} changed rows in place"
            raise RowsRewritten(what, at=self.source.table, version=snap.version, span=span)
        return files

    def _read_span(self, snap: Snapshot, files: list[AddedFile]) -> Window | None:
        """First and last time in the files that are still in force."""
        alive = {file.path for file in snap.files}
        rows = snap.rows_of([file for file in files if file.path in alive], RowFilter())
        return span_of(rows, self.time)

    def _logged_span(self, files: list[AddedFile]) -> Window | None:
        """First and last time in the files as their statistics have it; None where they have none."""
        handle = self.table.reading()
        if handle is None:
            return None
        name = _physical_name(handle, self.time)
        bounds = [(logged_moment(file.least.get(name)), logged_moment(file.greatest.get(name))) for file in files]
        if any(least is None or greatest is None for least, greatest in bounds):
            return None
        first = min(least for least, _ in bounds if least is not None)
        last = max(greatest for _, greatest in bounds if greatest is not None)
        return Window(first, last + _LOG_CUT, Grain.LIVE)

    def _predicted(self) -> tuple[str, ...]:
        column = self.source.columns.get("prediction")
        return (column,) if column else ()

    def _absent(self) -> UnreadableData:
        return UnreadableData(
            "there is no Delta table and no folder of files",
            at=self.source.table,
            hint="check `source.table`; relative paths are relative to `home`",
        )

    def _check_columns(self, schema: pa.Schema) -> None:
        gone = [f"{role}: {column}" for role, column in self.source.columns.items() if column not in schema.names]
        if gone:
            raise SchemaChanged(
                f"the table has no column for {', '.join(gone)}",
                at=self.source.table,
                hint=f"it has {', '.join(schema.names[:20])}",
            )

    def _by_query(self) -> bool:
        """Whether the data files alone would give wrong rows.

        Raises:
            UnreadableData: the table uses a feature that nothing here reads.
        """
        handle = self.table.reading()
        if handle is None:
            raise self._absent()
        with in_our_words(self.source.table):
            protocol = handle.protocol()
            mapped = (handle.metadata().configuration or {}).get("delta.columnMapping.mode", "none") != "none"
        features = set(protocol.reader_features or ())
        unknown = features - _PLAIN - _BY_QUERY
        if unknown:
            raise UnreadableData(
                f"the table uses {', '.join(sorted(unknown))}, which cannot be read here",
                at=self.source.table,
                hint="turn the feature off where the table is written, or have its rows exported to Parquet",
            )
        return mapped or bool(features & _BY_QUERY)

    def _queried(self, wanted: RowFilter, *, nothing: bool = False) -> Rows:
        handle = self.table.reading()
        if handle is None:
            raise self._absent()
        with in_our_words(self.source.table):
            schema = pa.schema(handle.schema().to_arrow())
            version = handle.version()
        self._check_columns(schema)
        return QueriedRows(self.source.table, version, handle, schema, wanted, nothing)


@dataclass(slots=True, eq=False)
class QueriedRows:
    """Rows that deltalake's own SQL reads, for tables whose data files alone say something else.

    Args:
        name: of the table.
        version: pinned.
        handle: at that version.
        stored: Arrow schema.
        wanted: which rows.
        nothing: no row is new.
    """

    name: str
    version: int | None
    handle: DeltaTable
    stored: pa.Schema
    wanted: RowFilter
    nothing: bool = False

    @property
    def schema(self) -> pa.Schema:
        """Columns of the version."""
        return self.stored

    def count(self) -> int | None:
        """Wanted rows, counted by reading the filter's columns."""
        counted: int = sum(batch.num_rows for batch in self.batches(self.wanted.columns or self.stored.names[:1]))
        return counted

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches of the wanted rows."""
        if self.nothing:
            return
        asked = list(self.stored.names if columns is None else [c for c in columns if c in self.stored.names])
        needed = list(dict.fromkeys([*asked, *self.wanted.columns])) or self.stored.names[:1]
        with in_our_words(self.name):
            reader = QueryBuilder().register("source", self.handle).execute(_select(needed))
            for found in reader:
                batch = pa.record_batch(found)
                kept = self.wanted.keeps(batch)
                if kept.num_rows:
                    yield kept.select(asked)


def span_of(rows: Rows, time: str) -> Window | None:
    """First and last time of rows; None without any.

    Args:
        rows: of a source.
        time: its time column.
    """
    first: datetime | None = None
    last: datetime | None = None
    for batch in rows.batches([time]):
        bounds = pc.min_max(utc_times(batch.column(time))).as_py()
        if bounds["min"] is not None:
            first = bounds["min"] if first is None else min(first, bounds["min"])
            last = bounds["max"] if last is None else max(last, bounds["max"])
    if first is None or last is None:
        return None
    return Window(first.astimezone(UTC), last.astimezone(UTC) + timedelta(microseconds=1), Grain.LIVE)


def _physical_name(handle: DeltaTable, column: str) -> str:
    """Name under which the log's statistics have a column: not its own one where columns are mapped."""
    fields = json.loads(handle.schema().to_json())["fields"]
    described = next((field.get("metadata") or {} for field in fields if field["name"] == column), {})
    return str(described.get("delta.columnMapping.physicalName", column))


def _select(columns: list[str]) -> str:
    # Identifiers cannot be parameters; a quoted identifier ends only at a quote, and quotes inside are doubled.
    quoted = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
    return f"SELECT {quoted} FROM source"  # noqa: S608 - identifiers quoted above, no values
