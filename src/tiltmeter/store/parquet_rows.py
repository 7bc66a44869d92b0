"""Rows of our own tables: the file list from the Delta log, row groups by PyArrow, dictionaries kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tiltmeter.profiling.hours import NO_TIME, epoch_seconds
from tiltmeter.store.table import in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tiltmeter.store.log_entries import AddedFile, TableFiles

BATCH_ROWS = 131_072
"""Rows of one record batch: the kernel's memory is bounded by it."""


@dataclass(frozen=True, slots=True, eq=False)
class RowFilter:
    """Which rows are wanted; all conditions hold together.

    Args:
        equal: column -> value.
        present: columns that must not be null.
        span: time column, inclusive start and exclusive end (aware UTC).
    """

    equal: Mapping[str, Any] = field(default_factory=dict)
    present: tuple[str, ...] = ()
    span: tuple[str, Any, Any] | None = None

    @property
    def columns(self) -> list[str]:
        """Columns the filter looks at."""
        return [*self.equal, *self.present, *([self.span[0]] if self.span else [])]

    def keeps(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The wanted rows of a batch that holds the filter's columns."""
        mask = None
        for condition in self._conditions(batch):
            mask = condition if mask is None else pc.and_kleene(mask, condition)
        return batch if mask is None or pc.all(mask, skip_nulls=False).as_py() else batch.filter(mask)

    def _conditions(self, batch: pa.RecordBatch) -> Iterator[Any]:
        for column, value in self.equal.items():
            stored = batch.column(column)
            yield pc.is_null(stored) if value is None else pc.equal(_plain(stored), pa.scalar(value))
        for column in self.present:
            yield pc.is_valid(batch.column(column))
        if self.span is not None:
            column, start, end = self.span
            times = utc_times(batch.column(column))
            yield pc.and_kleene(
                pc.greater_equal(times, pa.scalar(start, times.type)), pc.less(times, pa.scalar(end, times.type))
            )


def utc_times(column: pa.Array) -> pa.Array:
    """A time column as UTC timestamps; null where there is no time.

    Args:
        column: timestamps, those without a zone being UTC; dates; ISO 8601 text; or epoch seconds.

    Raises:
        UsageError: it holds something else.
    """
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return column if column.type.unit == "us" else column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    seconds = epoch_seconds(column)
    there = seconds > NO_TIME
    return pa.array(np.where(there, seconds, 0) * 1_000_000, mask=~there).cast(pa.timestamp("us", tz="UTC"))


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


@dataclass(slots=True, eq=False)
class ParquetRows:
    """Chosen rows of a pinned version of one of our tables.

    Args:
        name: what people call it.
        version: of the table.
        files: where the table lies.
        added: data files that may hold wanted rows, in the order of the version.
        stored: Arrow schema of the version.
        wanted: which of their rows are meant.
    """

    name: str
    version: int | None
    files: TableFiles
    added: Sequence[AddedFile]
    stored: pa.Schema
    wanted: RowFilter = field(default_factory=RowFilter)
    _count: int | None = None

    @property
    def schema(self) -> pa.Schema:
        """Columns of the version; text comes as dictionaries."""
        return pa.schema([f.with_type(_read_type(f.type)) for f in self.stored])

    def count(self) -> int | None:
        """Wanted rows, from the log where nothing is filtered, else by reading the filter's columns once."""
        if self._count is None:
            counts = [file.rows for file in self.added]
            if not self.wanted.columns and all(rows is not None for rows in counts):
                self._count = sum(rows or 0 for rows in counts)
            else:
                self._count = sum(batch.num_rows for batch in self.batches([]))
        return self._count

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of the wanted rows; a column that a file lacks is null there.

        Raises:
            StoreError: a file is missing or damaged.
        """
        asked = list(self.stored.names if columns is None else [c for c in columns if c in self.stored.names])
        for file in self.added:
            yield from self._file_batches(file, asked)

    def _file_batches(self, file: AddedFile, asked: list[str]) -> Iterator[pa.RecordBatch]:
        needed = list(dict.fromkeys([*asked, *self.wanted.columns]))
        with in_our_words(self.files.root), self.files.opened(file.path) as source:
            text = [c for c in needed if pa.types.is_string(self.stored.field(c).type) and c not in file.partition]
            parquet = _opened(source, text)
            there = set(parquet.schema_arrow.names)
            inside = [c for c in needed if c in there]
            groups = [g for g in range(parquet.num_row_groups) if self._may_match(parquet, g)]
            if not groups:
                return
            read = parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=inside, use_threads=False)
            for batch in read:
                kept = self.wanted.keeps(self._complete(batch, needed, file))
                if kept.num_rows:
                    yield kept.select(asked)

    def _complete(self, batch: pa.RecordBatch, needed: list[str], file: AddedFile) -> pa.RecordBatch:
        arrays, fields = [], []
        for name in needed:
            stored = self.stored.field(name)
            if name in batch.schema.names:
                array = batch.column(name)
            elif name in file.partition:
                array = pa.repeat(_partition_scalar(file.partition[name], stored.type), batch.num_rows)
            else:
                array = pa.nulls(batch.num_rows, stored.type)
            wanted_type = _read_type(stored.type)
            arrays.append(array if array.type == wanted_type else array.cast(wanted_type))
            fields.append(stored.with_type(wanted_type))
        if not arrays:  # rows are counted, no column is wanted
            return batch.select([])
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _may_match(self, parquet: pq.ParquetFile, group: int) -> bool:
        if self.wanted.span is None:
            return True
        name, start, end = self.wanted.span
        meta = parquet.metadata.row_group(group)
        for index in range(meta.num_columns):
            column = meta.column(index)
            if column.path_in_schema == name and column.statistics is not None and column.statistics.has_min_max:
                return _may_overlap(column.statistics.min, column.statistics.max, start, end)
        return True


def _opened(source: Any, text: Sequence[str]) -> pq.ParquetFile:  # noqa: ANN401 - pyarrow ships no types
    """A file whose texts are read as dictionaries, as far as it has these columns."""
    try:
        return pq.ParquetFile(source, read_dictionary=text, pre_buffer=False)
    except KeyError:  # it is older than a column
        there = set(pq.read_schema(source).names)
        return pq.ParquetFile(source, read_dictionary=[name for name in text if name in there], pre_buffer=False)


def _may_overlap(least: object, greatest: object, start: datetime, end: datetime) -> bool:
    """Whether statistics leave room for a time in the span; those of text and numbers say nothing."""
    if not isinstance(least, datetime) or not isinstance(greatest, datetime):
        return True
    first, last = (one if one.tzinfo else one.replace(tzinfo=UTC) for one in (least, greatest))
    return first < end and last >= start


def _read_type(stored: pa.DataType) -> pa.DataType:
    return pa.dictionary(pa.int32(), pa.string()) if pa.types.is_string(stored) else stored


def _partition_scalar(value: str | None, stored: pa.DataType) -> pa.Scalar:
    if value is None:
        return pa.scalar(None, stored)
    if pa.types.is_date(stored):
        return pa.scalar(date.fromisoformat(value), stored)
    return pa.scalar(value, pa.string()).cast(stored)
