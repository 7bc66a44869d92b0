"""Delta tables: own and plain ones by their file list and row groups; others after their protocol was read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError, TableNotFoundError

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.engines.local.folders import FilesRows
from tiltmeter.engines.local.parquet_files import ParquetRows
from tiltmeter.engines.local.tables import BATCH_ROWS
from tiltmeter.store.log_entries import TableFiles, data_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiltmeter.engines.local.tables import Note
    from tiltmeter.ports import Rows

# Reader features whose files are still plain Parquet of the table's own columns.
PLAIN_FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
# Reader features that the deltalake package applies itself when it runs a query.
QUERIED_FEATURES = frozenset({"columnMapping", "deletionVectors", "variantType", "variantType-preview"})


_ELSEWHERE = "export its rows to Parquet with the tool that writes it"
_LAYERS = re.compile(r"^(?:(?:External|Kernel|Generic delta kernel|Deletion Vector) error: )+")


def _said(error: Exception) -> str:
    """What the library found, without the names of its layers."""
    return _LAYERS.sub("", str(error).splitlines()[0])[:200]


def delta_rows(location: str, version: int | None, note: Note) -> Rows:
    """Rows of one pinned version of a Delta table.

    Args:
        location: path or address of the table.
        version: None takes the newest.
        note: takes what is left out.

    Raises:
        UnreadableData: there is no such table or version, or it uses a feature that cannot be read.
    """
    try:
        table = DeltaTable(location, version=version)
    except TableNotFoundError as error:
        raise UnreadableData("there is no Delta table", at=location, hint="check the path") from error
    except (DeltaError, OSError, ValueError) as error:
        asked = "" if version is None else f" at version {version}"
        hint = _ELSEWHERE if version is None else "check path and version"
        raise UnreadableData(
            f"the Delta table cannot be opened{asked}: {_said(error)}", at=location, hint=hint
        ) from error
    features = _reader_features(table)
    unknown = features - PLAIN_FEATURES - QUERIED_FEATURES
    if unknown:
        raise UnreadableData(
            f"the Delta table uses a feature that cannot be read: {', '.join(sorted(unknown))}",
            at=location,
            hint=_ELSEWHERE,
        )
    return QueriedRows(table, location) if features & QUERIED_FEATURES else _file_rows(table, location, note)


def _reader_features(table: DeltaTable) -> frozenset[str]:
    protocol = table.protocol()
    features = set(protocol.reader_features or ())
    configuration = table.metadata().configuration
    # Reader version 2 means column mapping, where it is switched on.
    if configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    elif protocol.min_reader_version < 3:
        features.discard("columnMapping")
    # Switched on does not mean used, yet only the query knows.
    if configuration.get("delta.enableDeletionVectors", "false") == "true":
        features.add("deletionVectors")
    return frozenset(features)


def _schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _file_rows(table: DeltaTable, location: str, note: Note) -> Rows:
    schema = _schema(table)
    partitions = list(table.metadata().partition_columns)
    actions = pa.table(table.get_add_actions(flatten=True))
    paths = [data_path(path) for path in actions.column("path").to_pylist()]
    if len(set(paths)) < len(paths):
        raise UnreadableData("the Delta table names a data file twice", at=location, hint=_ELSEWHERE)
    # A file that is older than a column holds nulls of it.
    nulls = {field.name: pa.scalar(None, type=field.type) for field in schema}
    files: list[Rows] = []
    for row in sorted(range(len(paths)), key=paths.__getitem__):
        constants = {
            name: _typed(actions.column(f"partition.{name}")[row], schema.field(name).type) for name in partitions
        }
        files.append(ParquetRows(_source(table, location, paths[row]), location, note, nulls | constants))
    return FilesRows(location, schema, tuple(files), table.version())


def _source(table: DeltaTable, location: str, path: str) -> object:
    """A local file by its path, else an open file through the table's own storage."""
    here = location.removeprefix("file://")
    if path.startswith("/") or ("://" not in here and "://" not in path):
        return Path(here, path)
    from deltalake.fs import DeltaStorageHandler
    from pyarrow import fs

    if "://" in path:
        return TableFiles(location).opened(path)
    return fs.PyFileSystem(DeltaStorageHandler.from_table(table._table)).open_input_file(path)  # noqa: SLF001 - the package offers no other way


def _typed(value: pa.Scalar, data_type: pa.DataType) -> pa.Scalar:
    return pa.scalar(None, type=data_type) if not value.is_valid else value.cast(data_type)


class QueriedRows:
    """A table whose files alone do not tell its rows: deltalake's query engine applies mapping and deletions."""

    def __init__(self, table: DeltaTable, location: str) -> None:
        self._table = table
        self.name = location
        self.version: int | None = table.version()
        self.schema = _schema(table)

    def count(self) -> int | None:
        """Unknown without reading: deletions are not in the log's row counts."""
        return None

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches."""
        names = self.schema.names if columns is None else columns
        chosen = ", ".join(quoted(name) for name in names) or "1"
        query = f"SELECT {chosen} FROM source"  # noqa: S608 - column names of the table itself, quoted
        try:
            answer = QueryBuilder().register("source", self._table).execute(query)
            reader = pa.RecordBatchReader.from_stream(answer)
            for batch in reader:
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield batch.slice(start, BATCH_ROWS)
        except (DeltaError, pa.ArrowException, OSError) as error:
            raise UnreadableData(
                f"the Delta table cannot be read: {_said(error)}",
                at=self.name,
                hint="restore the file that it names, read an earlier version with `PATH@VERSION`, or export the table",
            ) from error


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


__all__ = ["PLAIN_FEATURES", "QUERIED_FEATURES", "QueriedRows", "delta_rows", "quoted"]
