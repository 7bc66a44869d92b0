"""The compiled kernel: every counter of a numeric column in one pass, equal to the NumPy kernel to the last integer.

Loaded only where numba is installed and the rows are many: compiling takes seconds once, loading from the cache on
disk half a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from tiltmeter.domain.profile import TAIL_STEPS, NumericProfile
from tiltmeter.profiling import numpy_kernel
from tiltmeter.profiling.distinct import HashDistinct, Resolution
from tiltmeter.profiling.fixed_point import FRACTION_BITS, LIMB, MAX_ROWS
from tiltmeter.profiling.hashing import GOLDEN, MIX_1, MIX_2

if TYPE_CHECKING:
    from tiltmeter.profiling.cells import NumericCells
    from tiltmeter.profiling.columns import NumberColumn

CELLS: Final = 8_192
"""Cells of the lookup table: with 1,070 edges nearly every cell holds one edge or none, and the table fits the cache."""

# Edges left outside the table on either side, by trial.
_TRIMS: Final = (0, 3, 12)

# |z| below which z²·2^40 fits an int64: sqrt(2^63 / 2^40) = 2,896; half of it leaves room for the ½.
_FAST_Z: Final = 1_448.0
_SIGN_BIT: Final = np.uint64(0x8000000000000000)
_LOW_HALF: Final = np.int64(0xFFFFFFFF)
_INVERSE_LIMB: Final = 1.0 / LIMB
_HALF_BITS: Final = np.int64(32)

# Positions in the vector of counters.
_MISSING, _NEGATIVE, _POSITIVE, _EXTREME, _ZEROS = range(5)
_SUM1_HIGH, _SUM1_LOW, _SUM2_HIGH, _SUM2_LOW = range(5, 9)
_LIMBS1, _LIMBS2, _COUNTERS = 9, 13, 17


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Where to begin looking for the bin of a value.

    Args:
        by_bits: whether cells are equal steps of the ordered bits of a double, or of its value.
        first: value (or ordered bits) where cell 0 begins.
        per_unit: cells per unit of value.
        shift: bits dropped from the ordered bits.
        starts: number of edges in the cells before, int32, shape (CELLS + 1,).
        edges: ascending, with an infinity behind the last.
    """

    by_bits: bool
    first: float
    first_bits: int
    per_unit: float
    shift: int
    starts: np.ndarray
    edges: np.ndarray


def lookup_of(edges: np.ndarray) -> Lookup:
    """The better of both tables: cells uniform over the values, or over the ordered bits of a double.

    A cell is a monotone function of the value, so edges in cells before are smaller and edges in cells behind larger,
    whatever the rounding.
    """
    padded = _readonly(np.concatenate([edges, [np.inf]]))
    finite = edges[np.isfinite(edges)]
    if finite.size == 0:
        starts = np.zeros(CELLS + 1, dtype=np.int32)
        starts[1:] = edges.size
        return Lookup(False, 0.0, 0, 0.0, 0, _readonly(starts), padded)
    drafts = [draft for trim in _TRIMS if 2 * trim < finite.size for draft in _drafts(finite, trim, padded)]
    return min((_filled(draft, edges) for draft in drafts), key=_crowding)


def _drafts(finite: np.ndarray, trim: int, edges: np.ndarray) -> list[Lookup]:
    """Tables over the edges but the outermost few: fences lie far out, and one cell can take all behind them."""
    low, high = float(finite[trim]), float(finite[-1 - trim])
    low_bits, high_bits = (int(bits) for bits in _ordered_array(np.array([low, high])))
    shift = max(0, (high_bits - low_bits).bit_length() - (CELLS.bit_length() - 1))
    drafts = [Lookup(True, low, low_bits, 0.0, shift, edges, edges)]
    with np.errstate(over="ignore", divide="ignore"):
        per_unit = float(np.float64(CELLS) / np.float64(high - low))
    if np.isfinite(per_unit) and per_unit > 0:
        drafts.append(Lookup(False, low, 0, per_unit, 0, edges, edges))
    return drafts


