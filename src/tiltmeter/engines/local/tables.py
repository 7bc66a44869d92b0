"""Rows that lie in memory: Arrow tables and the data frames of any library."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.profiling.plain_arrays import without_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Note = Callable[[str], None]

BATCH_ROWS = 262_144
"""Rows of a batch cut from data in memory: its columns stay within the second-level cache of a core."""

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
_NOT_ARROW = (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError, AttributeError)


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """An Arrow table as rows.

    Args:
        table: column names without repeats.
        name: what people call it.
        version: of the table that is pinned, None without versions.
    """

    table: pa.Table
    name: str = "data frame"
    version: int | None = None

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema."""
        return self.table.schema

    def count(self) -> int | None:
        """Number of rows."""
        return int(self.table.num_rows)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches in row order."""
        table = self.table if columns is None else self.table.select(list(columns))
        yield from table.to_batches(max_chunksize=BATCH_ROWS)


class LeftOut(str):
    """A note on columns that are left out; `names` says which, so that the other side leaves them out as well."""

    __slots__ = ("names",)
    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str, names: Sequence[str]) -> LeftOut:
        """The note with the names it speaks about."""
        note = cls(text)
        note.names = tuple(names)
        return note


def without_twins(schema: pa.Schema, name: str, note: Note) -> list[str]:
    """Column names that occur once; the others are noted."""
    counts = Counter(schema.names)
    twins = sorted(column for column, times in counts.items() if times > 1)
    if twins:
        words = f"{name}: column names that occur more than once are left out: {', '.join(twins)}"
        note(LeftOut.of(words, twins))
    return [column for column in schema.names if counts[column] == 1]


def select_once(table: pa.Table, name: str, note: Note) -> pa.Table:
    """The table without columns whose name occurs twice."""
    kept = without_twins(table.schema, name, note)
    if len(kept) == len(table.schema.names):
        return table
    return pa.table([table.column(table.schema.names.index(column)) for column in kept], names=kept)


def with_constants(table: pa.Table, constants: Mapping[str, pa.Scalar]) -> pa.Table:
    """The table with columns of one value each behind its own; a name that it has already is left to it."""
    for name, value in constants.items():
        if name not in table.schema.names:
            rows = table.num_rows
            table = table.append_column(name, pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, value.type))
    return table


def frame_rows(source: Any, note: Note) -> TableRows:  # noqa: ANN401 - a data frame of any library
    """Rows of a data frame of any library that speaks the Arrow C stream protocol, or of a mapping of columns.

    Raises:
        UnreadableData: the object is no table.
    """
    name = "data frame"
    try:
        table = pa.table(source)
    except _NOT_ARROW:
        table = _column_by_column(source)
    if table is None:
        raise UnreadableData(
            f"an object of type {type(source).__module__}.{type(source).__name__} is no table",
            hint="give a path, or a pandas, Polars or PyArrow table",
        )
    names = table.schema.names
    # By position: such a name may occur twice.
    wanted = [position for position, column in enumerate(names) if not _UNNAMED_INDEX.fullmatch(column)]
    kept = select_once(table.select(wanted) if len(wanted) < len(names) else table, name, note)
    return TableRows(without_views(kept), name)


def _column_by_column(source: Any) -> pa.Table | None:  # noqa: ANN401 - as `frame_rows`
    """A frame that Arrow refuses as a whole (mixed objects, repeated names), column by column, odd ones as text."""
    columns = _columns_of(source)
    if columns is None:
        return None
    names, arrays = [], []
    for name, values in columns:
        names.append(str(name).encode("utf-8", "replace").decode("utf-8"))
        arrays.append(array_of(values))
    lengths = {len(array) for array in arrays}
    return pa.Table.from_arrays(arrays, names=names) if len(lengths) == 1 else None


def _columns_of(source: Any) -> list[tuple[object, Any]] | None:  # noqa: ANN401 - as `frame_rows`
    if hasattr(source, "items") and not hasattr(source, "columns"):
        return list(source.items())
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return [(name, source.iloc[:, position]) for position, name in enumerate(source.columns)]
    return None


def array_of(values: Any) -> pa.Array:  # noqa: ANN401 - a column of any library
    """An Arrow array of the values; as text where they are of several types or fit none."""
    try:
        array = pa.array(values, from_pandas=True)
    except _NOT_ARROW:
        listed = list(values)
        array = pa.array([None if _is_missing(value) else _text(value) for value in listed], type=pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _is_missing(value: object) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value  # noqa: PLR0124 - NaN alone differs from itself


def _text(value: object) -> str:
    try:
        text = str(value)
    except ValueError:  # integers of more than 4,300 digits have no text by default
        text = hex(value) if isinstance(value, int) else repr(type(value))
    return text.encode("utf-8", "replace").decode("utf-8")


def table_of_rows(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """A table of records whose keys and types may differ."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: array_of([row.get(name) for row in rows]) for name in names})
