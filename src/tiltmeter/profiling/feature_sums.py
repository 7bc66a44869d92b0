"""The sum of many stored profiles of one feature, without building them one by one."""

from __future__ import annotations

import struct
from collections import Counter as Multiset
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.profile import FeatureProfile, LevelProfile, NumericProfile, TextProfile, capped_levels
from tiltmeter.profiling.distinct import HashDistinct, LevelDistinct, Resolution
from tiltmeter.profiling.feature_layout import (
    FROM_NAMES,
    LEVEL_HEADER,
    LEVELS,
    MAX_PRECISION,
    NUMERIC,
    NUMERIC_HEADER,
    SHAPE,
    TAIL,
    TEXT,
    TEXT_HEADER,
    WIDTHS,
    WORDS,
)
from tiltmeter.profiling.hashing import hash_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# As the dtypes, without NumPy's time for one row.
_SHAPE = struct.Struct("<4B2I")
_TAIL = struct.Struct("<HQ")

_BLOCK_BYTES = 96 * 1024
"""Of states that are added at once: they stay in the processor's cache, and so little memory is used again and again
where more would be handed back to the system and asked for anew (half of the time of adding a month)."""

_BLOCK_ROWS = 257
_SUMS: dict[int, type[np.integer[Any]]] = {1: np.uint16, 2: np.uint32, 4: np.int64, 8: np.int64}
"""Integers by bytes per count that the counts of a block cannot fill: the wider, the slower they add."""


def sum_inflated(payloads: Sequence[bytes]) -> FeatureProfile:
    """The sum of inflated states of one feature, at least one.

    Raises:
        StoreError: the states belong to different bins.
        ValueError: a payload is damaged (KeyError, IndexError, struct.error as well).
    """
    readers: dict[int, Callable[[Sequence[bytes]], FeatureProfile]] = {
        NUMERIC: _summed_numeric,
        LEVELS: _summed_levels,
        TEXT: _summed_text,
    }
    return readers[payloads[0][0]](payloads)


class _Block(NamedTuple):
    """States of one shape: their fixed parts as one matrix of bytes, and where counts, registers and the rest begin."""

    matrix: np.ndarray
    behind_head: int
    behind_counts: int
    behind_registers: int
    width: int
    resolution: Resolution


class _States(NamedTuple):
    """States of one feature in blocks; `heads`, `payloads` and `rests`, where what varies begins, row by row."""

    blocks: list[_Block]
    heads: np.ndarray
    payloads: list[bytes]
    rests: list[int]


def _states(payloads: Sequence[bytes], layout: np.dtype[Any]) -> _States:
    kind = payloads[0][0]
    step = min(_BLOCK_ROWS, max(1, _BLOCK_BYTES // len(payloads[0])))
    blocks, ordered, rests = [], [], []
    for start in range(0, len(payloads), step):
        some = payloads[start : start + step]
        shapes = [payload[: SHAPE.itemsize] for payload in some]
        for shape in sorted(set(shapes)):
            if shape[0] != kind:
                raise StoreError(
                    "states of one feature are of different kinds", hint="states of different bins do not add"
                )
            alike = [payload for payload, its in zip(some, shapes, strict=True) if its == shape]
            blocks.append(_block(shape, alike, layout))
            ordered += alike
            rests += [blocks[-1].behind_registers] * len(alike)
    heads = np.concatenate([block.matrix[:, : layout.itemsize] for block in blocks])
    return _States(blocks, heads.view(layout)[:, 0], ordered, rests)


def _block(shape: bytes, payloads: Sequence[bytes], layout: np.dtype[Any]) -> _Block:
    _, width, registers, precision, bins, cap = _SHAPE.unpack(shape)
    if width not in WIDTHS or not 0 < precision < MAX_PRECISION:
        raise ValueError("unknown shape")
    behind_counts = layout.itemsize + width * bins
    behind_registers = behind_counts + (2**precision if registers else 0)
    lengths = set(map(len, payloads))
    if min(lengths) < behind_registers:
        raise ValueError("cut short")
    if len(lengths) > 1:
        payloads = [payload[:behind_registers] for payload in payloads]
    matrix = np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), -1)[:, :behind_registers]
    return _Block(matrix, layout.itemsize, behind_counts, behind_registers, width, Resolution(cap, precision))


