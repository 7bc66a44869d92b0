"""Compact binary form of one feature's profile, and the sum of many without building them one by one.

A state is a version byte, the kernel version, and a zlib stream of one fixed header, the counts (in the narrowest
width that holds them), and what is rare: tails, new levels, the distinct set. Numbers are little-endian.
"""

from __future__ import annotations

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

# Fixed parts first: states that agree in the shape (kind, bytes per count, bins, whether registers follow, cap,
# precision) are added as one matrix. Behind header, counts and registers stands what varies: tails, hashes, names.
_SHAPE = np.dtype(
    [("kind", "u1"), ("width", "u1"), ("registers", "u1"), ("precision", "u1"), ("bins", "<u4"), ("cap", "<u4")]
)
_WORDS = 6  # of 32 bits: sums of z² reach 2^120 a row
_NUMERIC_HEADER = np.dtype(
    [
        *((name, _SHAPE[name]) for name in _SHAPE.names or ()),
        ("hashes", "<u4"),
        ("low", "<u2"),
        ("high", "<u2"),
        ("counters", "<i8", 6),
        ("extremes", "<f8", 2),
        ("sums", "<u4", (2, _WORDS)),
    ]
)
_LEVEL_HEADER = np.dtype(
    [
        *((name, _SHAPE[name]) for name in _SHAPE.names or ()),
        ("hashes", "<i4"),
        ("new", "<u4"),
        ("name_bytes", "<u4"),
        ("counters", "<i8", 3),
    ]
)
_TEXT_HEADER = np.dtype(
    [*((name, _SHAPE[name]) for name in _SHAPE.names or ()), ("hashes", "<u4"), ("counters", "<i8", 3)]
)
_FROM_NAMES = -1  # the new levels' names are all there is to the distinct set
_WIDTHS: dict[int, np.dtype[Any]] = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<i8")}
_MAX_PRECISION = 20
_MAX_DEFLATE_RATIO = 1_032  # of the format
_TAIL = np.dtype([("index", "<u2"), ("rows", "<u8")])
_DAMAGED = (zlib.error, ValueError, KeyError, IndexError, UnicodeDecodeError, OverflowError, MemoryError)


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
    if len(compressed) * _MAX_DEFLATE_RATIO <= _MAX_INFLATED:
        return zlib.decompress(compressed)
    stream = zlib.decompressobj()
    payload = stream.decompress(compressed, _MAX_INFLATED)
    if not stream.eof:
        raise ValueError("cut short or too large")
    return payload


def sum_inflated(payloads: Sequence[bytes]) -> FeatureProfile:
    """The sum of inflated states of one feature, at least one.

    Raises:
        StoreError: the states belong to different bins.
        ValueError: a payload is damaged (KeyError, IndexError as well).
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


def _head(
    layout: np.dtype[Any], kind: int, counts: np.ndarray | None, distinct: HashDistinct, facts: dict[str, object]
) -> bytes:
    width, cells = (1, b"") if counts is None else _narrowed(counts)
    head = np.zeros(1, dtype=layout)
    shape = {
        "kind": kind,
        "width": width,
        "registers": distinct.registers is not None,
        "precision": distinct.resolution.precision,
        "bins": 0 if counts is None else counts.size,
        "cap": distinct.resolution.cap,
        "hashes": 0 if distinct.hashes is None else distinct.hashes.size,
    }
    for name, value in (shape | facts).items():
        head[name] = value
    return head.tobytes() + cells + (b"" if distinct.registers is None else distinct.registers.tobytes())


def _numeric_payload(profile: NumericProfile) -> bytes:
    distinct = _own(profile.distinct)
    nothing = profile.minimum is None or profile.maximum is None
    counters = (
        profile.rows,
        profile.missing,
        profile.negative_infinite,
        profile.positive_infinite,
        profile.extreme,
        profile.zeros,
    )
    facts: dict[str, object] = {
        "low": len(profile.low_tail),
        "high": len(profile.high_tail),
        "counters": counters,
        # Without a finite value the neutral elements of minimum and maximum stand here.
        "extremes": (np.inf, -np.inf) if nothing else (profile.minimum, profile.maximum),
        "sums": (_words_of(profile.sum1), _words_of(profile.sum2)),
    }
    return b"".join(
        [
            _head(_NUMERIC_HEADER, _NUMERIC, profile.counts, distinct, facts),
            _hash_bytes(distinct),
            _tail_bytes(profile.low_tail),
            _tail_bytes(profile.high_tail),
        ]
    )


def _words_of(whole: int) -> np.ndarray:
    return np.frombuffer(whole.to_bytes(4 * _WORDS, "little", signed=True), "<u4")


def _sum_of_words(words: np.ndarray) -> int:
    """The sum of integers in two's complement, one a row, shape (rows, words)."""
    negative = int(np.count_nonzero(words[:, -1] >> 31))
    columns: list[int] = words.sum(axis=0, dtype=np.uint64).tolist()
    return sum(column << (32 * place) for place, column in enumerate(columns)) - (negative << (32 * _WORDS))


