"""CSV files: separator, decimal mark and encoding are found out and noted; types are guessed over the whole file."""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
import tempfile
import zlib
from codecs import getincrementaldecoder
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.engines.local.tables import TableRows, select_once, with_constants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tiltmeter.engines.local.tables import Note

SAMPLE_BYTES = 65_536
SEPARATORS = (",", ";", "\t", "|")
MAX_GZIP_RATIO = 200
"""Text compresses 5 to 30 times; a bomb about 1,000 times."""
FREE_GZIP_BYTES = 2**28
"""Up to 256 MB any ratio is fine."""

_MAX_CONTROL_SHARE = 0.05  # text holds none or a stray one; a picture or an archive every tenth character
_SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_POINT = re.compile(r"-?\d+\.\d+")
_COMMA = re.compile(r"-?\d+,\d+")
_WIDTHS = re.compile(r"Expected (\d+) columns, got (\d+)")
_COLUMN = re.compile(r"In CSV column #(\d+)")
_BROKEN = (pa.ArrowException, OSError, zlib.error, UnicodeError, EOFError)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written."""

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"

    def __str__(self) -> str:
        """In words."""
        return (
            f"separator {_SEPARATOR_NAMES[self.separator]}, decimal {'comma' if self.decimal == ',' else 'point'}, "
            f"{self.encoding}"
        )


class CsvRows:
    """The rows of one CSV file. Read on first use and kept.

    Args:
        path: `.csv`, `.tsv`, `.txt`, or one of them with `.gz`.
        note: takes what was found out about the file.
        constants: columns that the file may lack, with their one value.
        text: columns that are read as text.
    """

    version = None

    def __init__(
        self, path: Path, note: Note, constants: Mapping[str, pa.Scalar], text: frozenset[str] = frozenset()
    ) -> None:
        self.name = str(path)
        self._path = path
        self._note = note
        self._constants = constants
        self._text = text
        self._dialect = sniffed(_sample(path), str(path))
        self._rows: TableRows | None = None
        if not text:
            note(f"{path}: {self._dialect}")

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema."""
        return self._read().schema

    def count(self) -> int | None:
        """Number of rows."""
        return self._read().count()

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches in row order."""
        return self._read().batches(columns)

    def with_text(self, names: Sequence[str]) -> CsvRows:
        """The same rows with these columns read as text; itself where they are already."""
        schema = self._read().schema
        changed = {name for name in names if name in schema.names and not _is_said(schema.field(name).type)}
        return CsvRows(self._path, self._note, self._constants, self._text | changed) if changed else self

    def _read(self) -> TableRows:
        if self._rows is None:
            table = self._table()
            self._tell_of_commas(table)
            note = (lambda _: None) if self._text else self._note
            self._rows = TableRows(with_constants(select_once(table, self.name, note), self._constants), self.name)
        return self._rows

    def _table(self) -> pa.Table:
        try:
            table = self._parsed(self._dialect)
        except _BROKEN as error:
            raise self._unreadable(error) from error
        if self._dialect.encoding != "utf-8" or not any(pa.types.is_binary(field.type) for field in table.schema):
            return self._without_quoted_gaps(table)
        # The first 64 kB are UTF-8 and something behind them is not: such a column comes back as bytes.
        self._dialect = replace(self._dialect, encoding="latin-1")
        self._note(f"{self._path}: {self._dialect}")
        return self._table()

    def _tell_of_commas(self, table: pa.Table) -> None:
        """Say which columns hold a decimal comma that the first lines did not show: they were read as text."""
        if self._text or self._dialect.decimal == "," or self._dialect.separator == ",":
            return
        for field, column in zip(table.schema, table.columns, strict=True):
            if pa.types.is_string(field.type) and column.null_count < len(column) and _is_with_commas(column):
                said = "shows a decimal comma after its first lines and is read as text"
                self._note(f'{self._path}: the column "{field.name}" {said}; write one decimal mark throughout')

    def _without_quoted_gaps(self, table: pa.Table) -> pa.Table:
        """The table with columns of quoted numbers and times as such, though some of their cells are `""`.

        In text `""` is a word of its own. What is no text without it never was one, and there it is missing.
        """
        times = Counter(table.schema.names)
        names = [
            field.name
            for field, column in zip(table.schema, table.columns, strict=True)
            if field.name not in self._text and times[field.name] == 1 and _holds_gaps(column)
        ]
        if not names:
            return table
        again = self._parsed(self._dialect, names)
        for place, field in enumerate(table.schema):
            if field.name in names and not _is_said(again.schema.field(field.name).type):
                table = table.set_column(place, field.name, again.column(field.name))
        return table

    def _unreadable(self, error: Exception) -> UnreadableData:
        return UnreadableData(f"the file cannot be read as CSV: {_reason(error)}", at=self.name, hint="is it a table?")

    def _parsed(self, dialect: Dialect, with_gaps: Sequence[str] | None = None) -> pa.Table:
        """The table, or those of its columns in which quoted text may be missing as well."""
        with _whole(self._path) as stream:
            return arrow_csv.read_csv(
                stream,
                read_options=arrow_csv.ReadOptions(encoding=dialect.encoding, block_size=2**23),
                parse_options=arrow_csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    decimal_point=dialect.decimal,
                    column_types=dict.fromkeys(self._text, pa.string()),
                    # An empty cell is missing in any column, and so is NA; quoted text is what it says.
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=with_gaps is not None,
                    include_columns=with_gaps,
                ),
            )


def _is_with_commas(column: pa.ChunkedArray) -> bool:
    """Whether all text of a column is numbers, some with a decimal comma."""
    if not pc.any(pc.match_substring(column, ",")).as_py():
        return False
    numbers = pc.match_substring_regex(column, r"^\s*-?\d+([.,]\d+)?\s*$")
    return bool(pc.all(numbers).as_py())


def _holds_gaps(column: pa.ChunkedArray) -> bool:
    """Whether a column of text holds the empty one."""
    # By length: a comparison with a Python string would import pandas.
    return bool(pa.types.is_string(column.type) and pc.min(pc.binary_length(column)).as_py() == 0)


def _is_said(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_string(data_type) or pa.types.is_binary(data_type) or pa.types.is_null(data_type))


def opened(path: Path, *, free_bytes: int = FREE_GZIP_BYTES) -> BinaryIO:
    """The file's bytes, inflated where it ends in `.gz`; an inflating bomb is refused.

    Args:
        path: the file.
        free_bytes: inflated bytes up to which any ratio is fine.

    Raises:
        UnreadableData: while reading, when the file inflates more than 200 times.
    """
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(_CappedGzip(path, free_bytes), 2**20))


@contextmanager
def _whole(path: Path) -> Iterator[pa.NativeFile]:
    """The file for Arrow to read by itself; a packed one is inflated first.

    A file of Python's would be read by threads of Arrow, which may still hold it when the interpreter ends. And where a
    stream fails midway, Arrow leaves work behind that nobody does, and waits for it when the process ends.
    """
    if path.suffix.lower() != ".gz":
        with pa.OSFile(str(path), "rb") as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(suffix=".csv") as plain:
        with opened(path) as packed:
            shutil.copyfileobj(packed, plain, 2**20)
        plain.flush()
        with pa.OSFile(plain.name, "rb") as file:
            yield file


class _CappedGzip(io.RawIOBase):
    def __init__(self, path: Path, free_bytes: int) -> None:
        super().__init__()
        self._path = path
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - closed in `close`
        self._left = max(free_bytes, MAX_GZIP_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._file.read1(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise UnreadableData(
                f"the file inflates more than {MAX_GZIP_RATIO} times and is refused",
                at=str(self._path),
                hint="unpack it yourself if you trust it",
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def _reason(error: Exception) -> str:
    """Why, in words that quote nothing of the file: Arrow's own end with the row, which may be a customer's."""
    said = str(error)
    widths = _WIDTHS.search(said)
    if widths:
        return f"a row has {widths[2]} fields and the header {widths[1]}"
    if isinstance(error, pa.ArrowException):
        column = _COLUMN.search(said)
        return f"column {int(column[1]) + 1} does not parse" if column else "its rows do not parse"
    if isinstance(error, UnicodeError):
        return "its text is in no known encoding"
    return said.splitlines()[0][:200] if said else type(error).__name__


def _sample(path: Path) -> bytes:
    try:
        with opened(path) as stream:
            return stream.read(SAMPLE_BYTES)
    except _BROKEN as error:
        raise UnreadableData(f"the file cannot be read: {error}", at=str(path), hint="is it a CSV file?") from error


def sniffed(sample: bytes, name: str) -> Dialect:
    """How a file that begins like this is written.

    Raises:
        UnreadableData: the file is empty or no text.
    """
    if not sample.strip():
        raise UnreadableData("the file is empty", at=name, hint="it needs a header line and rows")
    encoding = _encoding(sample)
    text = getincrementaldecoder(encoding)().decode(sample).lstrip("\ufeff")
    if _is_binary(text):
        raise UnreadableData("the file is no text", at=name, hint="CSV, Parquet, Arrow and JSON lines are read")
    lines = text.splitlines()
    # The last line may be cut.
    lines = lines[:-1] if len(lines) > 1 and len(sample) == SAMPLE_BYTES else lines
    separator = max(SEPARATORS, key=lambda one: _fit(lines[:200], one))
    fields = [field for row in _parsed(lines[1:200], separator) for field in row]
    points = sum(1 for field in fields if _POINT.fullmatch(field.strip()))
    commas = sum(1 for field in fields if _COMMA.fullmatch(field.strip()))
    return Dialect(separator, "," if separator != "," and commas > points else ".", encoding)


def _is_binary(text: str) -> bool:
    controls = sum(1 for character in text if character < " " and character not in "\t\r\n")
    return controls > _MAX_CONTROL_SHARE * len(text) or "\x00" in text.split("\n", 1)[0]


def _encoding(sample: bytes) -> str:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _fit(lines: list[str], separator: str) -> tuple[float, int]:
    """Share of lines with as many fields as the header, and that number; (0, 0) where it separates nothing."""
    widths = [len(row) for row in _parsed(lines, separator) if row]
    if not widths or widths[0] < 2:
        return 0.0, 0
    return sum(1 for width in widths if width == widths[0]) / len(widths), widths[0]


def _parsed(lines: list[str], separator: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        rows.extend(csv.reader(lines, delimiter=separator))
    except csv.Error:  # a field over 128 kB, or a NUL
        return rows
    return rows
