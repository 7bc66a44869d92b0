"""Several files as one data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from tiltmeter.engines.local.parquet_files import ParquetRows
from tiltmeter.engines.local.untyped import Untyped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiltmeter.ports import Rows


@dataclass(frozen=True, slots=True, eq=False)
class FilesRows:
    """The rows of several files, one after another. A file may lack columns.

    Args:
        name: what people call it.
        schema: of all files together.
        files: in order.
        version: of the table that is pinned, None without versions.
    """

    name: str
    schema: pa.Schema
    files: tuple[Rows, ...]
    version: int | None = None

    def count(self) -> int | None:
        """Number of rows; None where one file does not tell."""
        counts = [file.count() for file in self.files]
        return None if None in counts else sum(count for count in counts if count is not None)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches in the order of files and rows; a batch holds the columns that its file has."""
        names = list(self.schema.names if columns is None else columns)
        for file in self.files:
            there = set(file.schema.names)
            yield from file.batches([name for name in names if name in there])

    def parts(self) -> list[Rows]:
        """The files, or their row groups; each may be read in a thread of its own."""
        listed: list[Rows] = []
        for file in self.files:
            alone = FilesRows(file.name, file.schema, (file,))  # asked for the columns of all files, it gives its own
            listed.extend(file.parts() if isinstance(file, ParquetRows) else [alone])
        return listed

    def with_text(self, names: Sequence[str]) -> FilesRows:
        """The same rows with these columns read as text in files that state no types; itself where they are already."""
        files = tuple(file.with_text(names) if isinstance(file, Untyped) else file for file in self.files)
        if all(file is before for file, before in zip(files, self.files, strict=True)):
            return self
        return FilesRows(self.name, joined_schema([file.schema for file in files]), files, self.version)


def joined_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Every column once; numbers of different width widen, otherwise the first type stands."""
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            fields[field.name] = _joined_field(fields.get(field.name), field)
    return pa.schema(list(fields.values()))


def _joined_field(one: pa.Field | None, other: pa.Field) -> pa.Field:
    if one is None or one.type == other.type:
        return other if one is None else one
    try:
        return pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive").field(0)
    except pa.ArrowException:
        return one
