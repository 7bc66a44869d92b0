"""Flat columns of a row group, page by page: the values that are there, and how many rows hold none.

Counting asks for no more, and so gets it cheaper than as Arrow arrays: each column chunk is read into the memory of the
one before, and nulls get no place among the values. What is not read here (nested, encrypted or damaged columns, rarer
types, codecs and encodings) is left to PyArrow, which says better what is wrong.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from tiltmeter.engines.local.page_headers import DICTIONARY, INDEX, PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY, pages_of
from tiltmeter.engines.local.page_values import count_present, take_coded, take_codes, take_words
from tiltmeter.profiling.loose_columns import LooseColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyarrow.parquet import ColumnChunkMetaData, FileMetaData, ParquetSchema, RowGroupMetaData

    from tiltmeter.engines.local.page_headers import Page

WORDS: Final = pa.dictionary(pa.int32(), pa.string())

_STORED: Final = {pa.float64(): "DOUBLE", pa.int64(): "INT64", pa.float32(): "FLOAT", pa.int32(): "INT32"}
_MOVED: Final = {pa.float64(): "i8", pa.int64(): "i8", pa.float32(): "i4", pa.int32(): "i4"}
"""Values are moved as integers of their width: bits stay as they are, and few loops need be compiled."""
_CODECS: Final = {"UNCOMPRESSED": None, "SNAPPY": "snappy", "ZSTD": "zstd", "GZIP": "gzip"}
_CODED: Final = (RLE_DICTIONARY, PLAIN_DICTIONARY)


class NotReadHere(Exception):
    """The column is damaged, or written in a way that is not read here."""


@dataclass(slots=True)
class PageReader:
    """Reads columns of one row group. Not for several threads at once.

    Args:
        file: descriptor, open for reading.
        metadata: the footer.
        number: of the row group.
        schema: Arrow types as PyArrow gives them, text as dictionaries.
    """

    file: int
    metadata: FileMetaData
    number: int
    schema: pa.Schema
    _group: RowGroupMetaData = field(init=False)
    _places: dict[str, int] = field(init=False)
    _raw: np.ndarray = field(init=False)
    _codes: np.ndarray = field(init=False)
    _values: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Make room for one column."""
        self._group = self.metadata.row_group(self.number)
        self._places = flat_columns(self.metadata.schema)
        self._raw = np.empty(0, dtype=np.uint8)
        self._codes = np.empty(self._group.num_rows, dtype=np.int32)
        self._values = np.empty(self._group.num_rows, dtype=np.int64)

    def column(self, name: str) -> LooseColumn | None:
        """A column, to be counted before the next one is asked for; None where it is not read here."""
        place = self._places.get(name)
        if place is None:
            return None
        chunk, data_type = self._group.column(place), self.schema.field(name).type
        stored = "BYTE_ARRAY" if data_type == WORDS else _STORED.get(data_type)
        if chunk.physical_type != stored or chunk.compression not in _CODECS:
            return None
        try:
            values = self._words(chunk) if data_type == WORDS else self._numbers(chunk, data_type)
        except (NotReadHere, pa.ArrowException, OSError, ValueError):
            return None
        return LooseColumn(name, values, self._group.num_rows - len(values))

    def _numbers(self, chunk: ColumnChunkMetaData, data_type: pa.DataType) -> pa.Array:
        moved = np.dtype(_MOVED[data_type])
        entries, out, done = _readonly(np.empty(0, moved)), self._values.view(moved), 0
        for page, held in self._pages(chunk):
            if page.kind == DICTIONARY:
                entries = _aligned(np.frombuffer(held, moved, page.values))
                continue
            head = (page.kind, page.values, page.level_bytes)
            if page.encoding in _CODED:
                done += _sure(take_coded(held, head, entries, self._codes, out[done:]))
            elif page.encoding == PLAIN:
                found, start = count_present(held, head)
                # NumPy's copy is three times as quick as a compiled loop.
                out[done : done + _sure(found)] = np.frombuffer(held, moved, found, start)
                done += found
            else:
                raise NotReadHere
        return pa.Array.from_buffers(data_type, done, [None, pa.py_buffer(out[:done])])

    def _words(self, chunk: ColumnChunkMetaData) -> pa.DictionaryArray:
        entries, done = pa.array([], pa.string()), 0
        for page, held in self._pages(chunk):
            if page.kind == DICTIONARY:
                entries = _words_of(held, page.values)
            elif page.encoding in _CODED:
                head = (page.kind, page.values, page.level_bytes)
                done += _sure(take_codes(held, head, len(entries), self._codes[done:]))
            else:  # too many different words for a dictionary
                raise NotReadHere
        codes = pa.Array.from_buffers(pa.int32(), done, [None, pa.py_buffer(self._codes[:done])])
        return pa.DictionaryArray.from_arrays(codes, entries, safe=False)  # the codes have been looked at

    def _pages(self, chunk: ColumnChunkMetaData) -> Iterator[tuple[Page, np.ndarray]]:
        """Pages of dictionary and data of a column chunk, with their bytes unpacked (uint8)."""
        raw = self._read(chunk)
        pages = pages_of(raw, self._group.num_rows)
        # A page says itself how large it is unpacked; the footer's sizes were held against the size of the file.
        if pages is None or sum(page.unpacked for page in pages) > chunk.total_uncompressed_size:
            raise NotReadHere
        name = _CODECS[chunk.compression]
        codec = None if name is None else pa.Codec(name)
        for page in pages:
            if page.kind != INDEX:
                yield page, _unpacked(raw[page.start : page.start + page.size], page, codec)

    def _read(self, chunk: ColumnChunkMetaData) -> np.ndarray:
        """The bytes of the column chunk (uint8), in memory that the next one takes over."""
        start, size = chunk.data_page_offset, chunk.total_compressed_size
        if chunk.has_dictionary_page:
            start = min(start, chunk.dictionary_page_offset)
        if start < 0 or not 0 <= size <= os.fstat(self.file).st_size:
            raise NotReadHere
        if self._raw.size < size:
            self._raw = np.empty(size, dtype=np.uint8)
        raw = self._raw[:size]
        if os.preadv(self.file, [raw.data], start) != size:
            raise NotReadHere
        return _readonly(raw)