def _filled(draft: Lookup, edges: np.ndarray) -> Lookup:
    cells = _cells_of(_readonly(edges), draft.by_bits, draft.first, np.uint64(draft.first_bits), draft.per_unit, draft.shift)
    starts = np.zeros(CELLS + 1, dtype=np.int32)
    starts[1:] = np.cumsum(np.bincount(cells, minlength=CELLS))
    return Lookup(
        draft.by_bits, draft.first, draft.first_bits, draft.per_unit, draft.shift, _readonly(starts), draft.edges
    )


def _crowding(lookup: Lookup) -> int:
    """Comparisons a value needs, up to a factor: bins hold equal shares, so cells with many edges hold many values."""
    held = np.diff(lookup.starts).astype(np.int64)
    return int((held * held).sum())


def count_numbers(
    column: NumberColumn, cells: NumericCells, lookup: Lookup, resolution: Resolution
) -> NumericProfile:
    """Integers of a numeric or datetime column; the same as `numpy_kernel.count_numbers`."""
    inverse_scale = 1.0 / cells.bins.scale
    if len(column) > MAX_ROWS or not np.isfinite(inverse_scale):
        return numpy_kernel.count_numbers(column, cells, resolution)
    counts = np.zeros(cells.edges.size + 1, dtype=np.int64)
    low, high = np.zeros(TAIL_STEPS + 1, dtype=np.int64), np.zeros(TAIL_STEPS + 1, dtype=np.int64)
    counters = np.zeros(_COUNTERS, dtype=np.int64)
    extremes = np.array([np.inf, -np.inf])
    table = np.zeros(_table_size(resolution.cap), dtype=np.uint64)
    registers = np.zeros(2**resolution.precision, dtype=np.uint8)
    values = column.values
    if cells.bins.float32:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    values = _readonly(values)
    _count(
        values,
        values.view(np.uint64),
        _readonly(_NO_FLAGS if column.present is None else column.present),
        _readonly(_NO_HASHES if column.hashes is None else column.hashes),
        (lookup.by_bits, lookup.first, np.uint64(lookup.first_bits), lookup.per_unit, lookup.shift),
        lookup.starts,
        lookup.edges,
        (cells.bins.center, inverse_scale, cells.minimum, cells.maximum),
        _readonly(cells.low),
        _readonly(cells.high),
        (resolution.cap, resolution.precision),
        counts,
        low,
        high,
        counters,
        extremes,
        table,
        registers,
    )
    found = counters.tolist()
    return NumericProfile(
        rows=len(column),
        missing=found[_MISSING],
        negative_infinite=found[_NEGATIVE],
        positive_infinite=found[_POSITIVE],
        extreme=found[_EXTREME],
        zeros=found[_ZEROS],
        sum1=(found[_SUM1_HIGH] << 32) + found[_SUM1_LOW] + _from_limbs(found[_LIMBS1:_LIMBS2]),
        sum2=(found[_SUM2_HIGH] << 32) + found[_SUM2_LOW] + _from_limbs(found[_LIMBS2:_COUNTERS]),
        minimum=float(extremes[0]) if extremes[0] <= extremes[1] else None,
        maximum=float(extremes[1]) if extremes[0] <= extremes[1] else None,
        counts=counts,
        low_tail=_sparse(low),
        high_tail=_sparse(high),
        distinct=_distinct(table, registers, resolution),
    )


def count_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """Rows per code, shape (size + 1,), the missing ones (-1) in front."""
    counts = np.zeros(size + 1, dtype=np.int64)
    _count_codes(_readonly(codes), counts)
    return counts


_NO_FLAGS = np.empty(0, dtype=np.bool_)
_NO_HASHES = np.empty(0, dtype=np.uint64)


def _readonly(values: np.ndarray) -> np.ndarray:
    # Arrow buffers are read-only; one type for all means one compilation.
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def _table_size(cap: int) -> int:
    return 1 << (2 * cap).bit_length()


def _from_limbs(limbs: list[int]) -> int:
    return sum(limb << (FRACTION_BITS * place) for place, limb in enumerate(limbs))


