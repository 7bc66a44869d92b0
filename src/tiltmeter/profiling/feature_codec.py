"""Compact binary form of one feature's profile, and the sum of many without building them one by one.

A state is a version byte, the kernel version, and a zlib stream of one fixed header, the counts (in the narrowest
width that holds them), and what is rare: tails, new levels, the distinct set. Numbers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter as Multiset
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.profile import (
    KERNEL_VERSION,
    FeatureProfile,
    LevelProfile,
    NumericProfile,
    TextProfile,
    capped_levels,
)
from tiltmeter.profiling.distinct import HashDistinct, LevelDistinct, Resolution
from tiltmeter.profiling.hashing import hash_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tiltmeter.domain.profile import Distinct

FORMAT = 1
"""Raised when the bytes mean something else; older formats stay readable."""

_NUMERIC, _LEVELS, _TEXT = 1, 2, 3
_MAX_INFLATED = 2**28  # 256 MB: no state comes near; a damaged or hostile one must not fill the memory

# kind, bytes per count, bins, rows in low tail, in high tail, has extremes, 6 counters, min, max, sums of 24 bytes,
# and the distinct set: cap, precision, hashes (-1: registers)
_NUMERIC_HEADER = struct.Struct("<BBIHHB6Qdd24s24sIBi")
# kind, bytes per count, levels, new names, bytes of names, rows, missing, new rows, cap, precision, hashes
_LEVEL_HEADER = struct.Struct("<BBIIQQQQIBi")
# kind, rows, missing, sum of lengths in 16 bytes, cap, precision, hashes
_TEXT_HEADER = struct.Struct("<BQQ16sIBi")
_REGISTERS = -1
_FROM_NAMES = -2
_WIDTHS: dict[int, np.dtype[Any]] = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<i8")}
_TAIL = np.dtype([("index", "<u2"), ("rows", "<u8")])
_DAMAGED = (zlib.error, struct.error, ValueError, KeyError, IndexError, UnicodeDecodeError, OverflowError, MemoryError)


def encode_feature(profile: FeatureProfile) -> bytes:
    """The profile as bytes, without loss."""
    if isinstance(profile, NumericProfile):
        payload = _numeric_payload(profile)
    elif isinstance(profile, LevelProfile):
        payload = _level_payload(profile)
    else:
        payload = _text_payload(profile)
    return bytes((FORMAT, KERNEL_VERSION)) + _deflated(payload)


def decode_feature(state: bytes) -> FeatureProfile:
    """The profile that was encoded.

    Raises:
        StoreError: the bytes are damaged, or of a newer version.
    """
    return sum_features([state])


def sum_features(states: Sequence[bytes]) -> FeatureProfile:
    """The sum of the states of one feature, at least one: the same as adding their profiles, many times faster.

    Raises:
        StoreError: the bytes are damaged, of a newer version, of different kinds, or there are none.
    """
    if not states:
        raise StoreError("there are no states to add", hint="ask for a window that has rows")
    try:
        return sum_inflated([inflate(state) for state in states])
    except _DAMAGED as error:
        raise StoreError(
            f"a stored profile is damaged ({type(error).__name__})", hint="restore the table or profile the hour again"
        ) from error


def inflate(state: bytes) -> bytes:
    """The uncompressed form, which `sum_inflated` adds; keep it where the same states are added again and again.

    Raises:
        StoreError: a newer version wrote the state.
        ValueError: the bytes are damaged.
    """
    if len(state) < 3:
        raise ValueError("too short")
    if state[0] > FORMAT or state[1] > KERNEL_VERSION:
        raise StoreError(
            f"a stored profile has format {state[0]}, kernel {state[1]}; this version reads up to {FORMAT} and "
            f"{KERNEL_VERSION}",
            hint="upgrade tiltmeter",
        )
    if state[0] != FORMAT or state[1] != KERNEL_VERSION:
        raise ValueError("unknown format")
    return bounded_inflate(state[2:])


def bounded_inflate(compressed: bytes) -> bytes:
    """The inflated bytes.

    Raises:
        ValueError: the stream is cut short or inflates to more than 256 MB.
    """
    stream = zlib.decompressobj()
    payload = stream.decompress(compressed, _MAX_INFLATED)
    if not stream.eof:
        raise ValueError("cut short or too large")
    return payload


def sum_inflated(payloads: Sequence[bytes]) -> FeatureProfile:
    """The sum of inflated states of one feature, at least one.

    Raises:
        StoreError: the states belong to different bins.
        ValueError: a payload is damaged (struct.error, KeyError, IndexError as well).
    """
    kind = payloads[0][0]
    if any(payload[0] != kind for payload in payloads):
        raise StoreError("states of one feature are of different kinds", hint="states of different bins do not add")
    readers: dict[int, Callable[[Sequence[bytes]], FeatureProfile]] = {
        _NUMERIC: _summed_numeric,
        _LEVELS: _summed_levels,
        _TEXT: _summed_text,
    }
    return readers[kind](payloads)


def _deflated(payload: bytes) -> bytes:
    plain = zlib.compress(payload, 6)
    # Counts of a full-entropy feature hold no repeats worth a match: Huffman codes alone are then shorter.
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    coded = packer.compress(payload) + packer.flush()
    return min(plain, coded, key=len)


def _narrowed(counts: np.ndarray) -> tuple[int, bytes]:
    largest = int(counts.max()) if counts.size else 0
    width = 1 if largest < 2**8 else 2 if largest < 2**16 else 4 if largest < 2**32 else 8
    return width, counts.astype(_WIDTHS[width]).tobytes()


def _numeric_payload(profile: NumericProfile) -> bytes:
    width, counts = _narrowed(profile.counts)
    distinct = _own(profile.distinct)
    has_extremes = profile.minimum is not None and profile.maximum is not None
    header = _NUMERIC_HEADER.pack(
        _NUMERIC,
        width,
        profile.counts.size,
        len(profile.low_tail),
        len(profile.high_tail),
        has_extremes,
        profile.rows,
        profile.missing,
        profile.negative_infinite,
        profile.positive_infinite,
        profile.extreme,
        profile.zeros,
        profile.minimum if has_extremes else 0.0,
        profile.maximum if has_extremes else 0.0,
        profile.sum1.to_bytes(24, "little", signed=True),
        profile.sum2.to_bytes(24, "little", signed=True),
        *_distinct_header(distinct),
    )
    return b"".join(
        [header, counts, _tail_bytes(profile.low_tail), _tail_bytes(profile.high_tail), _set_bytes(distinct)]
    )


def _tail_bytes(tail: Mapping[int, int]) -> bytes:
    return np.array(sorted(tail.items()), dtype=_TAIL).tobytes() if tail else b""


def _distinct_header(distinct: HashDistinct) -> tuple[int, int, int]:
    size = _REGISTERS if distinct.hashes is None else int(distinct.hashes.size)
    return distinct.resolution.cap, distinct.resolution.precision, size


def _set_bytes(distinct: HashDistinct) -> bytes:
    if distinct.hashes is not None:
        return distinct.hashes.astype("<u8").tobytes()
    return b"" if distinct.registers is None else distinct.registers.tobytes()


def _own(distinct: Distinct) -> HashDistinct:
    if not isinstance(distinct, HashDistinct):
        raise TypeError(f"a {type(distinct).__name__} cannot be stored here")
    return distinct


class _Set(NamedTuple):
    """A distinct set inside a payload."""

    payload: bytes
    offset: int
    cap: int
    precision: int
    size: int


def _union(sets: Sequence[_Set]) -> HashDistinct:
    resolution = Resolution(min(one.cap for one in sets), min(one.precision for one in sets))
    hashes = [np.frombuffer(one.payload, "<u8", one.size, one.offset) for one in sets if one.size > 0]
    total = HashDistinct.of(np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64), resolution)
    by_precision: dict[int, list[np.ndarray]] = {}
    for one in sets:
        if one.size == _REGISTERS:
            registers = np.frombuffer(one.payload, np.uint8, 2**one.precision, one.offset)
            by_precision.setdefault(one.precision, []).append(registers)
    for precision, rows in by_precision.items():
        largest = np.maximum.reduce(np.stack(rows), axis=0)
        total = total + HashDistinct(Resolution(resolution.cap, precision), None, largest)
    return total


def _summed_numeric(payloads: Sequence[bytes]) -> NumericProfile:
    heads = [_NUMERIC_HEADER.unpack_from(payload) for payload in payloads]
    _, widths, sizes, lows, highs, has, *counters = zip(*heads, strict=True)
    rows, missing, negative, positive, extreme, zeros, minima, maxima, sums1, sums2, caps, precisions, held = counters
    counts = _summed_counts(payloads, widths, sizes, _NUMERIC_HEADER.size)
    low: Multiset[int] = Multiset()
    high: Multiset[int] = Multiset()
    sets = []
    for position, payload in enumerate(payloads):
        offset = _NUMERIC_HEADER.size + sizes[position] * widths[position]
        if lows[position] or highs[position]:
            offset = _add_tail(low, payload, offset, lows[position])
            offset = _add_tail(high, payload, offset, highs[position])
        sets.append(_Set(payload, offset, caps[position], precisions[position], held[position]))
    return NumericProfile(
        rows=sum(rows),
        missing=sum(missing),
        negative_infinite=sum(negative),
        positive_infinite=sum(positive),
        extreme=sum(extreme),
        zeros=sum(zeros),
        sum1=sum(int.from_bytes(one, "little", signed=True) for one in sums1),
        sum2=sum(int.from_bytes(one, "little", signed=True) for one in sums2),
        minimum=min((value for value, there in zip(minima, has, strict=True) if there), default=None),
        maximum=max((value for value, there in zip(maxima, has, strict=True) if there), default=None),
        counts=counts,
        low_tail=dict(sorted(low.items())),
        high_tail=dict(sorted(high.items())),
        distinct=_union(sets),
    )


def _summed_counts(payloads: Sequence[bytes], widths: Sequence[int], sizes: Sequence[int], offset: int) -> np.ndarray:
    size = sizes[0]
    if any(one != size for one in sizes):
        raise StoreError(
            "states of one feature have different numbers of bins", hint="states of different bins do not add"
        )
    total = np.zeros(size, dtype=np.int64)
    for width, dtype in _WIDTHS.items():
        stop = offset + size * width
        parts = [payload[offset:stop] for payload, mine in zip(payloads, widths, strict=True) if mine == width]
        if parts and size:
            total += np.frombuffer(b"".join(parts), dtype).reshape(len(parts), size).sum(axis=0, dtype=np.int64)
    if not set(widths) <= set(_WIDTHS):
        raise ValueError("unknown width")
    return total


def _add_tail(total: Multiset[int], payload: bytes, offset: int, size: int) -> int:
    for index, rows in np.frombuffer(payload, _TAIL, size, offset).tolist():
        total[index] += rows
    return offset + size * _TAIL.itemsize


def _level_payload(profile: LevelProfile) -> bytes:
    width, counts = _narrowed(profile.counts)
    distinct = profile.distinct
    if not isinstance(distinct, LevelDistinct):
        raise TypeError(f"a {type(distinct).__name__} cannot be stored here")
    names = sorted(profile.new)
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    joined = b"".join(encoded)
    cap, precision, size = _distinct_header(distinct.new)
    derived = distinct.new == HashDistinct.of(hash_names(names), distinct.new.resolution)
    header = _LEVEL_HEADER.pack(
        _LEVELS,
        width,
        profile.counts.size,
        len(names),
        len(joined),
        profile.rows,
        profile.missing,
        profile.new_rows,
        cap,
        precision,
        _FROM_NAMES if derived else size,
    )
    lengths = np.array([len(name) for name in encoded], dtype="<u4").tobytes()
    new_rows = np.array([profile.new[name] for name in names], dtype="<u8").tobytes()
    return b"".join([header, counts, lengths, new_rows, joined, b"" if derived else _set_bytes(distinct.new)])


def _summed_levels(payloads: Sequence[bytes]) -> LevelProfile:
    heads = [_LEVEL_HEADER.unpack_from(payload) for payload in payloads]
    _, widths, sizes, new_sizes, name_bytes, rows, missing, new_rows, caps, precisions, held = zip(*heads, strict=True)
    counts = _summed_counts(payloads, widths, sizes, _LEVEL_HEADER.size)
    new: dict[str, int] = {}
    sets = []
    named: set[str] = set()
    for position, payload in enumerate(payloads):
        offset = _LEVEL_HEADER.size + sizes[position] * widths[position]
        names = _add_new(new, payload, offset, new_sizes[position])
        offset += 12 * new_sizes[position] + name_bytes[position]
        if held[position] == _FROM_NAMES:
            named.update(names)
            sets.append(_Set(payload, offset, caps[position], precisions[position], 0))
        else:
            sets.append(_Set(payload, offset, caps[position], precisions[position], held[position]))
    distinct = _union(sets)
    if named:
        distinct = distinct + HashDistinct.of(hash_names(sorted(named)), distinct.resolution)
    return LevelProfile(
        rows=sum(rows),
        missing=sum(missing),
        counts=counts,
        new=capped_levels(new),
        new_rows=sum(new_rows),
        distinct=LevelDistinct(counts > 0, distinct),
    )


def _add_new(total: dict[str, int], payload: bytes, offset: int, size: int) -> list[str]:
    if not size:
        return []
    lengths = np.frombuffer(payload, "<u4", size, offset).tolist()
    rows = np.frombuffer(payload, "<u8", size, offset + 4 * size).tolist()
    start = offset + 12 * size
    names = []
    for length, count in zip(lengths, rows, strict=True):
        name = payload[start : start + length].decode("utf-8", "surrogatepass")
        total[name] = total.get(name, 0) + count
        names.append(name)
        start += length
    return names


def _text_payload(profile: TextProfile) -> bytes:
    distinct = _own(profile.distinct)
    length_sum = profile.length_sum.to_bytes(16, "little")
    header = _TEXT_HEADER.pack(_TEXT, profile.rows, profile.missing, length_sum, *_distinct_header(distinct))
    return header + _set_bytes(distinct)


def _summed_text(payloads: Sequence[bytes]) -> TextProfile:
    heads = [_TEXT_HEADER.unpack_from(payload) for payload in payloads]
    return TextProfile(
        rows=sum(head[1] for head in heads),
        missing=sum(head[2] for head in heads),
        length_sum=sum(int.from_bytes(head[3], "little") for head in heads),
        distinct=_union(
            [_Set(payload, _TEXT_HEADER.size, *head[4:7]) for payload, head in zip(payloads, heads, strict=True)]
        ),
    )