def _tail_bytes(tail: Mapping[int, int]) -> bytes:
    return np.array(sorted(tail.items()), dtype=_TAIL).tobytes() if tail else b""


def _hash_bytes(distinct: HashDistinct) -> bytes:
    return b"" if distinct.hashes is None else distinct.hashes.astype("<u8").tobytes()


def _own(distinct: Distinct) -> HashDistinct:
    if not isinstance(distinct, HashDistinct):
        raise TypeError(f"a {type(distinct).__name__} cannot be stored here")
    return distinct


class _Block(NamedTuple):
    """States of one shape: their heads, their fixed parts as one matrix of bytes, and where the rest begins."""

    payloads: list[bytes]
    heads: np.ndarray
    matrix: np.ndarray
    behind_head: int
    behind_counts: int
    behind_registers: int
    width: int
    resolution: Resolution


def _blocks(payloads: Sequence[bytes], layout: np.dtype[Any]) -> list[_Block]:
    by_shape: dict[bytes, list[bytes]] = {}
    for payload in payloads:
        by_shape.setdefault(payload[: _SHAPE.itemsize], []).append(payload)
    return [_block(shape, alike, layout) for shape, alike in by_shape.items()]


def _block(shape: bytes, payloads: list[bytes], layout: np.dtype[Any]) -> _Block:
    _, width, registers, precision, bins, cap = np.frombuffer(shape, _SHAPE)[0].tolist()
    if width not in _WIDTHS or not 0 < precision < _MAX_PRECISION:
        raise ValueError("unknown shape")
    behind_counts = layout.itemsize + width * bins
    behind_registers = behind_counts + (2**precision if registers else 0)
    fixed = b"".join([payload[:behind_registers] for payload in payloads])
    matrix = np.frombuffer(fixed, np.uint8).reshape(len(payloads), behind_registers)
    heads = np.ascontiguousarray(matrix[:, : layout.itemsize]).view(layout).reshape(-1)
    resolution = Resolution(cap, precision)
    return _Block(payloads, heads, matrix, layout.itemsize, behind_counts, behind_registers, width, resolution)


