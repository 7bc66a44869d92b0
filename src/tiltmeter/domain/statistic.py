"""Declaration of a drift statistic: what it is called, where it applies, what it means and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiltmeter.domain.feature import FeatureKind
    from tiltmeter.domain.metric import Unit

_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class Cells:
    """What a drift statistic sees of one feature: counts on both sides, never rows.

    Args:
        reference: rows per comparison cell, int64, shape (B,), as of statistics.md section 2, before any ½.
        current: same cells.
        reference_below: rows up to the end of each fine bin, int64, missing left out; empty for categories.
        current_below: same bins.
        fine_edges: upper limits of the fine bins but the last, shape (bins - 1,).
        single_valued: per fine bin, whether it can hold only one double.
        n: rows of the window as tests count them (distinct entities where fewer than rows).
        m: rows of the reference likewise.
        kind: of the feature.
        std_reference: standard deviation of the reference, None where unknown.
        minimum: least finite value of both sides, None where unknown.
        maximum: greatest finite value of both sides.
    """

    reference: np.ndarray
    current: np.ndarray
    reference_below: np.ndarray
    current_below: np.ndarray
    fine_edges: np.ndarray
    single_valued: np.ndarray
    n: int
    m: int
    kind: FeatureKind
    std_reference: float | None = None
    minimum: float | None = None
    maximum: float | None = None

    @cached_property
    def reference_fine(self) -> np.ndarray:
        """Rows of the reference per fine bin, int64."""
        return np.diff(self.reference_below, prepend=0)

    @cached_property
    def current_fine(self) -> np.ndarray:
        """Rows of the window per fine bin, int64."""
        return np.diff(self.current_below, prepend=0)

    @property
    def values(self) -> tuple[int, int]:
        """Rows in the fine bins, which leave the missing ones out: of the window and of the reference."""
        if self.reference_below.size == 0:
            return 0, 0
        return int(self.current_below[-1]), int(self.reference_below[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Cells of several features of one kind: a NumPy call a block costs little more than one a feature.

    Args:
        cells: of each feature.
    """

    cells: tuple[Cells, ...]
    _made: dict[Callable[[Block], Any], Any] = field(default_factory=dict)

    def once(self, make: Callable[[Block], _Made]) -> _Made:
        """What `make` makes of this block, made once for all statistics that ask for it."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast("_Made", self._made[make])


@dataclass(frozen=True, slots=True)
class Measured:
    """A statistic's answer: the value, and by name what belongs to it (p-value, bounds, degrees of freedom)."""

    value: float | None
    parts: Mapping[str, float | int | None]
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DriftStatistic:
    """One drift statistic.

    Args:
        name: as in JSON and, with the prefix `drift.`, in rules.
        title: two or three words for a page.
        kinds: feature kinds it applies to.
        bounds: least and greatest possible value.
        unit: of the value.
        definition: one line, in the notation of the reference page.
        reading: how a person should read the value.
        source: paper or book.
        parts: names of the further numbers it returns, such as `psi_p_value`.
        compute: from cells to the value; total, never raises on valid counts.
        order_matters: whether permuting the cells changes the value (KS and Wasserstein do, PSI does not).
        compute_block: the same for many features at once, in their order, where it is worth having.
    """

    name: str
    title: str
    kinds: frozenset[FeatureKind]
    bounds: tuple[float, float]
    unit: Unit
    definition: str
    reading: str
    source: str
    parts: tuple[str, ...]
    compute: Callable[[Cells], Measured]
    order_matters: bool = False
    compute_block: Callable[[Block], list[Measured]] | None = None

    def measure(self, block: Block) -> list[Measured]:
        """The statistic of every feature of the block."""
        if self.compute_block is not None:
            return self.compute_block(block)
        return [self.compute(cells) for cells in block.cells]
