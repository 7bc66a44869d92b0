"""Parquet files by row group, dictionaries kept; a file that unpacks into far more than it is gets refused unread."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.engines.local.tables import BATCH_ROWS, TableRows, without_twins
from tiltmeter.profiling.kernel import COMPILED_ROWS, compiled_kernel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tiltmeter.engines.local.tables import Note
    from tiltmeter.ports import Rows
    from tiltmeter.profiling.loose_columns import LooseColumn

FREE_BYTES = 2**30
"""Up to 1 GB unpacked any ratio is fine."""
MAX_RATIO = 1_000
"""Unpacked bytes per byte of the file; real tables stay under 100."""
MAX_GROUP_ROWS = 2_000_000
"""Larger row groups are decoded in parts, so that memory stays bounded."""
BLOCK_COLUMNS = 250
"""Most columns read at once: Arrow holds buffers of all of them meanwhile, 440 MB for the 80 MB of 10,000 columns."""
BLOCK_VALUES = 500_000
"""Values read at once: what few columns were decoded into is still in a cache when they are counted, and the next few
are decoded into the same memory. A fifth of the time of decoding."""
COLUMN_BYTES = 2**29
"""Bytes of one column that are decoded at once. Arrow's text ends at 2 GB, and long text is not spread evenly."""
PAGED_ROWS = 20_000
"""Row groups of fewer rows are decoded by PyArrow: a column costs our own reader 0.1 ms whatever it holds."""
KEPT_BYTES = 2**27
"""Up to 128 MB decoded, a file of one row group is kept where it is read twice: longer ones are read in parallel."""
_BYTES_PER_VALUE = 8  # of a decoded number; a constant column of a billion rows takes no room in the file