def _summed_counts(blocks: Sequence[_Block]) -> np.ndarray:
    sizes = {(block.behind_counts - block.behind_head) // block.width for block in blocks}
    if len(sizes) > 1:
        raise StoreError(
            "states of one feature have different numbers of bins", hint="states of different bins do not add"
        )
    total = np.zeros(sizes.pop(), dtype=np.int64)
    for block in blocks:
        cells = block.matrix[:, block.behind_head : block.behind_counts].view(WIDTHS[block.width])
        total += np.add.reduce(cells, axis=0, dtype=_SUMS[block.width])
    return total


def _union(states: _States, extra: np.ndarray | None = None) -> HashDistinct:
    """The union of the distinct sets of all states, and of further hashes."""
    hashes = [] if extra is None else [extra]
    for row, held in enumerate(states.heads["hashes"].tolist()):
        if held > 0:
            hashes.append(np.frombuffer(states.payloads[row], "<u8", held, states.rests[row]))
    resolution = states.blocks[0].resolution
    registers: dict[Resolution, np.ndarray] = {}
    for block in states.blocks:
        resolution = resolution.coarser(block.resolution)
        if block.behind_registers > block.behind_counts:
            largest = np.maximum.reduce(block.matrix[:, block.behind_counts :], axis=0)
            before = registers.get(block.resolution)
            registers[block.resolution] = largest if before is None else np.maximum(before, largest)
    total = HashDistinct.of(np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64), resolution)
    for its, largest in registers.items():
        total = total + HashDistinct(its, None, largest)
    return total


def _sum_of_words(words: np.ndarray) -> int:
    """The sum of integers in two's complement, one a row, shape (rows, words)."""
    negative = int(np.count_nonzero(words[:, -1] >> 31))
    columns: list[int] = words.sum(axis=0, dtype=np.uint64).tolist()
    return sum(column << (32 * place) for place, column in enumerate(columns)) - (negative << (32 * WORDS))


def _summed_numeric(payloads: Sequence[bytes]) -> NumericProfile:
    states = _states(payloads, NUMERIC_HEADER)
    heads = states.heads
    rows, missing, negative, positive, extreme, zeros = np.add.reduce(heads["counters"], axis=0).tolist()
    minimum, maximum = float(heads["extremes"][:, 0].min()), float(heads["extremes"][:, 1].max())
    low, high = _summed_tails(states)
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
        counts=_summed_counts(states.blocks),
        low_tail=low,
        high_tail=high,
        distinct=_union(states),
    )


def _summed_tails(states: _States) -> tuple[dict[int, int], dict[int, int]]:
    low: Multiset[int] = Multiset()
    high: Multiset[int] = Multiset()
    lows, highs, hashes = (states.heads[name].tolist() for name in ("low", "high", "hashes"))
    for row, payload in enumerate(states.payloads):
        if lows[row] or highs[row]:
            offset = _add_tail(low, payload, states.rests[row] + 8 * hashes[row], lows[row])
            _add_tail(high, payload, offset, highs[row])
    return dict(sorted(low.items())), dict(sorted(high.items()))


def _add_tail(total: Multiset[int], payload: bytes, offset: int, size: int) -> int:
    for place in range(offset, offset + size * TAIL.itemsize, TAIL.itemsize):
        index, rows = _TAIL.unpack_from(payload, place)
        total[index] += rows
    return offset + size * TAIL.itemsize


def _summed_levels(payloads: Sequence[bytes]) -> LevelProfile:
    states = _states(payloads, LEVEL_HEADER)
    heads = states.heads
    counts = _summed_counts(states.blocks)
    new: dict[str, int] = {}
    told: set[str] = set()
    for row in np.flatnonzero(heads["new"]).tolist():
        held = int(heads["hashes"][row])
        offset = states.rests[row] + 8 * max(held, 0)
        names = _add_new(new, states.payloads[row], offset, int(heads["new"][row]))
        if held == FROM_NAMES:
            told.update(names)
    rows, missing, new_rows = np.add.reduce(heads["counters"], axis=0).tolist()
    return LevelProfile(
        rows=rows,
        missing=missing,
        counts=counts,
        new=capped_levels(new),
        new_rows=new_rows,
        distinct=LevelDistinct(counts > 0, _union(states, hash_names(sorted(told)) if told else None)),
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
    if start > len(payload):
        raise ValueError("cut short")
    return names


def _summed_text(payloads: Sequence[bytes]) -> TextProfile:
    states = _states(payloads, TEXT_HEADER)
    rows, missing, length_sum = np.add.reduce(states.heads["counters"], axis=0).tolist()
    return TextProfile(rows=rows, missing=missing, length_sum=length_sum, distinct=_union(states))
