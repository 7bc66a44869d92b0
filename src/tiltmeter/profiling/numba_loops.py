"""Compiled loops over a block of a numeric column. Each does one thing, so that the compiler takes values side by side.

Values of a block that are missing hold a stand-in, a value of the same block: extremes and distinct values stay as they
are, and counts and sums are set right by the number of stand-ins. That is quicker than moving the others together.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from tiltmeter.profiling.fixed_point import LIMB
from tiltmeter.profiling.hashing import GOLDEN, MIX_1, MIX_2
from tiltmeter.profiling.lookup import CELLS, CROWDED

# Positions in the vector of counters.
MISSING, NEGATIVE, POSITIVE, EXTREME, ZEROS = range(5)
SUM1_HIGH, SUM1_LOW, SUM2_HIGH, SUM2_LOW = range(5, 9)
LIMBS1, LIMBS2, COUNTERS = 9, 13, 17

_SIGN_BIT: Final = np.uint64(0x8000000000000000)
_ALL_BUT_SIGN: Final = np.int64(0x7FFFFFFFFFFFFFFF)
_SIGN_SHIFT: Final = np.int64(63)
_LOW_HALF: Final = np.int64(0xFFFFFFFF)
_INVERSE_LIMB: Final = 1.0 / LIMB
_HALF_BITS: Final = np.int64(32)
_ENTRY: Final = np.int32(CROWDED - 1)
_LAST_CELL: Final = np.uint64(CELLS - 1)
# Of a double: bits before the exponent's, and the exponent of 1.0.
_MANTISSA_BITS: Final = np.int64(52)
_EXPONENT_OF_ONE: Final = np.int64(1023)
# Hash bits that mark a place among 2^17, to prove that there are many values.
_MARK_SHIFT: Final = np.uint64(47)
MARK_WORDS: Final = 2_048


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def filled(values: np.ndarray, present: np.ndarray, block: np.ndarray) -> tuple[int, int]:
    """Bring the values into the block, -0.0 as 0.0 and what is missing as the first that is not.

    Returns:
        Number missing, and where that first one is.
    """
    size, missing = values.size, 0
    if present.size:
        for i in range(size):
            x = values[i] + 0.0
            block[i] = x if present[i] else np.nan
            missing += (not present[i]) or (x != x)  # noqa: PLR0124 - NaN alone differs from itself
    else:
        for i in range(size):
            x = values[i] + 0.0
            block[i] = x
            missing += x != x  # noqa: PLR0124 - as above
    if missing in (0, size):
        return missing, 0
    first = 0
    while block[first] != block[first]:
        first += 1
    stand_in = block[first]
    for i in range(size):
        x = block[i]
        block[i] = x if x == x else stand_in  # noqa: PLR0124 - as above
    return missing, first


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def gathered(values: np.ndarray, present: np.ndarray, hashes: np.ndarray, block: np.ndarray, words: np.ndarray) -> int:
    """Bring what is not missing to the front of the block, and its hashes to the front of the words; its number."""
    size = 0
    for i in range(values.size):
        x = values[i]
        block[size] = x + 0.0
        if hashes.size:
            words[size] = hashes[i]
        size += x == x and (present.size == 0 or present[i])  # noqa: PLR0124 - NaN alone differs from itself
    return size


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _reordered(bits: np.int64) -> np.int64:
    """Bits of a double as an integer of the same order; done twice, the bits again."""
    return bits ^ ((bits >> _SIGN_SHIFT) & _ALL_BUT_SIGN)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def find_ends(bits: np.ndarray, size: int, ends: np.ndarray) -> None:
    """Bits of the least and greatest value: integers of the same order are compared side by side, doubles are not."""
    least, greatest = _ALL_BUT_SIGN, ~_ALL_BUT_SIGN
    for i in range(size):
        ordered = _reordered(bits[i])
        least = min(least, ordered)
        greatest = max(greatest, ordered)
    ends[0], ends[1] = _reordered(least), _reordered(greatest)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_extremes(block: np.ndarray, size: int, ends: np.ndarray, counters: np.ndarray, extremes: np.ndarray) -> None:
    """Least and greatest finite value so far; infinities are counted apart."""
    if ends[0] > -np.inf and ends[1] < np.inf:
        extremes[0], extremes[1] = min(extremes[0], ends[0]), max(extremes[1], ends[1])
        return
    for i in range(size):
        x = block[i]
        if x == np.inf:
            counters[POSITIVE] += 1
        elif x == -np.inf:
            counters[NEGATIVE] += 1
        else:
            extremes[0], extremes[1] = min(extremes[0], x), max(extremes[1], x)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_sums(block: np.ndarray, size: int, center: float, inverse_scale: float, counters: np.ndarray) -> None:
    """Sums and zeros of a block whose |z| are below 1,448, without a branch.

    4,096 values keep the sum of z within 2^62.5; that of z² is taken in two halves.
    """
    sum1, sum2_high, sum2_low, zeros = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(size):
        x = block[i]
        z = (x - center) * inverse_scale
        q2 = np.int64((z * z) * LIMB + 0.5)
        sum1 += np.int64(np.floor(z * LIMB + 0.5))
        sum2_high += q2 >> _HALF_BITS
        sum2_low += q2 & _LOW_HALF
        zeros += x == 0
    counters[SUM1_HIGH] += sum1 >> _HALF_BITS
    counters[SUM1_LOW] += sum1 & _LOW_HALF
    counters[SUM2_HIGH] += sum2_high
    counters[SUM2_LOW] += sum2_low
    counters[ZEROS] += zeros


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def take_sums(x: float, times: int, center: float, inverse_scale: float, counters: np.ndarray) -> None:
    """Take one value, which `add_sums` has added so many times, out of the sums."""
    z = (x - center) * inverse_scale
    q1, q2 = np.int64(np.floor(z * LIMB + 0.5)), np.int64((z * z) * LIMB + 0.5)
    counters[SUM1_HIGH] -= (q1 >> _HALF_BITS) * times
    counters[SUM1_LOW] -= (q1 & _LOW_HALF) * times
    counters[SUM2_HIGH] -= (q2 >> _HALF_BITS) * times
    counters[SUM2_LOW] -= (q2 & _LOW_HALF) * times
    if x == 0:
        counters[ZEROS] -= times


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
def add_any_sums(block: np.ndarray, size: int, center: float, inverse_scale: float, counters: np.ndarray) -> None:
    """Sums and zeros of any block, value by value."""
    for i in range(size):
        x = block[i]
        if x == 0:
            counters[ZEROS] += 1
        if abs(x) == np.inf:
            continue
        z = (x - center) * inverse_scale
        if abs(z) <= LIMB:
            _add_limbs(counters, LIMBS1, np.floor(z * LIMB + 0.5))
            _add_limbs(counters, LIMBS2, np.floor((z * z) * LIMB + 0.5))
        else:
            counters[EXTREME] += 1


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def find_cells(block: np.ndarray, size: int, rule: tuple[int, float, np.uint64, float, int], cells: np.ndarray) -> None:
    """The cell of the look-up table of each value."""
    by_bits, first, first_bits, per_unit, shift = rule
    if by_bits:
        bits, steps = block.view(np.uint64), np.uint64(shift)
        for i in range(size):
            negative = np.uint64(np.int64(bits[i]) >> _SIGN_SHIFT)
            ordered = bits[i] ^ (negative | _SIGN_BIT)
            cell = (ordered - first_bits if ordered > first_bits else np.uint64(0)) >> steps
            # Clamped before it becomes signed: a distance of half the number line has no int64.
            cells[i] = np.int32(min(cell, _LAST_CELL))
    else:
        for i in range(size):
            place = (block[i] - first) * per_unit
            # Clamped as a double: infinities and values far outside have no integer.
            place = place if place > 0.0 else 0.0  # noqa: FURB136 - `max` compiles to a branch
            place = place if place < CELLS - 1.0 else CELLS - 1.0  # noqa: FURB136 - as above
            cells[i] = np.int32(place)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def find_bins(block: np.ndarray, size: int, cells: np.ndarray, starts: np.ndarray, edges: np.ndarray) -> None:
    """The bin of each value, in the place of its cell, by the entries of the look-up table.

    The edges are ascending, with an infinity behind the last.
    """
    crowded = np.int32(0)
    for i in range(size):
        entry = starts[np.uint32(cells[i])]
        crowded |= entry
        place = entry & _ENTRY
        cells[i] = place + np.int32(edges[np.uint32(place)] < block[i])
    if crowded > _ENTRY:
        for i in range(size):
            while edges[np.uint32(cells[i])] < block[i]:
                cells[i] += np.int32(1)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_bins(bins: np.ndarray, size: int, counts: np.ndarray) -> None:
    """Rows per bin, in two sets of counters by turns: one counter that is raised twice would wait for itself."""
    even, odd = counts[0], counts[1]
    for i in range(0, size - 1, 2):
        even[np.uint32(bins[i])] += 1
        odd[np.uint32(bins[i + 1])] += 1
    if size & 1:
        even[np.uint32(bins[size - 1])] += 1


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _count_below(x: float, limits: np.ndarray, sign: float) -> Any:  # noqa: ANN401 - a compiled integer
    """Number of ascending limits below x (sign 1), or of descending ones that are x or above it (sign -1)."""
    low, left = 0, limits.size
    while left > 1:  # without a branch on the value: nothing foresees it
        half = left >> 1
        limit = limits[low + half - 1]
        low += half * (limit < x if sign > 0 else limit >= x)
        left -= half
    limit = limits[low]
    return low + (limit < x if sign > 0 else limit >= x)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_high_tail(
    block: np.ndarray, size: int, stand_ins: int, first: int, above: float, limits: np.ndarray, tail: np.ndarray
) -> None:
    """Count values above the baseline's range in their log bins, `stand_ins` times fewer the one at `first`."""
    for i in range(size):
        if block[i] > above:
            tail[_count_below(block[i], limits, 1.0)] += 1
    if block[first] > above:
        tail[_count_below(block[first], limits, 1.0)] -= stand_ins


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_low_tail(
    block: np.ndarray, size: int, stand_ins: int, first: int, below: float, limits: np.ndarray, tail: np.ndarray
) -> None:
    """The same for values at or below pred(min) of the baseline."""
    for i in range(size):
        if block[i] <= below:
            tail[_count_below(block[i], limits, -1.0)] += 1
    if block[first] <= below:
        tail[_count_below(block[first], limits, -1.0)] -= stand_ins


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _mixed(word: np.uint64) -> np.uint64:
    z = word + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def hash_words(bits: np.ndarray, size: int, words: np.ndarray) -> None:
    """The hash of each value."""
    for i in range(size):
        words[i] = _mixed(bits[i])


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def newly_marked(words: np.ndarray, size: int, marks: np.ndarray) -> np.int64:
    """Mark the place of each hash among 2^17; how many were not marked before. Never more than different hashes."""
    found = np.int64(0)
    for i in range(size):
        place = words[i] >> _MARK_SHIFT
        bit = np.uint64(1) << (place & np.uint64(63))
        held = marks[place >> np.uint64(6)]
        found += (held & bit) == np.uint64(0)
        marks[place >> np.uint64(6)] = held | bit
    return found


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


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _give_up(
    table: np.ndarray, registers: np.ndarray, precision: int, scratch: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """From the table into the registers. Empty places are filled with a hash that is held, which changes nothing."""
    held, block = table[2:], scratch[0].size
    if not table[0] & np.uint64(1):
        some = np.uint64(0)
        for slot in range(held.size):
            some = max(some, held[slot])
        for slot in range(held.size):
            if held[slot] == np.uint64(0):
                held[slot] = some
    for start in range(0, held.size, block):
        words = held[start : start + block]
        _add_registers(words, words.size, precision, registers, scratch)
    table[0] |= np.uint64(2)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_words(
    words: np.ndarray,
    size: int,
    resolution: tuple[int, int],
    table: np.ndarray,
    registers: np.ndarray,
    scratch: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Put hashes into the table; from the first beyond the cap on, into the registers.

    Args:
        words: hashes.
        size: how many.
        resolution: cap and precision.
        table: hashes held; two slots in front are no part of it: slot 0 says whether the hash 0 occurred (1) and
            whether the table gave up (2), slot 1 how many hashes are held.
        registers: shape (2^precision,).
        scratch: int32, float64 and uint8 of a block each.
    """
    cap, precision = resolution
    i = 0
    while i < size and not table[0] & np.uint64(2):
        if _is_new(words[i], table):
            table[1] += np.uint64(1)
            if table[1] > cap:
                _give_up(table, registers, precision, scratch)
        i += 1
    if i < size:
        _add_registers(words[i:size], size - i, precision, registers, scratch)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_registers(
    words: np.ndarray,
    size: int,
    precision: int,
    registers: np.ndarray,
    scratch: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Registers keep the longest run of zeros and the one behind it, below the bits that choose them.

    Always written: whether a hash raises its register is nothing that a processor can foresee.
    """
    places, doubles, runs = scratch
    below = np.uint64(64 - precision)
    rest = (np.uint64(1) << below) - np.uint64(1)
    for i in range(size):
        low = words[i] & rest
        places[i] = np.int32(words[i] >> below)
        # The exponent of a double is the place of the highest bit. The bit behind each one is cleared, so that no
        # rounding carries into the next power of two.
        doubles[i] = np.float64(low & ~(low >> np.uint64(1)))
    exponents = doubles.view(np.int64)
    for i in range(size):
        highest = (exponents[i] >> _MANTISSA_BITS) - _EXPONENT_OF_ONE
        runs[i] = np.uint8(np.int64(below) - max(highest, np.int64(-1)))
    for i in range(size):
        place = np.uint32(places[i])
        registers[place] = max(registers[place], runs[i])
