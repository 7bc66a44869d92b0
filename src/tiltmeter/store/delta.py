"""The log: predictions, outcomes, batch runs and traffic in Delta tables, written by the handle rule of the library.

Writer: open fresh, look at the transactions, write through that very handle, drop it. Reader: a kept handle, moved on
by increments, opened anew every hour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.domain.errors import StoreError, UsageError
from tiltmeter.store.foreign import ForeignTable
from tiltmeter.store.job_runs import LONGEST_RUN, REPORTED, whole_runs
from tiltmeter.store.log_entries import TableFiles
from tiltmeter.store.newest import newest
from tiltmeter.store.parquet_rows import ParquetRows, RowFilter
from tiltmeter.store.schema import BATCH_RUNS, OUTCOMES, PREDICTIONS, TABLES, TRAFFIC
from tiltmeter.store.snapshot import snapshot, snapshot_at
from tiltmeter.store.table import ConcurrentCommitError, StoredTable, WriteHandle, check_options
from tiltmeter.store.traffic import states_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tiltmeter.domain.model import Model
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import Clock, Rows
    from tiltmeter.store.foreign import SourceRows

RIVAL_TRIES = 20
"""How often a commit is tried again after a rival's: with two shippers by mistake one of them moves on each time."""

LOT_ROWS = 100_000
"""Rows of outcomes that are looked through at once, at least."""

_UNASKED = {"ingest_date", "row_id"}

