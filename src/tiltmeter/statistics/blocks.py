"""Many features at once: their vectors laid end to end, so that one NumPy call serves them all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.statistic import Block
from tiltmeter.statistics.shares import PSEUDO_ROWS, has_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiltmeter.domain.statistic import Cells, Measured

EXACT_DOUBLE = 2**53
"""Up to here whole numbers are exact in doubles, which multiply three times as fast as 64-bit integers."""

_EXACT_INTEGER = 2**62
"""Up to here products of counts stay exact in 64 bits."""


def alone(compute_block: Callable[[Block], list[Measured]]) -> Callable[[Cells], Measured]:
    """A statistic of one feature, from its form for many."""

    def compute(cells: Cells) -> Measured:
        return compute_block(Block((cells,)))[0]

    return compute


def answered(block: Block, members: Sequence[int], found: Iterable[Measured], otherwise: Measured) -> list[Measured]:
    """What was found for the members, in the order of the block, and the other answer for all others."""
    if len(members) == len(block.cells):
        return list(found)
    answers = [otherwise] * len(block.cells)
    for member, measured in zip(members, found, strict=True):
        answers[member] = measured
    return answers


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Vectors of different length that lie end to end in one.

    Args:
        starts: where each begins.
        sizes: how long each is, at least 1.
    """

    starts: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Stretches:
        """Stretches of these lengths."""
        lengths = np.array(sizes, dtype=np.intp)
        return cls(np.add.accumulate(lengths) - lengths, lengths)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum of each stretch."""
        return np.asarray(np.add.reduceat(values, self.starts))

    def greatest(self, values: np.ndarray) -> np.ndarray:
        """Greatest value of each stretch."""
        return np.asarray(np.maximum.reduceat(values, self.starts))

    def least(self, values: np.ndarray) -> np.ndarray:
        """Least value of each stretch."""
        return np.asarray(np.minimum.reduceat(values, self.starts))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """One value a stretch, repeated along it."""
        return values.repeat(self.sizes)


@dataclass(frozen=True, eq=False)
class FilledCells:
    """Comparison cells of all features of a block that have rows on both sides.

    Args:
        members: which features these are.
        stretches: where the cells of each lie.
        current: rows per cell, float64.
        reference: same cells.
        n: rows of the window as tests count them, float64, per feature.
        m: rows of the reference likewise.
    """

    members: list[int]
    stretches: Stretches
    current: np.ndarray
    reference: np.ndarray
    n: np.ndarray
    m: np.ndarray

    @cached_property
    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of both sides, current first; half a row in every cell of a feature that has an empty one."""
        emptiest = self.stretches.least(np.minimum(self.current, self.reference))
        return self._shares(np.where(emptiest > 0, 0.0, PSEUDO_ROWS))

    @cached_property
    def halved_shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of both sides, half a row in every cell, as the p-value of PSI wants them."""
        return self._shares(np.full(len(self.members), PSEUDO_ROWS))

    @cached_property
    def logs(self) -> np.ndarray:
        """Natural logarithm of current over reference share."""
        current, reference = self.shares
        return np.asarray(np.log(current / reference))

    def _shares(self, added: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        along = self.stretches.spread(added)
        return self._of_all(self.current + along), self._of_all(self.reference + along)

    def _of_all(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows / self.stretches.spread(self.stretches.total(rows)))


def filled_cells(block: Block) -> FilledCells | None:
    """The comparison cells of a block end to end; None where no feature has rows on both sides."""
    members = [i for i, cells in enumerate(block.cells) if has_rows(cells.current, cells.reference)]
    if not members:
        return None
    chosen = [block.cells[member] for member in members]
    return FilledCells(
        members,
        Stretches.of([cells.current.size for cells in chosen]),
        np.concatenate([cells.current for cells in chosen]).astype(np.float64),
        np.concatenate([cells.reference for cells in chosen]).astype(np.float64),
        np.array([cells.n for cells in chosen], dtype=np.float64),
        np.array([cells.m for cells in chosen], dtype=np.float64),
    )


@dataclass(frozen=True, eq=False)
class FineGaps:
    """Differences of the cumulated rows of both sides, of all features of a block that have values on both.

    Each feature has one number more than fine bins: the limits of its bins, the lower one of the first included.

    Args:
        members: which features these are.
        stretches: where the limits of each lie.
        values: rows in the fine bins, window and reference, as whole numbers, per feature.
        gaps: m·C − n·R at each limit, exact whole numbers.
        reference: n·R at each limit, exact.
    """

    members: list[int]
    stretches: Stretches
    values: list[tuple[int, int]]
    gaps: np.ndarray
    reference: np.ndarray

    @cached_property
    def widest(self) -> np.ndarray:
        """Largest absolute gap of each feature."""
        return np.asarray(np.maximum(self.stretches.greatest(self.gaps), -self.stretches.least(self.gaps)))


def fine_gaps(block: Block) -> FineGaps | None:
    """The fine bins of a block end to end; None where no feature has values on both sides."""
    members = [i for i, cells in enumerate(block.cells) if min(cells.values) >= 1]
    if not members:
        return None
    chosen = (block.cells[member] for member in members)
    return gaps_of([(cells.current_below, cells.reference_below) for cells in chosen], members)


def gaps_of(sides: Sequence[tuple[np.ndarray, np.ndarray]], members: list[int]) -> FineGaps:
    """The gaps of several pairs of sides.

    Args:
        sides: rows up to the end of each fine bin, the window's first; both have values.
        members: which features or windows these are.
    """
    values = [(int(current[-1]), int(reference[-1])) for current, reference in sides]
    # Gaps in whole rows²: rounded ones would break the bound of KS in the last digit.
    largest = max(n * m for n, m in values)
    exact = np.float64 if largest <= EXACT_DOUBLE else np.int64 if largest <= _EXACT_INTEGER else object
    stretches = Stretches.of([current.size + 1 for current, _ in sides])
    current = np.zeros(int(np.add.reduce(stretches.sizes)), dtype=exact)
    reference = np.zeros(current.size, dtype=exact)
    ends = (stretches.starts + stretches.sizes).tolist()
    for start, end, (mine, theirs) in zip(stretches.starts.tolist(), ends, sides, strict=True):
        current[start + 1 : end] = mine
        reference[start + 1 : end] = theirs
    current *= stretches.spread(np.array([m for _, m in values], dtype=exact))
    reference *= stretches.spread(np.array([n for n, _ in values], dtype=exact))
    return FineGaps(members, stretches, values, current - reference, reference)
