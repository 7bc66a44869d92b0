"""The compiled kernel: every counter of a numeric column in one pass, equal to the NumPy kernel to the last integer.

Loaded only where numba is installed and the rows are many: compiling takes seconds once, loading from the cache on
disk half a second.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from tiltmeter.domain.profile import TAIL_STEPS, NumericProfile
from tiltmeter.profiling import numba_loops as loops
from tiltmeter.profiling import numpy_kernel
from tiltmeter.profiling.distinct import HashDistinct, Resolution
from tiltmeter.profiling.fixed_point import FRACTION_BITS, MAX_ROWS
from tiltmeter.profiling.lookup import Lookup, lookup_of

if TYPE_CHECKING:
    from tiltmeter.profiling.cells import NumericCells
    from tiltmeter.profiling.columns import NumberColumn

# |z| below which z²·2^40 fits an int64: sqrt(2^63 / 2^40) = 2,896; half of it leaves room for the ½, and for the sum of
# a block of z.
_FAST_Z: Final = 1_448.0

# Values of a block: 32 kB, so that every pass over it stays in the nearer caches. Small loops one after another beat
# one loop that does all: the compiler keeps their counters in registers and takes several values side by side.
_BLOCK: Final = 4_096


def count_numbers(column: NumberColumn, cells: NumericCells, lookup: Lookup, resolution: Resolution) -> NumericProfile:
    """Integers of a numeric or datetime column; the same as `numpy_kernel.count_numbers`."""
    inverse_scale = 1.0 / cells.bins.scale
    if len(column) > MAX_ROWS or not np.isfinite(inverse_scale):
        return numpy_kernel.count_numbers(column, cells, resolution)
    counts = np.zeros((2, cells.edges.size + 1), dtype=np.int64)
    tails = np.zeros(TAIL_STEPS + 1, dtype=np.int64), np.zeros(TAIL_STEPS + 1, dtype=np.int64)
    counters = np.zeros(loops.COUNTERS, dtype=np.int64)
    extremes = np.array([np.inf, -np.inf])
    registers = np.zeros(2**resolution.precision, dtype=np.uint8)
    values = column.values
    if cells.bins.float32:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    values, present = _readonly(values), _readonly(_NO_FLAGS if column.present is None else column.present)
    hashes = _readonly(_NO_HASHES if column.hashes is None else column.hashes)
    table = _table(resolution.cap, known_to_be_more=not hashes.size and _surely_more(values, present, resolution.cap))
    _count(
        values,
        present,
        hashes,
        (int(lookup.by_bits), lookup.first, np.uint64(lookup.first_bits), lookup.per_unit, lookup.shift),
        (lookup.starts, lookup.edges),
        (cells.bins.center, inverse_scale),
        (cells.minimum, cells.maximum),
        _tail_limits(cells),
        (resolution.cap, resolution.precision),
        counts,
        tails,
        counters,
        extremes,
        table,
        registers,
    )
    found = counters.tolist()
    return NumericProfile(
        rows=len(column),
        missing=found[loops.MISSING],
        negative_infinite=found[loops.NEGATIVE],
        positive_infinite=found[loops.POSITIVE],
        extreme=found[loops.EXTREME],
        zeros=found[loops.ZEROS],
        sum1=(found[loops.SUM1_HIGH] << 32) + found[loops.SUM1_LOW] + _from_limbs(found[loops.LIMBS1 : loops.LIMBS2]),
        sum2=(found[loops.SUM2_HIGH] << 32) + found[loops.SUM2_LOW] + _from_limbs(found[loops.LIMBS2 :]),
        minimum=float(extremes[0]) if extremes[0] <= extremes[1] else None,
        maximum=float(extremes[1]) if extremes[0] <= extremes[1] else None,
        counts=counts[0] + counts[1],
        low_tail=_sparse(tails[0]),
        high_tail=_sparse(tails[1]),
        distinct=_distinct(table, registers, resolution),
    )


def count_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """Rows per code, shape (size + 1,), the missing ones (-1) in front."""
    counts = np.zeros((4, size + 1), dtype=np.int64)
    _count_codes(_readonly(codes), counts)
    total: np.ndarray = counts.sum(axis=0)
    return total


_NO_FLAGS = np.empty(0, dtype=np.bool_)
_NO_HASHES = np.empty(0, dtype=np.uint64)


def _readonly(values: np.ndarray) -> np.ndarray:
    # Arrow buffers are read-only; one type for all means one compilation.
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


@lru_cache(maxsize=256)
def _tail_limits(cells: NumericCells) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the log bins on both sides, kept for as many features as are mostly counted by turns."""
    return _readonly(cells.low_limits()), _readonly(cells.high_limits())


def _table(cap: int, *, known_to_be_more: bool) -> np.ndarray:
    """Room for exact hashes behind a word of state; the state alone where they would not be kept."""
    size = 1 if known_to_be_more else 1 << (2 * cap).bit_length()
    table = np.zeros(size, dtype=np.uint64)
    table[0] = 2 if known_to_be_more else 0
    return table


