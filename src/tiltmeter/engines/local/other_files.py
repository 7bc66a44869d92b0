"""JSON lines and Arrow files."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import json as arrow_json

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.engines.local.csv_files import opened
from tiltmeter.engines.local.tables import TableRows, select_once, table_of_rows, with_constants
from tiltmeter.profiling.plain_arrays import without_views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tiltmeter.engines.local.tables import Note


def json_rows(path: Path, note: Note, constants: Mapping[str, pa.Scalar]) -> TableRows:
    """Rows of a JSON-lines file; nested objects become columns `a.b`, columns of several types become text.

    Args:
        path: the file.
        note: takes what is left out.
        constants: columns that the file may lack, with their one value.

    Raises:
        UnreadableData: a line is no JSON object, or there is none.
    """
    try:
        with opened(path) as stream:
            content = stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableData(f"the file cannot be read: {error}", at=str(path), hint="is the file complete?") from error
    if not content.strip():
        raise UnreadableData("the file is empty", at=str(path), hint="it needs one JSON object a line")
    try:
        table = _parsed(content)
    except pa.ArrowException:
        table = _line_by_line(content, path)
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return TableRows(with_constants(select_once(table, str(path), note), constants), str(path))


def _parsed(content: bytes) -> pa.Table:
    options = arrow_json.ReadOptions(block_size=min(2**30, len(content) + 1))
    return arrow_json.read_json(pa.BufferReader(content), read_options=options)


def _line_by_line(content: bytes, path: Path) -> pa.Table:
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_int=_number)
        except (ValueError, RecursionError) as error:
            raise UnreadableData(
                f"the line is no JSON: {error}", at=f"{path}:{number}", hint="each line holds one object"
            ) from error
        if not isinstance(row, dict):
            raise UnreadableData("the line is no JSON object", at=f"{path}:{number}", hint="each line holds one object")
        rows.append(_flat(row))
    return _with_times(table_of_rows(rows))


def _flat(row: Mapping[str, object]) -> dict[str, object]:
    """The row with fields of its objects as `a.b`: where another row holds a word in place of an object, they stay."""
    fields: dict[str, object] = {}
    waiting = list(row.items())[::-1]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend((f"{name}.{inner}", value[inner]) for inner in reversed(value))
        else:
            fields[name] = value
    return fields


def _with_times(table: pa.Table) -> pa.Table:
    """The table with columns of dates and times as such, wherever Arrow alone would have read them so."""
    for place, (field, column) in enumerate(zip(table.schema, table.columns, strict=True)):
        if not (pa.types.is_string(field.type) or pa.types.is_list(field.type)):
            continue
        first = next((value for value in column if value.is_valid), None)
        # One value rules most columns out.
        if first is not None and _holds_times(_read_alone([first.as_py()])):
            again = _read_alone(column.to_pylist())
            table = table.set_column(place, field.name, again) if _holds_times(again) else table
    return table


def _read_alone(values: Sequence[object]) -> pa.ChunkedArray | None:
    """The column as Arrow reads it from JSON lines; None where it does not."""
    content = "".join(json.dumps({"value": value}) + "\n" for value in values).encode()
    try:
        return _parsed(content).column("value")
    except pa.ArrowException:
        return None


def _holds_times(column: pa.ChunkedArray | None) -> bool:
    if column is None:
        return False
    inner = column.type.value_type if pa.types.is_list(column.type) else column.type
    return bool(pa.types.is_timestamp(inner))


def _number(digits: str) -> int | float:
    # Beyond 18 digits an integer may not fit 64 bits; beyond 4,300 Python refuses it.
    return int(digits) if len(digits) <= 18 else float(digits)


def arrow_rows(path: Path, note: Note, constants: Mapping[str, pa.Scalar]) -> TableRows:
    """Rows of an Arrow file (Feather 2, IPC file or stream), mapped into memory.

    Args:
        path: the file.
        note: takes what is left out.
        constants: columns that the file may lack, with their one value.

    Raises:
        UnreadableData: the file is no Arrow file.
    """
    try:
        source = pa.memory_map(str(path))
        try:
            table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UnreadableData(
            f"the file cannot be read as Arrow: {reason}", at=str(path), hint="is the file complete?"
        ) from error
    return TableRows(with_constants(select_once(without_views(table), str(path), note), constants), str(path))