@dataclass(frozen=True, slots=True, eq=False)
class ParquetRows:
    """The rows of one Parquet file.

    Args:
        source: a path, or an open file of any file system.
        name: what people call it.
        note: takes what is left out.
        constants: columns that the file may lack (partition values, columns younger than it), with their one value.
        version: of the table that is pinned, None without versions.
        column_bytes: a row group with a column that holds more is decoded in parts.
    """

    source: Any
    name: str
    note: Note
    constants: Mapping[str, pa.Scalar]
    version: int | None = None
    column_bytes: int = COLUMN_BYTES
    _footers: dict[object, _Footer] = field(default_factory=dict, repr=False)

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema, columns whose name occurs twice left out, constants behind."""
        inside = self._footer().schema
        names = without_twins(inside, self.name, self.note)
        beside = [pa.field(name, value.type) for name, value in self.constants.items() if name not in inside.names]
        if len(names) == len(inside) and not beside:
            return inside.remove_metadata()
        return pa.schema([*(inside.field(name) for name in names), *beside])

    def count(self) -> int | None:
        """Number of rows, from the footer."""
        return int(self._footer().metadata.num_rows)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches in row order, a row group each."""
        for group in range(self.groups()):
            yield from self.group_batches(group, columns)

    def _is_far(self) -> bool:
        # Through a network one request takes many columns.
        return not isinstance(self.source, str | Path)

    def parts(self) -> list[_RowGroup]:
        """The row groups; each may be read in a thread of its own."""
        return [_RowGroup(self, group) for group in range(self.groups())]

    def groups(self) -> int:
        """Number of row groups."""
        return int(self._footer().metadata.num_row_groups)

    def group_batches(self, group: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of one row group; may run in any thread."""
        for portions in self.group_portions(group, columns):
            yield _beside(list(portions))

    def group_portions(self, group: int, columns: Sequence[str] | None = None) -> Iterator[Iterator[pa.RecordBatch]]:
        """The same a few columns at a time: record batches that hold different columns of the same rows."""
        footer = self._footer()
        names = footer.schema.names
        known = set(names)
        held = footer.metadata.row_group(group)
        rows, large = held.num_rows, self._large_columns(held)
        inside = [name for name in columns if name in known] if columns is not None else _once(names)
        if not inside:  # the footer says how many rows there are
            yield iter([self._with_constants(_no_columns(rows), columns)])
            return
        with self._told_of_damage(), self._open(footer, without=large) as file:
            at_once = self._rows_at_once(rows, large)
            if at_once < rows:
                for part in file.iter_batches(at_once, row_groups=[group], columns=inside, use_threads=False):
                    yield iter([self._with_constants(part, columns)])
            elif rows:
                yield self._portions(file, group, inside, columns)

    def _large_columns(self, group: pq.RowGroupMetaData) -> dict[str, int]:
        """Bytes of the columns that are too large to be decoded at once."""
        if group.total_byte_size <= self.column_bytes and not self._footer().fixed:
            return {}
        columns = (group.column(column) for column in range(group.num_columns))
        fixed = self._footer().fixed
        sizes = (
            (column.path_in_schema, max(column.total_uncompressed_size, column.num_values * fixed.get(place, 0)))
            for place, column in enumerate(columns)
        )
        return {path: size for path, size in sizes if size > self.column_bytes}

    def _rows_at_once(self, rows: int, large: Mapping[str, int]) -> int:
        """All rows of a row group, or as many as are decoded in one part."""
        if large:
            return max(1, min(BATCH_ROWS, rows * self.column_bytes // max(large.values())))
        return BATCH_ROWS if rows > MAX_GROUP_ROWS else rows

    def _portions(
        self, file: pq.ParquetFile, group: int, inside: list[str], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        rows = file.metadata.row_group(group).num_rows
        size = BLOCK_COLUMNS if self._is_far() else max(1, min(BLOCK_COLUMNS, BLOCK_VALUES // rows))
        for start in range(0, len(inside), size):
            chosen = inside[start : start + size]
            with self._told_of_damage():
                table = file.read_row_group(group, columns=chosen, use_threads=False)
                batch = _one_batch(table)
            yield self._with_constants(batch, columns) if start + size >= len(inside) else batch

    def group_loose(self, group: int, columns: Sequence[str]) -> Iterator[LooseColumn]:
        """Flat columns of one row group read by its pages, where the compiled kernel is loaded for the rows anyway."""
        footer = self._footer()
        held = footer.metadata.row_group(group)
        many = footer.metadata.num_rows > COMPILED_ROWS and PAGED_ROWS <= held.num_rows <= MAX_GROUP_ROWS
        if self._is_far() or not many or self._large_columns(held) or compiled_kernel() is None:
            return
        with self._told_of_damage():
            file = os.open(self.source, os.O_RDONLY)
        try:
            pages = import_module("tiltmeter.engines.local.parquet_pages").PageReader(
                file, footer.metadata, group, footer.schema
            )
            for name in columns:
                column = pages.column(name)
                if column is not None:
                    yield column
        finally:
            os.close(file)

    def _with_constants(self, batch: pa.RecordBatch, columns: Sequence[str] | None) -> pa.RecordBatch:
        if not self.constants:
            return batch
        inside, asked = set(self._footer().schema.names), None if columns is None else set(columns)
        beside = [name for name in self.constants if name not in inside and (asked is None or name in asked)]
        for name in beside:
            batch = batch.append_column(name, _repeated(self.constants[name], batch.num_rows))
        return batch

    def _open(self, footer: _Footer, *, without: Collection[str] = ()) -> pq.ParquetFile:
        # A dictionary grows from part to part: of long texts it would pass 2 GB however small the parts are.
        words = [name for name in footer.words if name not in without] or None
        return pq.ParquetFile(self.source, read_dictionary=words, metadata=footer.metadata, pre_buffer=self._is_far())

    def _footer(self) -> _Footer:
        """Parsed once for each state of the file: that takes 0.1 s at 10,000 columns."""
        with self._told_of_damage():
            state = _state(self.source)
            known = self._footers.get(state)
            if known is None:
                file = pq.ParquetFile(self.source)
                _refuse_bombs(file, self.name)
                words = [column.name for column in file.schema_arrow if _is_words(column.type)]
                if words:  # opened again as it will be read, dictionaries kept
                    file = pq.ParquetFile(self.source, read_dictionary=words, metadata=file.metadata)
                known = _Footer(file.metadata, words, file.schema_arrow, _fixed_widths(file.metadata.schema))
                self._footers.clear()
                self._footers[state] = known
            return known

    @contextmanager
    def _told_of_damage(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UnreadableData(
                f"the file cannot be read as Parquet: {reason}", at=self.name, hint="is the file complete?"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class _Footer:
    """What a file says of itself.

    Args:
        metadata: sizes of row groups and columns.
        words: columns of text and bytes, whose dictionaries are kept.
        schema: as the file is read.
        fixed: bytes of a value by the place of the column, where all have so many: such dictionaries are not kept.
    """

    metadata: pq.FileMetaData
    words: list[str]
    schema: pa.Schema
    fixed: Mapping[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _RowGroup:
    """One row group as rows."""

    rows: ParquetRows
    group: int

    @property
    def name(self) -> str:
        return self.rows.name

    @property
    def version(self) -> int | None:
        return self.rows.version

    @property
    def schema(self) -> pa.Schema:
        return self.rows.schema

    def count(self) -> int | None:
        return None

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        return self.rows.group_batches(self.group, columns)

    def loose_columns(self, columns: Sequence[str]) -> Iterator[LooseColumn]:
        return self.rows.group_loose(self.group, columns)

    def portions(self, columns: Sequence[str]) -> Iterator[Iterator[pa.RecordBatch]]:
        return self.rows.group_portions(self.group, columns)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batch, *more = table.combine_chunks().to_batches()
    if more:  # the first alone would lose rows
        raise pa.ArrowCapacityError("the lists of a row group hold more than 2 GB")
    return batch


def _repeated(value: pa.Scalar, rows: int) -> pa.Array:
    return pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, value.type)


def _beside(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Batches of the same rows as one."""
    if len(batches) == 1:
        return batches[0]
    fields = [field for batch in batches for field in batch.schema]
    return pa.RecordBatch.from_arrays(
        [column for batch in batches for column in batch.columns], schema=pa.schema(fields)
    )


def kept_in_memory(rows: Rows) -> Rows:
    """The rows of a short file decoded once, for who reads them more than once; any other rows as they are."""
    if not isinstance(rows, ParquetRows) or rows.groups() != 1:
        return rows
    schema = rows.schema
    if (rows.count() or 0) * len(schema) * _BYTES_PER_VALUE > KEPT_BYTES or any(map(_has_words, schema.types)):
        return rows
    return TableRows(pa.Table.from_batches(rows.batches(schema.names), schema), rows.name, rows.version)


def _state(source: object) -> object:
    """What changes when a file is written anew; nothing for a file that is open already."""
    if not isinstance(source, str | Path):
        return None
    found = Path(source).stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _refuse_bombs(file: pq.ParquetFile, name: str) -> None:
    metadata = file.metadata
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    stated = sum(group.total_byte_size for group in groups)
    decoded = metadata.num_rows * metadata.num_columns * _BYTES_PER_VALUE
    unpacked = max(stated, decoded)
    if unpacked <= FREE_BYTES:
        return
    packed = sum(
        group.column(column).total_compressed_size for group in groups for column in range(metadata.num_columns)
    )
    # Constant columns of a real table shrink a lot more than 1,000 times, but not from terabytes.
    limit = max(FREE_BYTES, MAX_RATIO * packed)
    if stated > limit or decoded > 1_000 * limit:
        raise UnreadableData(
            f"the file unpacks from {packed} to {unpacked} bytes and is refused",
            at=name,
            hint="rewrite it if you trust it",
        )


def _fixed_widths(schema: pq.ParquetSchema) -> dict[int, int]:
    columns = enumerate(schema.column(place) for place in range(len(schema)))
    return {place: column.length for place, column in columns if column.physical_type == "FIXED_LEN_BYTE_ARRAY"}


def _is_words(data_type: pa.DataType) -> bool:
    """Whether values differ in length: a file may hold one long value once for all of its rows."""
    is_text = pa.types.is_string(data_type) or pa.types.is_large_string(data_type)
    return bool(is_text or pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type))


def _has_words(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(data_type) or pa.types.is_nested(data_type) or _is_words(data_type))


def _once(names: Sequence[str]) -> list[str]:
    times = Counter(names)
    return [name for name in names if times[name] == 1]


def _no_columns(rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), rows, [None]))