def _sparse(counts: np.ndarray) -> dict[int, int]:
    return {index: int(counts[index]) for index in np.flatnonzero(counts).tolist()}


def _distinct(table: np.ndarray, registers: np.ndarray, resolution: Resolution) -> HashDistinct:
    # Slot 0 of the table is no part of it: it says whether the hash 0 occurred (1) and whether the table gave up (2).
    state = int(table[0])
    if state & 2:
        return HashDistinct(resolution, None, registers)
    held = table[1:]
    hashes = np.sort(held[held != 0])
    zero = np.zeros(state & 1, dtype=np.uint64)
    return HashDistinct.of_sorted(np.concatenate([zero, hashes]), resolution)


def _ordered_array(values: np.ndarray) -> np.ndarray:
    bits = values.view(np.uint64)
    return np.where(bits & _SIGN_BIT, ~bits, bits | _SIGN_BIT)


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _ordered(bits: np.uint64) -> np.uint64:
    """Bits of a double as an integer of the same order."""
    return ~bits if bits & _SIGN_BIT else bits | _SIGN_BIT


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _cell(x: float, bits: np.uint64, by_bits: bool, first: float, first_bits: np.uint64, per_unit: float, shift: int) -> int:  # noqa: FBT001, PLR0917 - compiled code takes plain arguments
    if by_bits:
        ordered = _ordered(bits)
        if ordered <= first_bits:
            return 0
        return min(np.int64((ordered - first_bits) >> np.uint64(shift)), np.int64(CELLS - 1))
    place = (x - first) * per_unit
    # Clamped as a double: infinities and values far outside have no integer.
    place = place if place > 0.0 else 0.0
    return np.int64(place if place < CELLS - 1.0 else CELLS - 1.0)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _cells_of(edges: np.ndarray, by_bits: bool, first: float, first_bits: np.uint64, per_unit: float, shift: int) -> np.ndarray:  # noqa: FBT001, PLR0917 - compiled code takes plain arguments
    cells = np.empty(edges.size, dtype=np.int64)
    bits = edges.view(np.uint64)
    for i in range(edges.size):
        cells[i] = _cell(edges[i], bits[i], by_bits, first, first_bits, per_unit, shift)
    return cells


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _mixed(word: np.uint64) -> np.uint64:
    z = word + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _add_limbs(counters: np.ndarray, place: int, whole: float) -> None:
    sign = np.int64(1) if whole > 0 else np.int64(-1)
    left = abs(whole)
    while left > 0:
        above = np.floor(left * _INVERSE_LIMB)
        counters[place] += sign * np.int64(left - above * LIMB)
        place += 1
        left = above


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_large(z: float, counters: np.ndarray) -> None:
    if abs(z) <= LIMB:
        _add_limbs(counters, _LIMBS1, np.floor(z * LIMB + 0.5))
        _add_limbs(counters, _LIMBS2, np.floor((z * z) * LIMB + 0.5))
    else:
        counters[_EXTREME] += 1


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _add_register(word: np.uint64, registers: np.ndarray, precision: int) -> None:
    below = np.uint64(64 - precision)
    rest = word & ((np.uint64(1) << below) - np.uint64(1))
    place = word >> below
    run = np.uint64(registers[place])
    # A run of r zeros and a one: rest >> (below - r) is 0. Rarely longer than what is there.
    while run <= below and (rest >> (below - run)) == np.uint64(0):
        run += np.uint64(1)
        registers[place] = np.uint8(run)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _give_up(table: np.ndarray, registers: np.ndarray, precision: int) -> None:
    if table[0] & np.uint64(1):
        _add_register(np.uint64(0), registers, precision)
    for slot in range(1, table.size):
        if table[slot] != np.uint64(0):
            _add_register(table[slot], registers, precision)
    table[0] |= np.uint64(2)


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _is_new(word: np.uint64, table: np.ndarray) -> bool:
    """Put the hash into the table; whether it was not there."""
    if word == np.uint64(0):
        new = (table[0] & np.uint64(1)) == np.uint64(0)
        table[0] |= np.uint64(1)
        return new
    last = np.uint64(table.size - 1)
    slot = word & last
    while True:
        if slot != np.uint64(0):
            if table[slot] == word:
                return False
            if table[slot] == np.uint64(0):
                table[slot] = word
                return True
        slot = (slot + np.uint64(1)) & last


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _high_index(x: float, limits: np.ndarray) -> int:
    """Number of ascending limits below x."""
    low, high = 0, limits.size
    while low < high:
        middle = (low + high) >> 1
        if limits[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _low_index(x: float, limits: np.ndarray) -> int:
    """Number of descending limits that are x or above it."""
    low, high = 0, limits.size
    while low < high:
        middle = (low + high) >> 1
        if limits[middle] >= x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count(  # noqa: C901, PLR0912, PLR0913, PLR0917 - one pass over the values is the point, and compiled code takes plain arguments
    values: np.ndarray,
    raw: np.ndarray,
    present: np.ndarray,
    hashes: np.ndarray,
    cell_rule: tuple[bool, float, np.uint64, float, int],
    starts: np.ndarray,
    edges: np.ndarray,
    frame: tuple[float, float, float, float],
    low_limits: np.ndarray,
    high_limits: np.ndarray,
    resolution: tuple[int, int],
    counts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    counters: np.ndarray,
    extremes: np.ndarray,
    table: np.ndarray,
    registers: np.ndarray,
) -> None:
    by_bits, first, first_bits, per_unit, shift = cell_rule
    center, inverse_scale, minimum, maximum = frame
    cap, precision = resolution
    smallest, largest = np.inf, -np.inf
    # Counters in registers: through the array every value would wait for the one before.
    missing, zeros, held = np.int64(0), np.int64(0), np.int64(0)
    sum1_high, sum1_low, sum2_high, sum2_low = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    exact = True
    some_absent, own_hashes = present.size > 0, hashes.size > 0
    for i in range(values.size):
        x = values[i]
        if x != x or (some_absent and not present[i]):  # noqa: PLR0124 - NaN alone differs from itself
            missing += 1
            continue
        bits = raw[i]
        if x == 0:
            zeros += 1
            x = 0.0  # -0.0 becomes 0.0
            bits = np.uint64(0)
        if -np.inf < x < np.inf:
            if x < smallest:
                smallest = x
            if x > largest:
                largest = x
            z = (x - center) * inverse_scale
            if -_FAST_Z < z < _FAST_Z:
                q1 = np.int64(np.floor(z * LIMB + 0.5))
                q2 = np.int64(np.floor((z * z) * LIMB + 0.5))
                sum1_high += q1 >> _HALF_BITS
                sum1_low += q1 & _LOW_HALF
                sum2_high += q2 >> _HALF_BITS
                sum2_low += q2 & _LOW_HALF
            else:
                _add_large(z, counters)
        else:
            counters[_NEGATIVE if x < 0 else _POSITIVE] += 1
        position = np.uint64(starts[_cell(x, bits, by_bits, first, first_bits, per_unit, shift)])
        # Nearly every cell holds two edges at most: two comparisons without a branch, and a loop for the rest.
        position += np.uint64(edges[position] < x)
        position += np.uint64(edges[position] < x)
        while edges[position] < x:
            position += np.uint64(1)
        counts[position] += 1
        if x > maximum:
            high[_high_index(x, high_limits)] += 1
        elif x <= minimum:
            low[_low_index(x, low_limits)] += 1
        word = hashes[i] if own_hashes else _mixed(bits)
        if exact:
            if _is_new(word, table):
                held += 1
                if held > cap:
                    _give_up(table, registers, precision)
                    exact = False
        else:
            _add_register(word, registers, precision)
    extremes[0] = smallest
    extremes[1] = largest
    counters[_MISSING] = missing
    counters[_ZEROS] = zeros
    counters[_SUM1_HIGH] = sum1_high
    counters[_SUM1_LOW] = sum1_low
    counters[_SUM2_HIGH] = sum2_high
    counters[_SUM2_LOW] = sum2_low


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count_codes(codes: np.ndarray, counts: np.ndarray) -> None:
    for i in range(codes.size):
        counts[codes[i] + 1] += 1