_CORRECTIONS = ["recorded_time", "ingest_time", "position"]
"""By which a later row of an outcome beats an earlier one."""

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(slots=True, eq=False)
class DeltaLog:
    """A PredictionLog over Delta tables under one root.

    Args:
        root: folder, or address in an object store.
        clock: decides when kept handles are opened anew.
        models: models by name; those with a source are read in place, privacy rules apply to samples.
        options: of the object store.
        folders: opens the source of a model that is a folder of files; None for one that is a Delta table.
    """

    root: Path | str
    clock: Clock
    models: Mapping[str, Model] = field(default_factory=dict)
    options: Mapping[str, str] | None = None
    folders: Callable[[Model], SourceRows | None] = lambda _: None
    _tables: dict[str, StoredTable] = field(default_factory=dict)
    _foreign: dict[str, SourceRows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse unsafe store options."""
        check_options(self.options)

    def table(self, name: str) -> StoredTable:
        """One of our tables, created or not.

        Raises:
            UsageError: there is no such table.
        """
        if name not in TABLES:
            raise UsageError(f'there is no table "{name}"', hint=f"one of {', '.join(TABLES)}")
        if name not in self._tables:
            root = str(self.root).rstrip("/")
            self._tables[name] = StoredTable(TABLES[name], TableFiles(f"{root}/{name}", self.options), self.clock)
        return self._tables[name]

    def version(self, name: str) -> int | None:
        """Newest version of one of our tables, None while it does not exist; cheap enough to ask every ten seconds."""
        snap = snapshot(self.table(name))
        return snap.version if snap is not None else None

    def for_writing(self, name: str) -> WriteHandle:
        """A fresh handle of a table, for one commit."""
        return self.table(name).for_writing()

    def append(self, name: str, rows: pa.Table, transactions: Mapping[str, int] | None = None) -> int | None:
        """Append rows once: a second call with the same transactions changes nothing.

        Args:
            name: of the table.
            rows: its columns.
            transactions: application id -> sequence, all of them in the table together or not at all.

        Returns:
            The version that holds the rows, None when they were there already.

        Raises:
            StoreError: the table is away, or only some of the transactions are in it.
        """
        transactions = transactions or {}
        for _ in range(RIVAL_TRIES):
            handle = self.for_writing(name)
            there = [slot for slot, seq in transactions.items() if handle.contains(slot, seq)]
            if transactions and len(there) == len(transactions):
                return None
            if there:
                raise StoreError(f"{len(there)} of {len(transactions)} parts are in the table already", at=name)
            try:
                return handle.append(rows, transactions)
            except ConcurrentCommitError:
                continue
        raise ConcurrentCommitError(name, f"{RIVAL_TRIES} times in a row")

    def new_rows(self, model: Model, since: int | None, begin: datetime | None = None) -> Rows:
        """As the port."""
        if model.source is not None:
            return self._source(model).new_rows(since, begin)
        return self._predictions(RowFilter({"model_name": model.name}, ("prediction",)), since)

    def rows(self, model: Model, window: Window) -> Rows:
        """As the port."""
        if model.source is not None:
            return self._source(model).rows(window)
        span = ("request_time", window.start, window.end)
        return self._predictions(RowFilter({"model_name": model.name}, ("prediction",), span), None)

    def rows_at(self, model: Model, window: Window, version: int) -> Rows | None:
        """As the port; versions of a table that is read in place are its owner's."""
        if model.source is not None:
            return None
        snap = snapshot_at(self.table(PREDICTIONS.name), version)
        if snap is None:
            return None
        span = ("request_time", window.start, window.end)
        return snap.rows(RowFilter({"model_name": model.name}, ("prediction",), span))

    def sample(
        self, model: str, window: Window, filters: Mapping[str, object], limit: int = 20
    ) -> list[dict[str, Any]]:
        """As the port."""
        known = self.models.get(model)
        if known is not None and known.source is not None:
            rows: Rows = self._source(known).rows(window, filters)
        else:
            span = ("request_time", window.start, window.end)
            rows = self._predictions(RowFilter({"model_name": model, **filters}, (), span), None)
        found: list[dict[str, Any]] = []
        for batch in rows.batches():
            found.extend(batch.slice(0, limit - len(found)).to_pylist())
            if len(found) >= limit:
                break
        hidden = set(known.drop) | set(known.hash) if known is not None and known.source is not None else set()
        return [{k: v for k, v in row.items() if k not in hidden and v is not None} for row in found]

    def outcomes(self, model: str, until: datetime) -> pa.Table:
        """As the port. Known means: it had happened, whenever we were told; so a back-fill gives what live gave."""
        snap = snapshot(self.table(OUTCOMES.name))
        if snap is None:
            return OUTCOMES.columns.empty_table()
        # What replaced a row is found first: a correction may move an outcome to another time or model.
        rows = newest(_read(snap.rows(), OUTCOMES.columns), ["outcome_id"], _CORRECTIONS)
        mine = pc.fill_null(pc.equal(rows["model_name"], model), fill_value=True)
        happened = pc.less_equal(rows["outcome_time"], pa.scalar(until, rows["outcome_time"].type))
        return rows.filter(pc.and_(mine, happened))

    def known_outcomes(self, ids: pa.Array) -> pa.Table:
        """Newest row of each of these outcomes, of all models; memory is bounded by what is asked for.

        Args:
            ids: values of `outcome_id`.
        """
        snap = snapshot(self.table(OUTCOMES.name))
        if snap is None or not len(ids):
            return OUTCOMES.columns.empty_table()
        rows = snap.rows()
        names = [name for name in OUTCOMES.columns.names if name in rows.schema.names and name not in _UNASKED]
        schema = pa.schema([OUTCOMES.columns.field(name) for name in names])
        # Each look costs as much as the ids asked for, so it is worth as many rows.
        most = max(LOT_ROWS, len(ids))
        asked = [
            table.filter(pc.is_in(table["outcome_id"], ids))
            for table in _lots(rows.batches(names), pa.schema([rows.schema.field(name) for name in names]), most)
        ]
        return newest(pa.concat_tables([t.cast(schema) for t in asked]), ["outcome_id"], _CORRECTIONS)

    def batch_runs(self, since: datetime) -> list[dict[str, Any]]:
        """As the port."""
        earliest = datetime.min.replace(tzinfo=since.tzinfo)
        before = since - min(LONGEST_RUN, since - earliest)
        return [run for run in whole_runs(self.stored_runs(before)) if run["start_time"] >= since]

    def stored_runs(self, since: datetime, workspace: str | None = None) -> list[dict[str, Any]]:
        """Newest row of each run and task; counts that a later row does not know are kept from the one that told them.

        Args:
            since: runs that started since then.
            workspace: only of this one.
        """
        snap = snapshot(self.table(BATCH_RUNS.name))
        if snap is None:
            return []
        equal = {} if workspace is None else {"workspace": workspace}
        wanted = RowFilter(equal, span=("start_time", since, _END_OF_TIME))
        rows = _read(snap.rows(wanted), BATCH_RUNS.columns)
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows.sort_by("ingest_time").to_pylist():
            key = tuple(row[column] for column in BATCH_RUNS.key)
            before = found.get(key, {})
            found[key] = {**row, **{c: before[c] for c in REPORTED if row[c] is None and before.get(c) is not None}}
        return sorted(found.values(), key=lambda row: row["start_time"])

    def traffic(self, model: str, window: Window) -> list[TrafficState]:
        """As the port."""
        snap = snapshot(self.table(TRAFFIC.name))
        if snap is None:
            return []
        wanted = RowFilter({"model_name": model}, (), ("window_start", window.start, window.end))
        return states_of(snap.rows(wanted).batches())

    def _predictions(self, wanted: RowFilter, since: int | None) -> ParquetRows:
        table = self.table(PREDICTIONS.name)
        snap = snapshot(table)
        if snap is None:
            return ParquetRows(PREDICTIONS.name, None, table.files, (), PREDICTIONS.columns, wanted)
        return snap.rows_since(since, wanted)

    def _source(self, model: Model) -> SourceRows:
        if model.name not in self._foreign:
            found = self.folders(model) or ForeignTable.of(model, self.clock, self.options)
            self._foreign[model.name] = found
        return self._foreign[model.name]


def _lots(batches: Iterator[pa.RecordBatch], schema: pa.Schema, most: int) -> Iterator[pa.Table]:
    """Batches put together until they are so many rows."""
    lot: list[pa.RecordBatch] = []
    waiting = 0
    for batch in batches:
        lot.append(batch)
        waiting += batch.num_rows
        if waiting >= most:
            yield pa.Table.from_batches(lot, schema)
            lot, waiting = [], 0
    yield pa.Table.from_batches(lot, schema)


def _read(rows: ParquetRows, columns: pa.Schema) -> pa.Table:
    names = [name for name in columns.names if name in rows.schema.names]
    schema = pa.schema([rows.schema.field(name) for name in names])
    table = pa.Table.from_batches(rows.batches(names), schema)
    return table.cast(pa.schema([columns.field(name) for name in names]))