def flat_columns(schema: ParquetSchema) -> dict[str, int]:
    """Where the columns are that hold a value or none in each row, by their path; what has a path twice is left out."""
    columns = [schema.column(place) for place in range(len(schema))]
    times = Counter(column.path for column in columns)
    return {
        column.path: place
        for place, column in enumerate(columns)
        if times[column.path] == 1 and column.max_repetition_level == 0 and column.max_definition_level == 1
    }


def _unpacked(packed: np.ndarray, page: Page, codec: pa.Codec | None) -> np.ndarray:
    if codec is None or not page.packed:
        return packed
    levels = page.level_bytes
    # As bytes: an Arrow buffer for each page of 20,000 rows takes longer to make, and can be written to.
    held = codec.decompress(packed.data[levels:], page.unpacked - levels, asbytes=True)
    values = np.frombuffer(held, dtype=np.uint8)
    return _readonly(np.concatenate([packed[:levels], values])) if levels else values


def _readonly(values: np.ndarray) -> np.ndarray:
    view = values.view()
    view.flags.writeable = False  # one type for all means one compilation
    return view


def _aligned(values: np.ndarray) -> np.ndarray:
    return _readonly(values if values.flags.aligned else values.copy())


def _sure(found: int) -> int:
    if found < 0:
        raise NotReadHere
    return found


def _words_of(page: np.ndarray, words: int) -> pa.StringArray:
    if words > page.size:  # a word takes four bytes at least
        raise NotReadHere
    offsets = np.empty(words + 1, dtype=np.int32)
    letters = np.empty(page.size, dtype=np.uint8)
    _sure(take_words(page, offsets, letters))
    return pa.Array.from_buffers(pa.string(), words, [None, pa.py_buffer(offsets), pa.py_buffer(letters)])
