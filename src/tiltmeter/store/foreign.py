"""A Delta table that somebody else writes: read in place, followed by version, never written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from tiltmeter.domain.errors import SchemaChanged, StoreError, UnreadableData
from tiltmeter.store.log_entries import TableFiles
from tiltmeter.store.parquet_rows import RowFilter
from tiltmeter.store.schema import TableDefinition
from tiltmeter.store.snapshot import snapshot
from tiltmeter.store.table import StoredTable, in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tiltmeter.domain.model import Model, TableSource
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import Clock, Rows

_PLAIN = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "appendOnly", "invariants"})
"""Reader features that change nothing about the data files."""

_BY_QUERY = frozenset({"deletionVectors", "columnMapping"})
"""Reader features under which a data file alone says something else than the table."""


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

    def new_rows(self, since: int | None) -> Rows:
        """Rows with a prediction of later versions; all for None."""
        wanted = RowFilter(present=self._predicted())
        if self._by_query():
            return self._queried(wanted, since)
        snap = snapshot(self.table)
        if snap is None:
            raise self._absent()
        self._check_columns(snap.schema)
        return snap.rows_since(since, wanted)

    def rows(self, window: Window, filters: Mapping[str, object] | None = None) -> Rows:
        """Rows with a prediction in the window."""
        span = (self.source.columns.get("time", "time"), window.start, window.end)
        wanted = RowFilter(dict(filters or {}), self._predicted(), span)
        if self._by_query():
            return self._queried(wanted, None)
        snap = snapshot(self.table)
        if snap is None:
            raise self._absent()
        self._check_columns(snap.schema)
        return snap.rows(wanted)

    def _predicted(self) -> tuple[str, ...]:
        column = self.source.columns.get("prediction")
        return (column,) if column else ()

    def _absent(self) -> UnreadableData:
        return UnreadableData("there is no Delta table", at=self.source.table, hint="check `source.table`")

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
                hint="use `engine: spark`, or turn the feature off",
            )
        return mapped or bool(features & _BY_QUERY)

    def _queried(self, wanted: RowFilter, since: int | None) -> Rows:
        handle = self.table.reading()
        if handle is None:
            raise self._absent()
        with in_our_words(self.source.table):
            schema = pa.schema(handle.schema().to_arrow())
            version = handle.version()
        self._check_columns(schema)
        if since is not None and since < version:
            raise StoreError(
                "new rows of a table with deletion vectors or column mapping cannot be told from old ones",
                at=self.source.table,
                hint="enable the change data feed on it, or use `engine: spark`",
            )
        nothing = since is not None
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


def _select(columns: list[str]) -> str:
    # Identifiers cannot be parameters; a quoted identifier ends only at a quote, and quotes inside are doubled.
    quoted = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
    return f"SELECT {quoted} FROM source"  # noqa: S608 - identifiers quoted above, no values
