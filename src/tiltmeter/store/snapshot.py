"""What a table holds at one version, and what later versions added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import DeltaTable

from tiltmeter.domain.errors import StoreError
from tiltmeter.store.log_entries import AddedFile, data_path
from tiltmeter.store.parquet_rows import ParquetRows, RowFilter
from tiltmeter.store.table import in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiltmeter.store.table import StoredTable

_CUT = timedelta(milliseconds=1)
"""Times in the log's statistics are cut to milliseconds: the true greatest value is less than one later."""


WHOLE_TEXT = 32
"""Characters from which on the log's statistics may hold a cut text."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A pinned version of one of our tables.

    Args:
        table: where it lies.
        version: pinned.
        schema: Arrow schema of the version.
        files: live data files, in the order they were written.
    """

    table: StoredTable
    version: int
    schema: pa.Schema
    files: Sequence[AddedFile]

    def rows(self, wanted: RowFilter | None = None) -> ParquetRows:
        """Wanted rows; files that cannot hold any are left out by partition and statistics."""
        return _rows(self, self.files, wanted)

    def rows_since(self, version: int | None, wanted: RowFilter | None = None) -> ParquetRows:
        """Wanted rows that were added after a version, compactions left out.

        Raises:
            StoreError: the log no longer holds the versions in between, or a file of theirs is gone.
        """
        if version is None:
            return self.rows(wanted)
        added = [file for v in range(version + 1, self.version + 1) for file in self.table.files.added(v)]
        return _rows(self, added, wanted)

    def rows_of(self, files: Iterable[AddedFile], wanted: RowFilter | None) -> ParquetRows:
        """Wanted rows of chosen files."""
        return _rows(self, files, wanted)


def snapshot(table: StoredTable) -> Snapshot | None:
    """The newest version of a table; None while there is none."""
    handle = table.reading()
    if handle is None:
        return None
    with in_our_words(table.files.root):
        schema = pa.schema(handle.schema().to_arrow())
        actions = pa.table(handle.get_add_actions(flatten=True))
        version = handle.version()
    schema = pa.schema([pa.field(f.name, _plain_type(f.type), f.nullable) for f in schema])
    return Snapshot(table, version, schema, _live_files(actions))


def snapshot_at(table: StoredTable, version: int) -> Snapshot | None:
    """A table as it was at a version; None where the version, or a file of it, is no longer kept."""
    try:
        with in_our_words(table.files.root):
            handle = DeltaTable(table.files.root, version=version, storage_options=dict(table.files.options or {}))
            schema = pa.schema(handle.schema().to_arrow())
            files = _live_files(pa.table(handle.get_add_actions(flatten=True)))
        for file in files:
            table.files.rows_in(file.path)
    except StoreError:
        return None
    schema = pa.schema([pa.field(f.name, _plain_type(f.type), f.nullable) for f in schema])
    return Snapshot(table, version, schema, files)


def _rows(snap: Snapshot, files: Iterable[AddedFile], wanted: RowFilter | None) -> ParquetRows:
    wanted = wanted or RowFilter()
    # The log's statistics of a time are cut to milliseconds; those of text may be cut anywhere and prove nothing.
    is_time = wanted.span is not None and pa.types.is_timestamp(snap.schema.field(wanted.span[0]).type)
    kept = [file for file in files if _may_hold(file, wanted, is_time=is_time)]
    name = snap.table.definition.name
    return ParquetRows(f"{name}@{snap.version}", snap.version, snap.table.files, kept, snap.schema, wanted)


def _live_files(actions: pa.Table) -> list[AddedFile]:
    files = [
        AddedFile(
            path=data_path(action["path"]),
            partition={k.removeprefix("partition."): _text(v) for k, v in action.items() if k.startswith("partition.")},
            rows=action.get("num_records"),
            least={k.removeprefix("min."): v for k, v in action.items() if k.startswith("min.")},
            greatest={k.removeprefix("max."): v for k, v in action.items() if k.startswith("max.")},
            data_change=True,
            modified_ms=_milliseconds(action["modification_time"]),
        )
        for action in actions.to_pylist()
    ]
    # The log keeps no order of its own; rows are read in the order in which they arrived.
    return sorted(files, key=lambda file: (file.modified_ms, file.path))


def _milliseconds(moment: datetime | int) -> int:
    return int(moment.timestamp() * 1000) if isinstance(moment, datetime) else int(moment)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, date) else str(value)


def _plain_type(stored: pa.DataType) -> pa.DataType:
    """PyArrow's own name of what the log's schema calls it (views and large text come from other Arrow libraries)."""
    if pa.types.is_large_string(stored) or stored == pa.string_view():
        return pa.string()
    if pa.types.is_large_binary(stored) or stored == pa.binary_view():
        return pa.binary()
    return stored


def _may_hold(file: AddedFile, wanted: RowFilter, *, is_time: bool) -> bool:
    for column, value in wanted.equal.items():
        if column in file.partition and file.partition[column] != _text(value):
            return False
        least, greatest = file.least.get(column), file.greatest.get(column)
        # Long texts are cut in the statistics, and a cut greatest value is no upper limit: only short ones are used.
        if isinstance(value, str) and _is_outside(value, least, greatest):
            return False
    return wanted.span is None or not is_time or _overlaps(file, wanted.span)


def _is_outside(value: str, least: object, greatest: object) -> bool:
    if not isinstance(least, str) or not isinstance(greatest, str) or max(len(greatest), len(least)) >= WHOLE_TEXT:
        return False
    return not least <= value <= greatest


def _overlaps(file: AddedFile, span: tuple[str, Any, Any]) -> bool:
    column, start, end = span
    least, greatest = logged_moment(file.least.get(column)), logged_moment(file.greatest.get(column))
    if least is not None and least >= end:
        return False
    return greatest is None or greatest + _CUT > start


def logged_moment(value: object) -> datetime | None:
    """A time of the log's statistics, aware UTC; None for what is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