def _summed_counts(blocks: Sequence[_Block]) -> np.ndarray:
    sizes = {(block.behind_counts - block.behind_head) // block.width for block in blocks}
    if len(sizes) > 1:
        raise StoreError(
            "states of one feature have different numbers of bins", hint="states of different bins do not add"
        )
    total = np.zeros(sizes.pop(), dtype=np.int64)
    for block in blocks:
        cells = np.ascontiguousarray(block.matrix[:, block.behind_head : block.behind_counts])
        if block.width == 1:
            total += _summed_bytes(cells)
        else:
            total += cells.view(_WIDTHS[block.width]).sum(axis=0, dtype=np.int64)
    return total


def _summed_bytes(cells: np.ndarray) -> np.ndarray:
    """Column sums of a matrix of bytes: eight columns a word, in lanes of 16 bits that 257 rows cannot fill."""
    rows, columns = cells.shape
    padded = np.zeros((rows, -(-columns // 8) * 8), dtype=np.uint8)
    padded[:, :columns] = cells
    words = padded.view("<u8")
    lanes = np.uint64(0x00FF00FF00FF00FF)
    total = np.zeros(padded.shape[1], dtype=np.int64)
    for start in range(0, rows, 257):
        part = words[start : start + 257]
        total[0::2] += (part & lanes).sum(axis=0).view("<u2")
        total[1::2] += ((part >> np.uint64(8)) & lanes).sum(axis=0).view("<u2")
    return total[:columns]


def _union(blocks: Sequence[_Block], extra: np.ndarray | None = None) -> HashDistinct:
    """The union of the distinct sets of all states, and of further hashes."""
    resolution = blocks[0].resolution
    for block in blocks:
        resolution = resolution.coarser(block.resolution)
    hashes = [] if extra is None else [extra]
    for block in blocks:
        held = block.heads["hashes"]
        hashes.extend(
            np.frombuffer(block.payloads[row], "<u8", int(held[row]), block.behind_registers)
            for row in np.flatnonzero(held > 0).tolist()
        )
    total = HashDistinct.of(np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64), resolution)
    for block in blocks:
        if block.behind_registers > block.behind_counts:
            largest = block.matrix[:, block.behind_counts :].max(axis=0)
            total = total + HashDistinct(block.resolution, None, largest)
    return total


def _summed_numeric(payloads: Sequence[bytes]) -> NumericProfile:
    blocks = _blocks(payloads, _NUMERIC_HEADER)
    heads = np.concatenate([block.heads for block in blocks])
    rows, missing, negative, positive, extreme, zeros = heads["counters"].sum(axis=0).tolist()
    minimum, maximum = float(heads["extremes"][:, 0].min()), float(heads["extremes"][:, 1].max())
    low, high = _summed_tails(blocks)
    return NumericProfile(
        rows=rows,
        missing=missing,
        negative_infinite=negative,
        positive_infinite=positive,
        extreme=extreme,
        zeros=zeros,
        sum1=_sum_of_words(heads["sums"][:, 0]),
        sum2=_sum_of_words(heads["sums"][:, 1]),
        minimum=minimum if minimum <= maximum else None,
        maximum=maximum if minimum <= maximum else None,
        counts=_summed_counts(blocks),
        low_tail=low,
        high_tail=high,
        distinct=_union(blocks),
    )


def _summed_tails(blocks: Sequence[_Block]) -> tuple[dict[int, int], dict[int, int]]:
    low: Multiset[int] = Multiset()
    high: Multiset[int] = Multiset()
    for block in blocks:
        lows, highs, hashes = (block.heads[name] for name in ("low", "high", "hashes"))
        for row in np.flatnonzero((lows > 0) | (highs > 0)).tolist():
            offset = block.behind_registers + 8 * int(hashes[row])
            offset = _add_tail(low, block.payloads[row], offset, int(lows[row]))
            _add_tail(high, block.payloads[row], offset, int(highs[row]))
    return dict(sorted(low.items())), dict(sorted(high.items()))


def _add_tail(total: Multiset[int], payload: bytes, offset: int, size: int) -> int:
    for index, rows in np.frombuffer(payload, _TAIL, size, offset).tolist() if size else ():
        total[index] += rows
    return offset + size * _TAIL.itemsize


def _level_payload(profile: LevelProfile) -> bytes:
    distinct = profile.distinct
    if not isinstance(distinct, LevelDistinct):
        raise TypeError(f"a {type(distinct).__name__} cannot be stored here")
    names = sorted(profile.new)
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    joined = b"".join(encoded)
    derived = distinct.new == HashDistinct.of(hash_names(names), distinct.new.resolution)
    # A set that its names tell is stored as the empty set.
    new = HashDistinct(distinct.new.resolution, np.empty(0, dtype=np.uint64)) if derived else distinct.new
    facts: dict[str, object] = {
        "new": len(names),
        "name_bytes": len(joined),
        "counters": (profile.rows, profile.missing, profile.new_rows),
    }
    if derived:
        facts["hashes"] = _FROM_NAMES
    lengths = np.array([len(name) for name in encoded], dtype="<u4").tobytes()
    new_rows = np.array([profile.new[name] for name in names], dtype="<u8").tobytes()
    head = _head(_LEVEL_HEADER, _LEVELS, profile.counts, new, facts)
    return b"".join([head, _hash_bytes(new), lengths, new_rows, joined])


def _summed_levels(payloads: Sequence[bytes]) -> LevelProfile:
    blocks = _blocks(payloads, _LEVEL_HEADER)
    heads = np.concatenate([block.heads for block in blocks])
    counts = _summed_counts(blocks)
    new: dict[str, int] = {}
    told: set[str] = set()
    for block in blocks:
        for row in np.flatnonzero(block.heads["new"]).tolist():
            held = int(block.heads["hashes"][row])
            offset = block.behind_registers + 8 * max(held, 0)
            names = _add_new(new, block.payloads[row], offset, int(block.heads["new"][row]))
            if held == _FROM_NAMES:
                told.update(names)
    rows, missing, new_rows = heads["counters"].sum(axis=0).tolist()
    return LevelProfile(
        rows=rows,
        missing=missing,
        counts=counts,
        new=capped_levels(new),
        new_rows=new_rows,
        distinct=LevelDistinct(counts > 0, _union(blocks, hash_names(sorted(told)) if told else None)),
    )


def _add_new(total: dict[str, int], payload: bytes, offset: int, size: int) -> list[str]:
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
    facts: dict[str, object] = {"counters": (profile.rows, profile.missing, profile.length_sum)}
    return _head(_TEXT_HEADER, _TEXT, None, distinct, facts) + _hash_bytes(distinct)


def _summed_text(payloads: Sequence[bytes]) -> TextProfile:
    blocks = _blocks(payloads, _TEXT_HEADER)
    heads = np.concatenate([block.heads for block in blocks])
    rows, missing, length_sum = heads["counters"].sum(axis=0).tolist()
    return TextProfile(rows=rows, missing=missing, length_sum=length_sum, distinct=_union(blocks))
