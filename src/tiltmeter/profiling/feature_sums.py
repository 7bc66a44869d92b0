"""The sum of many stored profiles of one feature, without building them one by one."""

from __future__ import annotations

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
        NUMERIC: _summed_numeric,
        LEVELS: _summed_levels,
        TEXT: _summed_text,
    }
    return readers[kind](payloads)


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
        by_shape.setdefault(payload[: SHAPE.itemsize], []).append(payload)
    return [_block(shape, alike, layout) for shape, alike in by_shape.items()]


def _block(shape: bytes, payloads: list[bytes], layout: np.dtype[Any]) -> _Block:
    _, width, registers, precision, bins, cap = np.frombuffer(shape, SHAPE)[0].tolist()
    if width not in WIDTHS or not 0 < precision < MAX_PRECISION:
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
            total += cells.view(WIDTHS[block.width]).sum(axis=0, dtype=np.int64)
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


def _sum_of_words(words: np.ndarray) -> int:
    """The sum of integers in two's complement, one a row, shape (rows, words)."""
    negative = int(np.count_nonzero(words[:, -1] >> 31))
    columns: list[int] = words.sum(axis=0, dtype=np.uint64).tolist()
    return sum(column << (32 * place) for place, column in enumerate(columns)) - (negative << (32 * WORDS))


def _summed_numeric(payloads: Sequence[bytes]) -> NumericProfile:
    blocks = _blocks(payloads, NUMERIC_HEADER)
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
    for index, rows in np.frombuffer(payload, TAIL, size, offset).tolist() if size else ():
        total[index] += rows
    return offset + size * TAIL.itemsize


def _summed_levels(payloads: Sequence[bytes]) -> LevelProfile:
    blocks = _blocks(payloads, LEVEL_HEADER)
    heads = np.concatenate([block.heads for block in blocks])
    counts = _summed_counts(blocks)
    new: dict[str, int] = {}
    told: set[str] = set()
    for block in blocks:
        for row in np.flatnonzero(block.heads["new"]).tolist():
            held = int(block.heads["hashes"][row])
            offset = block.behind_registers + 8 * max(held, 0)
            names = _add_new(new, block.payloads[row], offset, int(block.heads["new"][row]))
            if held == FROM_NAMES:
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


def _summed_text(payloads: Sequence[bytes]) -> TextProfile:
    blocks = _blocks(payloads, TEXT_HEADER)
    heads = np.concatenate([block.heads for block in blocks])
    rows, missing, length_sum = heads["counters"].sum(axis=0).tolist()
    return TextProfile(rows=rows, missing=missing, length_sum=length_sum, distinct=_union(blocks))
