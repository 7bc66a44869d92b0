"""What stands before each page of a Parquet file: its kind, its sizes and how its values are written. Compiled.

Field numbers are those of the format's own description (`parquet.thrift`); the bytes are Thrift's compact protocol.
They come from files that nobody vouches for: each place is checked before it is read, and what cannot be, or is not
what a flat column needs, is answered with -1.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

Integer = Any
"""A compiled integer."""

DAMAGED: Final = -1
MOST_PAGES: Final = 4_096
"""Of a column chunk: writers make one of 20,000 rows or of 1 MB."""

# Kinds of pages and ways of writing values, by their number in the format.
DATA, INDEX, DICTIONARY, DATA_V2 = range(4)
PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8

_FIELDS: Final = 10  # fields that are kept have numbers below
_DATA_FIELD, _DICTIONARY_FIELD, _DATA_V2_FIELD = 5, 7, 8
_DEEPEST: Final = 6
_MOST_BYTES: Final = 10  # of an integer of 64 bits, seven a byte
_YES, _NO, _BYTE, _BINARY, _STRUCT = 1, 2, 3, 8, 12
_INTEGERS: Final = (4, 5, 6, 8)  # the length of a text is one, too


class Page(NamedTuple):
    """One page.

    Args:
        kind: of the page.
        start: where it begins, behind its header.
        size: bytes.
        unpacked: bytes unpacked.
        values: rows of a data page, entries of a dictionary.
        encoding: number of the way its values are written.
        level_bytes: of the definition levels before the values (second version of data pages).
        packed: whether what follows the levels is compressed at all.
    """

    kind: int
    start: int
    size: int
    unpacked: int
    values: int
    encoding: int
    level_bytes: int
    packed: int


def pages_of(raw: np.ndarray, rows: int) -> list[Page] | None:
    """All pages of a column chunk; None where they cannot be, or are of lists.

    Args:
        raw: bytes of the chunk, uint8, read-only.
        rows: of the row group.
    """
    table = np.empty((MOST_PAGES, len(Page._fields)), dtype=np.int64)
    found = _read_pages(raw, rows, table)
    return None if found < 0 else [Page(*row) for row in table[:found].tolist()]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def varint(raw: np.ndarray, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """An integer of seven bits a byte and the place behind it; -1 where the bytes end first."""
    value = np.int64(0)
    for place in range(_MOST_BYTES):
        if at >= end:
            return DAMAGED, at
        byte = np.int64(raw[at])
        at += 1
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at
    return DAMAGED, at


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read_pages(raw: np.ndarray, rows: Integer, table: np.ndarray) -> Integer:
    at, left, found = 0, rows, 0
    while left:
        if found == table.shape[0]:
            return DAMAGED
        fields = np.full((_FIELDS, _FIELDS), -1, dtype=np.int64)
        start = _read_fields(raw, at, fields)
        page = table[found]
        page[1], page[2], page[3] = start, fields[3, 0], fields[2, 0]
        _describe(fields, page)
        # Sizes are below 2^31, so that no sum of them overflows.
        if start < 0 or page[2:7].min() < 0 or page[2:7].max() >= 1 << 31 or start + page[2] > raw.size:
            return DAMAGED
        if page[6] > min(page[2], page[3]) or (page[0] == DICTIONARY and left < rows):
            return DAMAGED
        if page[0] in (DATA, DATA_V2):
            left -= page[4]
        if left < 0:
            return DAMAGED
        at = start + page[2]
        found += 1
    return found


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _describe(fields: np.ndarray, page: np.ndarray) -> None:
    """Fill in kind, values, encoding, level bytes and whether packed; values of -1 for what is not read here."""
    kind = fields[1, 0]
    page[0], page[4], page[5], page[6], page[7] = kind, -1, 0, 0, 1
    if kind == DATA and fields[_DATA_FIELD, 3] == RLE:
        page[4], page[5] = fields[_DATA_FIELD, 1], fields[_DATA_FIELD, 2]
    elif kind == DICTIONARY:
        page[4], page[5] = fields[_DICTIONARY_FIELD, 1], fields[_DICTIONARY_FIELD, 2]
    elif kind == DATA_V2 and fields[_DATA_V2_FIELD, 6] == 0:
        page[4], page[5] = fields[_DATA_V2_FIELD, 1], fields[_DATA_V2_FIELD, 4]
        page[6], page[7] = fields[_DATA_V2_FIELD, 5], fields[_DATA_V2_FIELD, 7]
    elif kind == INDEX:
        page[4] = 0


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read_fields(raw: np.ndarray, at: Integer, found: np.ndarray) -> Integer:
    """Integers and flags of a structure, field f at [f, 0], and of those in it, field g of the one in f at [f, g].

    Returns:
        The place behind the structure; -1 for bytes that cannot be.
    """
    numbers, depth = np.zeros(_DEEPEST, dtype=np.int64), 0
    while depth >= 0:
        if at >= raw.size:
            return DAMAGED
        head = np.int64(raw[at])
        at += 1
        if head == 0:
            depth -= 1
            continue
        if head < 16 or depth == _DEEPEST - 1:  # numbers that leap are of no header that is read here
            return DAMAGED
        numbers[depth] += head >> 4
        if head & 15 == _STRUCT:
            depth += 1
            numbers[depth] = 0
            continue
        value, at = _read_value(raw, at, head & 15)
        if at < 0:
            return DAMAGED
        outer, inner = numbers[0], numbers[1] if depth else 0
        if depth < 2 and outer < _FIELDS and inner < _FIELDS:
            found[outer, inner] = value
    return at


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read_value(raw: np.ndarray, at: Integer, kind: Integer) -> tuple[Integer, Integer]:
    """A value of that type and the place behind it, which is -1 for bytes that cannot be."""
    if kind in (_YES, _NO):
        return np.int64(kind == _YES), at
    if kind == _BYTE:
        return np.int64(0), at + 1
    if kind not in _INTEGERS:
        return np.int64(0), DAMAGED
    coded, at = varint(raw, at, raw.size)
    if coded < 0:
        return np.int64(0), DAMAGED
    if kind == _BINARY:
        return np.int64(0), at + coded if coded <= raw.size - at else DAMAGED
    return (coded >> 1) ^ -(coded & 1), at


__all__ = [
    "DATA",
    "DATA_V2",
    "DICTIONARY",
    "INDEX",
    "MOST_PAGES",
    "PLAIN",
    "PLAIN_DICTIONARY",
    "RLE_DICTIONARY",
    "Integer",
    "Page",
    "pages_of",
    "varint",
]  # fmt: skip
