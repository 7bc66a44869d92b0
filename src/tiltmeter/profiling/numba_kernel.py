"""The compiled kernel: every counter of a numeric column in one pass, equal to the NumPy kernel to the last integer.

Loaded only where numba is installed and the rows are many: compiling takes seconds once, loading from the cache on
disk half a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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
"""Cells of the lookup table: with 1,070 edges nearly every cell holds at most one edge, and the table fits a cache."""

# Edges left outside the table on either side, by trial.
_TRIMS: Final = (0, 3, 12)

# |z| below which z²·2^40 fits an int64: sqrt(2^63 / 2^40) = 2,896; half of it leaves room for the ½.
_FAST_Z: Final = 1_448.0
_SIGN_BIT: Final = np.uint64(0x8000000000000000)
_LOW_HALF: Final = np.int64(0xFFFFFFFF)
_INVERSE_LIMB: Final = 1.0 / LIMB
_HALF_BITS: Final = np.int64(32)

# Values of a block: 64 kB with its hashes, so that every pass over it stays in the nearer caches. Small loops one
# after another beat one loop that does all (8 against 18 ns a value): the compiler keeps their counters in registers
# and takes several values side by side.
_BLOCK: Final = 4_096

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
        return Lookup(False, 0.0, 0, 1.0, 0, _readonly(starts), padded)
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
    cells = _cells_of(
        _readonly(edges), int(draft.by_bits), draft.first, np.uint64(draft.first_bits), draft.per_unit, draft.shift
    )
    starts = np.zeros(CELLS + 1, dtype=np.int32)
    starts[1:] = np.cumsum(np.bincount(cells, minlength=CELLS))
    return Lookup(
        draft.by_bits, draft.first, draft.first_bits, draft.per_unit, draft.shift, _readonly(starts), draft.edges
    )


def _crowding(lookup: Lookup) -> int:
    """Comparisons a value needs, up to a factor: bins hold equal shares, so cells with many edges hold many values."""
    held = np.diff(lookup.starts).astype(np.int64)
    return int((held * held).sum())


def count_numbers(column: NumberColumn, cells: NumericCells, lookup: Lookup, resolution: Resolution) -> NumericProfile:
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
    _count(
        _readonly(values),
        _readonly(_NO_FLAGS if column.present is None else column.present),
        _readonly(_NO_HASHES if column.hashes is None else column.hashes),
        (int(lookup.by_bits), lookup.first, np.uint64(lookup.first_bits), lookup.per_unit, lookup.shift),
        lookup.starts,
        lookup.edges,
        (cells.bins.center, inverse_scale, cells.minimum, cells.maximum),
        _readonly(cells.low_limits()),
        _readonly(cells.high_limits()),
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
    # Two slots are no part of the table: slot 0 says whether the hash 0 occurred (1) and whether the table gave up
    # (2), slot 1 how many hashes are held.
    state = int(table[0])
    if state & 2:
        return HashDistinct(resolution, None, registers)
    held = table[2:]
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
def _cell(
    x: float, bits: np.uint64, by_bits: int, first: float, first_bits: np.uint64, per_unit: float, shift: int
) -> np.int64:
    if by_bits:
        ordered = _ordered(bits)
        if ordered <= first_bits:
            return np.int64(0)
        # Clamped before it becomes signed: a distance of half the number line has no int64.
        return np.int64(min((ordered - first_bits) >> np.uint64(shift), np.uint64(CELLS - 1)))
    place = (x - first) * per_unit
    # Clamped as a double: infinities and values far outside have no integer.
    place = max(0.0, place)
    return np.int64(min(CELLS - 1.0, place))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _cells_of(
    edges: np.ndarray, by_bits: int, first: float, first_bits: np.uint64, per_unit: float, shift: int
) -> np.ndarray:
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
    for slot in range(2, table.size):
        if table[slot] != np.uint64(0):
            _add_register(table[slot], registers, precision)
    table[0] |= np.uint64(2)


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _is_new(word: np.uint64, table: np.ndarray) -> Any:  # noqa: ANN401 - a compiled boolean
    """Put the hash into the table; whether it was not there."""
    if word == np.uint64(0):
        new = (table[0] & np.uint64(1)) == np.uint64(0)
        table[0] |= np.uint64(1)
        return new
    last = np.uint64(table.size - 1)
    slot = word & last
    while True:
        if slot > np.uint64(1):
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
def _count(  # noqa: PLR0917 - compiled code takes plain arguments
    values: np.ndarray,
    present: np.ndarray,
    hashes: np.ndarray,
    cell_rule: tuple[int, float, np.uint64, float, int],
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
    center, inverse_scale, minimum, maximum = frame
    block, words = np.empty(_BLOCK, dtype=np.float64), np.empty(_BLOCK, dtype=np.uint64)
    bits = block.view(np.uint64)
    for start in range(0, values.size, _BLOCK):
        stop = min(start + _BLOCK, values.size)
        size = _gathered(values[start:stop], present[start:stop], hashes[start:stop], block, words)
        counters[_MISSING] += stop - start - size
        if size == 0:
            continue
        smallest, largest = _extremes(block, size)
        if smallest == -np.inf or largest == np.inf:
            _add_extremes_and_infinities(block, size, counters, extremes)
        else:
            extremes[0] = min(extremes[0], smallest)
            extremes[1] = max(extremes[1], largest)
        # z grows with x, so the ends tell whether any value of the block needs the long way.
        if (smallest - center) * inverse_scale > -_FAST_Z and (largest - center) * inverse_scale < _FAST_Z:
            _add_sums(block, size, center, inverse_scale, counters)
        else:
            _add_any_sums(block, size, center, inverse_scale, counters)
        _add_bins(block, bits, size, cell_rule, starts, edges, counts)
        if largest > maximum or smallest <= minimum:
            _add_tails(block, size, minimum, maximum, low_limits, high_limits, low, high)
        if hashes.size == 0:
            for i in range(size):
                words[i] = _mixed(bits[i])
        _add_words(words, size, resolution, table, registers)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _gathered(values: np.ndarray, present: np.ndarray, hashes: np.ndarray, block: np.ndarray, words: np.ndarray) -> int:
    """Bring what is not missing to the front of the block; its number."""
    size = 0
    if present.size == 0 and hashes.size == 0:
        for i in range(values.size):
            x = values[i]
            block[size] = x + 0.0  # -0.0 becomes 0.0
            size += x == x  # noqa: PLR0124 - NaN alone differs from itself
        return size
    for i in range(values.size):
        x = values[i]
        block[size] = x + 0.0
        if hashes.size:
            words[size] = hashes[i]
        size += x == x and (present.size == 0 or present[i])  # noqa: PLR0124 - as above
    return size


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def _extremes(block: np.ndarray, size: int) -> tuple[float, float]:
    """Least and greatest of the block, which holds no NaN and no -0.0: the compiler may take them side by side."""
    smallest, largest = np.inf, -np.inf
    for i in range(size):
        smallest = min(smallest, block[i])
        largest = max(largest, block[i])
    return smallest, largest


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_extremes_and_infinities(block: np.ndarray, size: int, counters: np.ndarray, extremes: np.ndarray) -> None:
    for i in range(size):
        x = block[i]
        if x == np.inf:
            counters[_POSITIVE] += 1
        elif x == -np.inf:
            counters[_NEGATIVE] += 1
        else:
            extremes[0] = min(extremes[0], x)
            extremes[1] = max(extremes[1], x)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_sums(block: np.ndarray, size: int, center: float, inverse_scale: float, counters: np.ndarray) -> None:
    """Sums of a block whose |z| are small: four integer sums and the zeros, without a branch."""
    sum1_high, sum1_low, sum2_high, sum2_low = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    zeros = np.int64(0)
    for i in range(size):
        x = block[i]
        z = (x - center) * inverse_scale
        q1 = np.int64(np.floor(z * LIMB + 0.5))
        q2 = np.int64(np.floor((z * z) * LIMB + 0.5))
        sum1_high += q1 >> _HALF_BITS
        sum1_low += q1 & _LOW_HALF
        sum2_high += q2 >> _HALF_BITS
        sum2_low += q2 & _LOW_HALF
        zeros += x == 0
    counters[_SUM1_HIGH] += sum1_high
    counters[_SUM1_LOW] += sum1_low
    counters[_SUM2_HIGH] += sum2_high
    counters[_SUM2_LOW] += sum2_low
    counters[_ZEROS] += zeros


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_any_sums(block: np.ndarray, size: int, center: float, inverse_scale: float, counters: np.ndarray) -> None:
    for i in range(size):
        x = block[i]
        if x == 0:
            counters[_ZEROS] += 1
        if abs(x) == np.inf:
            continue
        z = (x - center) * inverse_scale
        if abs(z) <= LIMB:
            _add_limbs(counters, _LIMBS1, np.floor(z * LIMB + 0.5))
            _add_limbs(counters, _LIMBS2, np.floor((z * z) * LIMB + 0.5))
        else:
            counters[_EXTREME] += 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_bins(
    block: np.ndarray,
    bits: np.ndarray,
    size: int,
    cell_rule: tuple[int, float, np.uint64, float, int],
    starts: np.ndarray,
    edges: np.ndarray,
    counts: np.ndarray,
) -> None:
    by_bits, first, first_bits, per_unit, shift = cell_rule
    for i in range(size):
        x = block[i]
        position = np.uint64(starts[_cell(x, bits[i], by_bits, first, first_bits, per_unit, shift)])
        # Nearly every cell holds two edges at most: two comparisons without a branch, and a loop for the rest.
        position += np.uint64(edges[position] < x)
        position += np.uint64(edges[position] < x)
        while edges[position] < x:
            position += np.uint64(1)
        counts[position] += 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_tails(
    block: np.ndarray,
    size: int,
    minimum: float,
    maximum: float,
    low_limits: np.ndarray,
    high_limits: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    for i in range(size):
        x = block[i]
        if x > maximum:
            high[_high_index(x, high_limits)] += 1
        elif x <= minimum:
            low[_low_index(x, low_limits)] += 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_words(
    words: np.ndarray, size: int, resolution: tuple[int, int], table: np.ndarray, registers: np.ndarray
) -> None:
    """Put hashes into the table; from the first beyond the cap on, into the registers."""
    cap, precision = resolution
    i = 0
    while i < size and not table[0] & np.uint64(2):
        if _is_new(words[i], table):
            table[1] += np.uint64(1)
            if table[1] > cap:
                _give_up(table, registers, precision)
        i += 1
    for k in range(i, size):
        _add_register(words[k], registers, precision)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count_codes(codes: np.ndarray, counts: np.ndarray) -> None:
    for i in range(codes.size):
        counts[codes[i] + 1] += 1
