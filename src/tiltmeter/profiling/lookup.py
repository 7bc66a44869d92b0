"""A table that says where to begin looking for the bin of a value; the compiled kernel then needs one comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

CELLS: Final = 8_192
"""Cells of the table: with 1,070 edges nearly every cell holds at most one edge, and the table fits a cache."""

CROWDED: Final = 1 << 30
"""Set in the entry of a cell that holds several edges; the bits below are the entry."""

# Edges left outside the table on either side, by trial.
_TRIMS: Final = (0, 3, 12)

_SIGN_BIT: Final = np.uint64(0x8000000000000000)


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Where to begin looking for the bin of a value.

    Args:
        by_bits: whether cells are equal steps of the ordered bits of a double, or of its value.
        first: value where cell 0 begins.
        first_bits: ordered bits where cell 0 begins.
        per_unit: cells per unit of value.
        shift: bits dropped from the ordered bits.
        starts: number of edges in the cells before, with `CROWDED` where the cell holds several; int32, shape (CELLS,).
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
    padded = np.concatenate([edges, [np.inf]])
    padded.flags.writeable = False
    finite = edges[np.isfinite(edges)]
    if finite.size == 0:
        starts = np.full(CELLS, CROWDED if edges.size else 0, dtype=np.int32)
        return _with_starts(Lookup(False, 0.0, 0, 1.0, 0, starts, padded), starts)
    drafts = [draft for trim in _TRIMS if 2 * trim < finite.size for draft in _drafts(finite, trim, padded)]
    held = [np.bincount(cells_of_values(edges, draft), minlength=CELLS) for draft in drafts]
    # Comparisons a value needs, up to a factor: bins hold equal shares, so cells with many edges hold many values.
    best = min(range(len(drafts)), key=lambda which: int((held[which] * held[which]).sum()))
    starts = np.zeros(CELLS, dtype=np.int32)
    np.cumsum(held[best][:-1], out=starts[1:])
    starts[held[best] > 1] |= CROWDED
    return _with_starts(drafts[best], starts)


def cells_of_values(values: np.ndarray, table: Lookup) -> np.ndarray:
    """The cell of each value, int64, as the compiled kernel finds it; NaN has none."""
    if table.by_bits:
        ordered, first = _ordered(values), np.uint64(table.first_bits)
        steps = np.where(ordered > first, ordered - first, np.uint64(0)) >> np.uint64(table.shift)
        return np.asarray(np.minimum(steps, np.uint64(CELLS - 1)), dtype=np.int64)
    with np.errstate(over="ignore"):
        place = (values - table.first) * table.per_unit
    return np.asarray(np.clip(place, 0.0, CELLS - 1.0).astype(np.int64))


def _drafts(finite: np.ndarray, trim: int, edges: np.ndarray) -> list[Lookup]:
    """Tables over the edges but the outermost few: fences lie far out, and one cell can take all behind them."""
    low, high = float(finite[trim]), float(finite[-1 - trim])
    low_bits, high_bits = (int(bits) for bits in _ordered(np.array([low, high])))
    shift = max(0, (high_bits - low_bits).bit_length() - (CELLS.bit_length() - 1))
    drafts = [Lookup(True, low, low_bits, 0.0, shift, edges, edges)]
    with np.errstate(over="ignore", divide="ignore"):
        per_unit = float(np.float64(CELLS) / np.float64(high - low))
    if np.isfinite(per_unit) and per_unit > 0:
        drafts.append(Lookup(False, low, 0, per_unit, 0, edges, edges))
    return drafts


def _with_starts(table: Lookup, starts: np.ndarray) -> Lookup:
    starts.flags.writeable = False
    return replace(table, starts=starts)


def _ordered(values: np.ndarray) -> np.ndarray:
    """Bits of doubles as integers of the same order."""
    bits = values.view(np.uint64)
    return np.where(bits & _SIGN_BIT, ~bits, bits | _SIGN_BIT)
