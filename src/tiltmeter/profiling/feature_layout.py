"""The bytes of a stored profile of one feature: which header, which widths, and how they are packed.

A state is a version byte, the kernel version, and its payload: one fixed header, the counts (in the narrowest width
that holds them), and what is rare: tails, new levels, the distinct set. Numbers are little-endian. The payload is a
zlib stream, or stands plainly behind its CRC-32: in a file that is compressed as a whole.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.profile import KERNEL_VERSION

DEFLATED, PLAIN = 1, 2
NEWEST = PLAIN
"""Raised when the bytes mean something else; older formats stay readable."""

NUMERIC, LEVELS, TEXT = 1, 2, 3
_MAX_INFLATED = 2**28  # 256 MB: no state comes near; a damaged or hostile one must not fill the memory

# Fixed parts first: states that agree in the shape (kind, bytes per count, bins, whether registers follow, cap,
# precision) are added as one matrix. Behind header, counts and registers stands what varies: tails, hashes, names.
SHAPE = np.dtype(
    [("kind", "u1"), ("width", "u1"), ("registers", "u1"), ("precision", "u1"), ("bins", "<u4"), ("cap", "<u4")]
)
WORDS = 6  # of 32 bits: sums of z² reach 2^120 a row
NUMERIC_HEADER = np.dtype(
    [
        *((name, SHAPE[name]) for name in SHAPE.names or ()),
        ("hashes", "<u4"),
        ("low", "<u2"),
        ("high", "<u2"),
        ("counters", "<i8", 6),
        ("extremes", "<f8", 2),
        ("sums", "<u4", (2, WORDS)),
    ]
)
LEVEL_HEADER = np.dtype(
    [
        *((name, SHAPE[name]) for name in SHAPE.names or ()),
        ("hashes", "<i4"),
        ("new", "<u4"),
        ("name_bytes", "<u4"),
        ("counters", "<i8", 3),
    ]
)
TEXT_HEADER = np.dtype(
    [*((name, SHAPE[name]) for name in SHAPE.names or ()), ("hashes", "<u4"), ("counters", "<i8", 3)]
)
FROM_NAMES = -1  # the new levels' names are all there is to the distinct set
WIDTHS: dict[int, np.dtype[Any]] = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<i8")}
MAX_PRECISION = 20
_MAX_DEFLATE_RATIO = 1_032  # of the format
TAIL = np.dtype([("index", "<u2"), ("rows", "<u8")])
_CHECKED = struct.Struct("<I")
_BEHIND_CHECK = 2 + _CHECKED.size


def inflate(state: bytes) -> bytes:
    """The payload of a state, which `sum_inflated` adds; keep it where the same states are added again and again.

    Raises:
        StoreError: a newer version wrote the state.
        ValueError: the bytes are damaged.
    """
    if len(state) < 3:
        raise ValueError("too short")
    if state[0] > NEWEST or state[1] > KERNEL_VERSION:
        raise StoreError(
            f"a stored profile has format {state[0]}, kernel {state[1]}; this version reads up to {NEWEST} and "
            f"{KERNEL_VERSION}",
            hint="upgrade tiltmeter",
        )
    if state[1] != KERNEL_VERSION:
        raise ValueError("unknown kernel")
    if state[0] == DEFLATED:
        return bounded_inflate(state[2:])
    if state[0] != PLAIN or len(state) < _BEHIND_CHECK:
        raise ValueError("unknown format")
    payload = state[_BEHIND_CHECK:]
    if zlib.crc32(payload) != _CHECKED.unpack_from(state, 2)[0]:
        raise ValueError("checksum differs")
    return payload


def bounded_inflate(compressed: bytes) -> bytes:
    """The inflated bytes.

    Raises:
        ValueError: the stream is cut short or inflates to more than 256 MB.
    """
    if len(compressed) * _MAX_DEFLATE_RATIO <= _MAX_INFLATED:
        return zlib.decompress(compressed)
    stream = zlib.decompressobj()
    payload = stream.decompress(compressed, _MAX_INFLATED)
    if not stream.eof:
        raise ValueError("cut short or too large")
    return payload


def plain_state(payload: bytes) -> bytes:
    """A state whose payload stands as it is."""
    return bytes((PLAIN, KERNEL_VERSION)) + _CHECKED.pack(zlib.crc32(payload)) + payload


def deflated_state(payload: bytes) -> bytes:
    """A state whose payload is packed, the shorter of two ways."""
    plain = zlib.compress(payload, 6)
    # Counts of a full-entropy feature hold no repeats worth a match: Huffman codes alone are then shorter.
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    coded = packer.compress(payload) + packer.flush()
    return bytes((DEFLATED, KERNEL_VERSION)) + min(plain, coded, key=len)
