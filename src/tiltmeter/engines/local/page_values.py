"""Compiled loops over the bytes of unpacked Parquet pages: how many values there are, packed codes, numbers, words.

As in `page_headers`, each place is checked before it is read, and bytes that cannot be are answered with -1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from tiltmeter.engines.local.page_headers import DAMAGED, DATA, Integer, varint

_Head = tuple[Integer, Integer, Integer]
_WIDE: Final = 8  # bytes that are taken at once
# Bits of a code of which four, or two, are in eight bytes wherever they begin: 57 bits from the first one on.
_FOUR_IN_A_WORD, _TWO_IN_A_WORD = 14, 28
_MOST_WIDTH: Final = 32


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def take_codes(page: np.ndarray, head: _Head, entries: Integer, codes: np.ndarray) -> Integer:
    """The codes of a data page, one for each row that holds a value.

    Args:
        page: bytes.
        head: kind, rows and level bytes of the page.
        entries: of the dictionary.
        codes: int32, as long as the rows or longer; filled from its beginning.

    Returns:
        Number of codes; -1 for bytes that cannot be.
    """
    found, at = count_present(page, head)
    if found <= 0:
        return found
    if at >= page.size or page[at] > _MOST_WIDTH:
        return DAMAGED
    greatest = _read_codes(page, at + 1, np.int64(page[at]), codes[:found])
    return found if 0 <= greatest < entries else DAMAGED


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def take_coded(page: np.ndarray, head: _Head, dictionary: np.ndarray, codes: np.ndarray, out: np.ndarray) -> Integer:
    """The values of a data page that are written as codes; else as `take_codes`."""
    found = take_codes(page, head, dictionary.size, codes)
    for i in range(found):
        out[i] = dictionary[np.uint32(codes[i])]
    return found


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def count_present(page: np.ndarray, head: _Head) -> tuple[Integer, Integer]:
    """Rows of a data page that hold a value, from definition levels of 0 and 1, and where the values begin.

    Args:
        page: bytes.
        head: kind, rows and level bytes of the page.

    Returns:
        Number and place; a number of -1 for bytes that cannot be.
    """
    kind, rows, end = head
    at = 0
    if kind == DATA:
        if page.size < 4:
            return DAMAGED, 0
        at, end = 4, 4 + _little_endian(page, 0, 4)
    if end > page.size:
        return DAMAGED, 0
    row, found = np.int64(0), np.int64(0)
    while row < rows:
        run, at = varint(page, at, end)
        size = _run_size(run, rows - row)
        if size < 0 or at >= end:
            return DAMAGED, 0
        if run & 1:
            if at + ((size + 7) >> 3) > end:
                return DAMAGED, 0
            found += _count_bits(page[at:], size)
            at += run >> 1
        else:
            if page[at] > 1:
                return DAMAGED, 0
            found += size * page[at]
            at += 1
        row += size
    return found, end


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _run_size(run: Integer, left: Integer) -> Integer:
    """Values of a run, of which so many are left at most; -1 for a run that is longer or cannot be.

    The packed ones come in eights, of which the last may be padding. Eights are compared before they are multiplied:
    of 2^60 and more the product leaves 64 bits.
    """
    stated = run >> 1
    if run < 0 or stated > ((left >> 3) + 1 if run & 1 else left):
        return DAMAGED
    return min(stated * 8, left) if run & 1 else stated


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count_bits(page: np.ndarray, bits: Integer) -> Integer:
    found = np.int64(0)
    for place in range(bits >> 3):
        byte = np.int64(page[place])
        byte -= (byte >> 1) & 0x55
        byte = (byte & 0x33) + ((byte >> 2) & 0x33)
        found += (byte + (byte >> 4)) & 0x0F
    for place in range(bits & 7):
        found += (page[bits >> 3] >> place) & 1
    return found


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _little_endian(page: np.ndarray, at: Integer, size: Integer) -> Integer:
    value = np.int64(0)
    for place in range(size):
        value |= np.int64(page[at + place]) << (8 * place)
    return value


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read_codes(page: np.ndarray, at: Integer, width: Integer, codes: np.ndarray) -> Integer:
    """Fill in codes of so many bits, packed or as runs, from `at` on; the greatest code, or -1."""
    done, greatest = 0, np.int64(0)
    while done < codes.size:
        run, at = varint(page, at, page.size)
        size = _run_size(run, codes.size - done)
        if size < 0:
            return DAMAGED
        into = codes[done : done + size]
        if run & 1:
            if at + ((size * width + 7) >> 3) > page.size:
                return DAMAGED
            greatest = max(greatest, _unpack(page, at, width, into))
            at += (run >> 1) * width
        else:
            bytes_of_value = (width + 7) >> 3
            if at + bytes_of_value > page.size:
                return DAMAGED
            value = _little_endian(page, at, bytes_of_value)
            into[:] = value
            greatest = max(greatest, value)
            at += bytes_of_value
        done += size
    return greatest


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _eight_bytes(page: np.ndarray, bit: np.uint64) -> np.uint64:
    """The 57 bits or more from that bit on. The compiler makes one access of the eight."""
    byte, word = bit >> np.uint64(3), np.uint64(0)
    for place in range(_WIDE):
        word |= np.uint64(page[byte + np.uint64(place)]) << np.uint64(8 * place)
    return word >> (bit & np.uint64(7))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _unpack(page: np.ndarray, at: Integer, width: Integer, codes: np.ndarray) -> Integer:
    """Codes packed without gaps, the lowest bit first; the greatest of them."""
    mask, step, first = (np.uint64(1) << np.uint64(width)) - np.uint64(1), np.uint64(width), np.uint64(8 * at)
    # Of so many codes the eight bytes that hold them, wherever they begin, are all in the page.
    quick = min(codes.size, max(0, ((page.size - at - _WIDE) * 8) // max(width, 1)))
    done = 0
    if width <= _FOUR_IN_A_WORD:
        done = quick - quick % 4
        for i in range(0, done, 4):
            word = _eight_bytes(page, first + np.uint64(i) * step)
            codes[i] = np.int32(word & mask)
            codes[i + 1] = np.int32((word >> step) & mask)
            codes[i + 2] = np.int32((word >> (step * np.uint64(2))) & mask)
            codes[i + 3] = np.int32((word >> (step * np.uint64(3))) & mask)
    elif width <= _TWO_IN_A_WORD:
        done = quick - quick % 2
        for i in range(0, done, 2):
            word = _eight_bytes(page, first + np.uint64(i) * step)
            codes[i] = np.int32(word & mask)
            codes[i + 1] = np.int32((word >> step) & mask)
    greatest = np.int64(0)
    for i in range(done, codes.size):
        last = i * width
        code = (_little_endian(page, at + (last >> 3), (width + (last & 7) + 7) >> 3) >> (last & 7)) & np.int64(mask)
        codes[i] = np.int32(code)
        greatest = max(greatest, code)
    most = np.int32(0)
    for i in range(done):
        most = max(most, codes[i])
    return max(greatest, np.int64(most))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def take_words(page: np.ndarray, offsets: np.ndarray, letters: np.ndarray) -> Integer:
    """Words that each stand behind their length.

    Args:
        page: bytes.
        offsets: int32, one more than words; filled.
        letters: uint8, as long as the page; filled.

    Returns:
        Bytes of all words; -1 for bytes that cannot be.
    """
    at, total = 0, 0
    offsets[0] = 0
    for word in range(offsets.size - 1):
        if at + 4 > page.size:
            return DAMAGED
        size = _little_endian(page, at, 4)
        at += 4
        if at + size > page.size:
            return DAMAGED
        letters[total : total + size] = page[at : at + size]
        at += size
        total += size
        offsets[word + 1] = total
    return total


__all__ = ["count_present", "take_coded", "take_codes", "take_words"]