def _from_limbs(limbs: list[int]) -> int:
    return sum(limb << (FRACTION_BITS * place) for place, limb in enumerate(limbs))


def _sparse(counts: np.ndarray) -> dict[int, int]:
    return {index: int(counts[index]) for index in np.flatnonzero(counts).tolist()}


def _distinct(table: np.ndarray, registers: np.ndarray, resolution: Resolution) -> HashDistinct:
    state = int(table[0])
    if state & 2:
        return HashDistinct(resolution, None, registers)
    held = table[2:]
    hashes = np.sort(held[held != 0])
    zero = np.zeros(state & 1, dtype=np.uint64)
    return HashDistinct.of_sorted(np.concatenate([zero, hashes]), resolution)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count(  # noqa: PLR0917 - compiled code takes plain arguments
    values: np.ndarray,
    present: np.ndarray,
    hashes: np.ndarray,
    rule: tuple[int, float, np.uint64, float, int],
    lookup: tuple[np.ndarray, np.ndarray],
    frame: tuple[float, float],
    within: tuple[float, float],
    limits: tuple[np.ndarray, np.ndarray],
    resolution: tuple[int, int],
    counts: np.ndarray,
    tails: tuple[np.ndarray, np.ndarray],
    counters: np.ndarray,
    extremes: np.ndarray,
    table: np.ndarray,
    registers: np.ndarray,
) -> None:
    center, inverse_scale = frame
    block, words, ends = np.empty(_BLOCK), np.empty(_BLOCK, dtype=np.uint64), np.empty(2)
    scratch = np.empty(_BLOCK, dtype=np.int32), np.empty(_BLOCK), np.empty(_BLOCK, dtype=np.uint8)
    bits, cells = block.view(np.uint64), scratch[0]
    for start in range(0, values.size, _BLOCK):
        rows = slice(start, min(start + _BLOCK, values.size))
        size = rows.stop - start
        missing, first = loops.filled(values[rows], present[rows], block)
        counters[loops.MISSING] += missing
        if missing == size:
            continue
        loops.find_ends(block.view(np.int64), size, ends.view(np.int64))
        # z grows with x, so the ends tell whether any value of the block needs the long way.
        near = (ends[0] - center) * inverse_scale > -_FAST_Z and (ends[1] - center) * inverse_scale < _FAST_Z
        if hashes.size or (missing and not near):
            size, missing = loops.gathered(values[rows], present[rows], hashes[rows], block, words), 0
        if near:
            loops.add_sums(block, size, center, inverse_scale, counters)
        else:
            loops.add_any_sums(block, size, center, inverse_scale, counters)
        loops.add_extremes(block, size, ends, counters, extremes)
        loops.find_cells(block, size, rule, cells)
        loops.find_bins(block, size, cells, lookup[0], lookup[1])
        loops.add_bins(cells, size, counts)
        if ends[0] <= within[0]:
            loops.add_low_tail(block, size, missing, first, within[0], limits[0], tails[0])
        if ends[1] > within[1]:
            loops.add_high_tail(block, size, missing, first, within[1], limits[1], tails[1])
        if missing:
            loops.take_sums(block[first], missing, center, inverse_scale, counters)
            counts[0, cells[first]] -= missing
        if hashes.size == 0:
            loops.hash_words(bits, size, words)
        loops.add_words(words, size, resolution, table, registers, scratch)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _surely_more(values: np.ndarray, present: np.ndarray, cap: int) -> np.bool:
    """Whether the first values prove that there are more than `cap` different ones.

    A bit a hash takes a nanosecond, where the table that the others need takes 25.
    """
    block, words = np.empty(_BLOCK), np.empty(_BLOCK, dtype=np.uint64)
    marks, found = np.zeros(loops.MARK_WORDS, dtype=np.uint64), np.int64(0)
    for start in range(0, min(values.size, 2 * cap), _BLOCK):
        rows = slice(start, min(start + _BLOCK, values.size))
        missing, _ = loops.filled(values[rows], present[rows], block)
        if missing < rows.stop - start:
            loops.hash_words(block.view(np.uint64), rows.stop - start, words)
            found += loops.newly_marked(words, rows.stop - start, marks)
    return found > cap


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count_codes(codes: np.ndarray, counts: np.ndarray) -> None:
    # By turns, as `loops.add_bins`. An index without a sign is not asked whether it counts from the end.
    first, second, third, fourth = counts[0], counts[1], counts[2], counts[3]
    end = codes.size - codes.size % 4
    for i in range(0, end, 4):
        first[np.uint32(codes[i] + 1)] += 1
        second[np.uint32(codes[i + 1] + 1)] += 1
        third[np.uint32(codes[i + 2] + 1)] += 1
        fourth[np.uint32(codes[i + 3] + 1)] += 1
    for i in range(end, codes.size):
        first[np.uint32(codes[i] + 1)] += 1


__all__ = ["count_codes", "count_numbers", "lookup_of"]
