"""How many different values: exact up to a cap, then HyperLogLog registers. A pure function of the set of values.

Stored hourly states keep a coarser resolution than a comparison of two data sets, because the hashes of 1,389 values
of 20 features would fill five times the room of everything else. Adding two counts keeps the coarser resolution of
both, so that any partition and order of adding gives the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from tiltmeter.domain.profile import Distinct


class Resolution(NamedTuple):
    """How finely values are told apart.

    Args:
        cap: values up to which the count is exact.
        precision: 2^precision registers beyond it; relative standard error 1.04 / sqrt(2^precision).
    """

    cap: int
    precision: int

    def coarser(self, other: Resolution) -> Resolution:
        """The resolution that both can be brought to."""
        return Resolution(min(self.cap, other.cap), min(self.precision, other.precision))


COMPARISON = Resolution(cap=10_000, precision=12)
"""Whole data sets: exact up to the level cap, 1.6 % beyond."""

STORED = Resolution(cap=128, precision=8)
"""Features of hourly states: exact up to 128 values, 6.5 % beyond, about 100 bytes."""

STORED_ENTITIES = Resolution(cap=128, precision=12)
"""Entities of hourly states, which decide how many rows a test has: once an hour, so finer."""


@dataclass(frozen=True, slots=True, eq=False)
class HashDistinct:
    """A set of values by hash.

    Args:
        resolution: when the set gives way to registers, and how many.
        hashes: sorted uint64 without repeats while exact, else None.
        registers: uint8, shape (2^precision,), once the cap is passed, else None.
    """

    resolution: Resolution
    hashes: np.ndarray | None
    registers: np.ndarray | None = None

    @classmethod
    def of(cls, hashes: np.ndarray, resolution: Resolution = COMPARISON) -> HashDistinct:
        """The set of these hashes, in any order and with repeats."""
        return cls.of_sorted(sorted_unique(hashes), resolution)

    @classmethod
    def of_sorted(cls, hashes: np.ndarray, resolution: Resolution) -> HashDistinct:
        """The set of these sorted hashes without repeats."""
        if hashes.size <= resolution.cap:
            return cls(resolution, hashes)
        return cls(resolution, None, registers_of(hashes, resolution.precision))

    def estimate(self) -> tuple[int, float]:
        """Count and its relative standard error, 0.0 while exact.

        Source: Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches", algorithm 6.
        """
        if self.hashes is not None:
            return int(self.hashes.size), 0.0
        precision = self.resolution.precision
        return _estimated(np.bincount(self._registers(), minlength=66 - precision), precision), 1.04 / math.sqrt(
            2**precision
        )

    def at(self, resolution: Resolution) -> HashDistinct:
        """The same set at a coarser resolution."""
        if resolution == self.resolution:
            return self
        if self.hashes is not None:
            return HashDistinct.of_sorted(self.hashes, resolution)
        return HashDistinct(
            resolution, None, folded(self._registers(), self.resolution.precision - resolution.precision)
        )

    def __add__(self, other: Distinct) -> HashDistinct:
        """Union at the coarser resolution of both."""
        if not isinstance(other, HashDistinct):
            raise _mixed(self, other)
        resolution = self.resolution.coarser(other.resolution)
        one, two = self.at(resolution), other.at(resolution)
        for empty, rest in ((one, two), (two, one)):
            if empty.hashes is not None and not empty.hashes.size:
                return rest  # new levels are nearly always none
        if one.hashes is not None and two.hashes is not None:
            return HashDistinct.of(np.concatenate([one.hashes, two.hashes]), resolution)
        return HashDistinct(resolution, None, np.maximum(one._registers(), two._registers()))

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same bits."""
        if not isinstance(other, HashDistinct):
            return NotImplemented
        return (
            self.resolution == other.resolution
            and _same(self.hashes, other.hashes)
            and _same(self.registers, other.registers)
        )

    __hash__ = None  # type: ignore[assignment]

    def _registers(self) -> np.ndarray:
        if self.registers is not None:
            return self.registers
        hashes = self.hashes if self.hashes is not None else np.empty(0, dtype=np.uint64)
        return registers_of(hashes, self.resolution.precision)


@dataclass(frozen=True, slots=True, eq=False)
class LevelDistinct:
    """Different levels of a category: those of the baseline that occur, and new ones.

    Args:
        known: whether each baseline level occurs, bool, shape (levels,).
        new: the levels that the baseline lacks.
    """

    known: np.ndarray
    new: HashDistinct

    def estimate(self) -> tuple[int, float]:
        """Count and its relative standard error, 0.0 while exact."""
        known = int(self.known.sum())
        new, error = self.new.estimate()
        return known + new, error * new / max(known + new, 1)

    def __add__(self, other: Distinct) -> LevelDistinct:
        """Union."""
        if not isinstance(other, LevelDistinct):
            raise _mixed(self, other)
        return LevelDistinct(self.known | other.known, self.new + other.new)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same bits."""
        if not isinstance(other, LevelDistinct):
            return NotImplemented
        return _same(self.known, other.known) and self.new == other.new

    __hash__ = None  # type: ignore[assignment]


def _mixed(one: Distinct, other: Distinct) -> TypeError:
    return TypeError(f"a {type(one).__name__} and a {type(other).__name__} do not add")


def sorted_unique(hashes: np.ndarray) -> np.ndarray:
    """Sorted without repeats; like `np.unique`, without its overhead on short arrays."""
    if hashes.size < 2:
        return hashes.copy()
    ordered = np.sort(hashes)
    first = np.empty(ordered.size, dtype=np.bool_)
    first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def registers_of(hashes: np.ndarray, precision: int) -> np.ndarray:
    """HyperLogLog registers: the top bits choose one, which keeps the longest run of zeros among the bits below."""
    registers = np.zeros(2**precision, dtype=np.uint8)
    below = 64 - precision
    rest = hashes & np.uint64(2**below - 1)
    np.maximum.at(registers, hashes >> np.uint64(below), (below + 1 - _bit_length(rest)).astype(np.uint8))
    return registers


def folded(registers: np.ndarray, steps: int) -> np.ndarray:
    """The registers of the same values at a precision that is `steps` lower."""
    groups = registers.reshape(-1, 2**steps)
    position = np.arange(2**steps, dtype=np.uint64)
    runs = np.where(position == 0, groups.astype(np.int64) + steps, steps + 1 - _bit_length(position))
    longest: np.ndarray = np.where(groups == 0, 0, runs).max(axis=1)
    return longest.astype(np.uint8)


def _bit_length(words: np.ndarray) -> np.ndarray:
    # frexp is exact below 2^53 only, hence the halves.
    high = np.frexp((words >> np.uint64(32)).astype(np.float64))[1]
    low = np.frexp((words & np.uint64(0xFFFFFFFF)).astype(np.float64))[1]
    return np.asarray(np.where(high > 0, high + 32, low))


def _estimated(histogram: np.ndarray, precision: int) -> int:
    size = 2**precision
    highest = 64 - precision
    total = size * _tau(1 - float(histogram[highest + 1]) / size)
    for run in range(highest, 0, -1):
        total = 0.5 * (total + float(histogram[run]))
    total += size * _sigma(float(histogram[0]) / size)
    return round(size * size / (2 * math.log(2) * total)) if math.isfinite(total) else 0


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    power, total = 1.0, x
    while True:
        x *= x
        before = total
        total += x * power
        power += power
        if total == before:
            return total


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    power, total = 1.0, 1 - x
    while True:
        x = math.sqrt(x)
        before = total
        power *= 0.5
        total -= (1 - x) ** 2 * power
        if total == before:
            return total / 3


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
