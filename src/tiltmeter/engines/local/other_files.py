"""JSON lines and Arrow files."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import json as arrow_json

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.engines.local.csv_files import opened
from tiltmeter.engines.local.tables import TableRows, select_once, table_of_rows
from tiltmeter.profiling.plain_arrays import without_views

if TYPE_CHECKING:
    from pathlib import Path

    from tiltmeter.engines.local.tables import Note


def json_rows(path: Path, note: Note) -> TableRows:
    """Rows of a JSON-lines file; nested objects become columns `a.b`, columns of several types become text.

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
        table = arrow_json.read_json(
            pa.BufferReader(content), read_options=arrow_json.ReadOptions(block_size=min(2**30, len(content) + 1))
        )
    except pa.ArrowException:
        table = _line_by_line(content, path)
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return TableRows(select_once(table, str(path), note), str(path))


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
        rows.append(row)
    return table_of_rows(rows)


def _number(digits: str) -> int | float:
    # Beyond 18 digits an integer may not fit 64 bits; beyond 4,300 Python refuses it.
    return int(digits) if len(digits) <= 18 else float(digits)


def arrow_rows(path: Path, note: Note) -> TableRows:
    """Rows of an Arrow file (Feather 2, IPC file or stream), mapped into memory.

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
    return TableRows(select_once(without_views(table), str(path), note), str(path))
