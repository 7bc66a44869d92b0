"""What a person names becomes rows: a path, a folder, a Delta table at a version, a data frame."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.engines.local.csv_files import CsvRows
from tiltmeter.engines.local.folders import FilesRows, joined_schema
from tiltmeter.engines.local.other_files import arrow_rows, json_rows
from tiltmeter.engines.local.parquet_files import ParquetRows
from tiltmeter.engines.local.tables import frame_rows
from tiltmeter.engines.local.unread import is_about_data, unread_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.engines.local.tables import Note
    from tiltmeter.ports import Rows

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc", ".arrows")
_KINDS = {
    "CSV": CSV_SUFFIXES,
    "JSON lines": JSON_SUFFIXES,
    "Parquet": PARQUET_SUFFIXES,
    "Arrow": ARROW_SUFFIXES,
}
_AT_VERSION = re.compile(r"(.+)@(\d{1,18})")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and PyArrow write into the name of the folder of rows without a value."""
_PARTITION = re.compile(r"([^=/]+)=([^/]*)")


def open_rows(source: object, *, note: Note | None = None) -> Rows:
    """Rows of anything that holds a table.

    Args:
        source: path of a CSV, `.csv.gz`, JSON-lines, Parquet or Arrow file, of a folder of them, of a Delta table
            (`path` or `path@version`); rows; or a data frame with `__arrow_c_stream__`.
        note: takes one line for each thing that was found out or left out (separator, repeated column names); a
            command prints them on standard error.

    Raises:
        UnreadableData: nothing is there, or it cannot be read.
    """
    tell: Note = note or _say_nothing
    if isinstance(source, str | os.PathLike):
        return _named(os.fspath(source), tell)
    if hasattr(source, "batches") and hasattr(source, "schema"):
        return source  # type: ignore[return-value]  # rows already
    return frame_rows(source, tell)


def _say_nothing(_: str) -> None:
    """For callers who do not want to know."""


def _delta_rows(location: str, version: int | None, note: Note) -> Rows:
    # Loaded when there is such a table: most files are none, and a command starts the sooner.
    from tiltmeter.engines.local.delta_tables import delta_rows

    return delta_rows(location, version, note)


def _named(location: str, note: Note) -> Rows:
    if "://" in location:
        table, version = _split_version(location)
        return _delta_rows(table, version, note)
    path = Path(location).expanduser()
    if not path.exists():
        table, version = _split_version(location)
        if version is not None and _is_delta(Path(table).expanduser()):
            return _delta_rows(str(Path(table).expanduser()), version, note)
        raise UnreadableData("there is no such file or folder", at=location, hint=_neighbours(path))
    if path.is_dir():
        return _delta_rows(str(path), None, note) if _is_delta(path) else _folder(path, note)
    return file_rows(path, note, {})


def _split_version(location: str) -> tuple[str, int | None]:
    match = _AT_VERSION.fullmatch(location)
    return (match[1], int(match[2])) if match else (location, None)


def _is_delta(path: Path) -> bool:
    return (path / "_delta_log").is_dir()


def _neighbours(path: Path) -> str:
    from tiltmeter.registry import did_you_mean

    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    names = sorted(entry.name for entry in folder.iterdir())[:1000]
    return did_you_mean(path.name, names) if len(names) <= 12 else f"look into {folder}"


def kind_of(path: Path) -> str | None:
    """`CSV`, `JSON lines`, `Parquet`, `Arrow`, or None for another file."""
    name = path.name.lower()
    return next((kind for kind, suffixes in _KINDS.items() if name.endswith(suffixes)), None)


def file_rows(path: Path, note: Note, constants: Mapping[str, pa.Scalar]) -> Rows:
    """Rows of one file.

    Args:
        path: the file.
        note: as in `open_rows`.
        constants: columns that the file may lack (partition values), with their one value.

    Raises:
        UnreadableData: it cannot be read, or it is of no known kind.
    """
    kind = kind_of(path)
    if path.stat().st_size == 0:
        raise UnreadableData("the file is empty", at=str(path), hint="it needs a header line and rows")
    if kind == "Parquet":
        return ParquetRows(path, str(path), note, constants)
    if kind == "Arrow":
        return arrow_rows(path, note, constants)
    if kind == "JSON lines":
        return json_rows(path, note, constants)
    if kind == "CSV":
        return CsvRows(path, note, constants)
    known = ", ".join(suffix for suffixes in _KINDS.values() for suffix in suffixes if ".gz" not in suffix)
    raise UnreadableData(f'files that end in "{path.suffix}" are not read', at=str(path), hint=f"known: {known}")


def data_files(path: Path, note: Note | None = None) -> list[Path]:
    """Files of a folder that can hold rows, in order of their names; a file stands for itself.

    Args:
        path: the folder.
        note: takes a line on files that look like data and are of no kind that is read.

    Raises:
        UnreadableData: there are none, or of several kinds.
    """
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_visible(file.relative_to(path))]
    if path.is_file():
        files = [path]
    kinds = {kind_of(file) for file in files} - {None}
    left_out = unread_words([file.relative_to(path) for file in files if kind_of(file) is None and file.stat().st_size])
    if not kinds:
        hint = f"CSV, Parquet, Arrow, JSON lines{f'; {left_out}' if left_out else ''}"
        raise UnreadableData("the folder holds no data files", at=str(path), hint=hint)
    if len(kinds) > 1:
        found = ", ".join(sorted(kind for kind in kinds if kind))
        raise UnreadableData(f"the folder holds files of several kinds: {found}", at=str(path), hint="name one file")
    if left_out and note is not None:
        note(f"{path}: {left_out}")
    return [file for file in files if kind_of(file) is not None and file.stat().st_size > 0]


def rows_of_file(folder: Path, file: Path, note: Note | None = None) -> Rows:
    """Rows of one file of a folder; names of folders on the way (`date=2026-11-01/`) are columns.

    Raises:
        UnreadableData: it cannot be read.
    """
    return file_rows(file, note or _say_nothing, _partition_values(file.relative_to(folder)))


def _folder(path: Path, note: Note) -> Rows:
    rows = tuple(rows_of_file(path, file, note) for file in data_files(path, note))
    if not rows:
        raise UnreadableData("every file of the folder is empty", at=str(path), hint="name another folder")
    return rows[0] if len(rows) == 1 else FilesRows(str(path), joined_schema([one.schema for one in rows]), rows)


def _is_visible(path: Path) -> bool:
    return not (any(part.startswith((".", "_")) for part in path.parts) or is_about_data(path.name))


def _partition_values(path: Path) -> dict[str, pa.Scalar]:
    """Columns that stand in the folder names (`date=2026-11-01/`)."""
    matches = (_PARTITION.fullmatch(part) for part in path.parts[:-1])
    return {unquote(match[1]): _partition_value(unquote(match[2])) for match in matches if match}


def _partition_value(text: str) -> pa.Scalar:
    return pa.scalar(None if text == _NO_VALUE else text, type=pa.string())
