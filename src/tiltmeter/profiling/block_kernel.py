"""Integers of many numeric columns at once, equal to the NumPy kernel of one column to the last integer."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from tiltmeter.domain.profile import NumericProfile, counts_type
from tiltmeter.profiling import numpy_kernel
from tiltmeter.profiling.distinct import HashDistinct, Resolution
from tiltmeter.profiling.fixed_point import LIMB
from tiltmeter.profiling.hashing import hash_doubles
from tiltmeter.profiling.side_by_side import SideBySide, blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.profiling.cells import NumericCells
    from tiltmeter.profiling.columns import NumberColumn

_NEAR: Final = 2.0**11
"""|z| below which z² has fewer than 2^62 units; columns with a value farther out go through the long sums alone."""

_HALF_BITS: Final = np.int64(32)
_LOW_HALF: Final = np.int64(2**32 - 1)


def count_side_by_side(
    columns: Sequence[NumberColumn], cells: Sequence[NumericCells], resolution: Resolution
) -> list[NumericProfile]:
    """Integers of numeric or datetime columns.

    Args:
        columns: of as many rows, at least one and at most 2^14; without hashes of their own.
        cells: of each column.
        resolution: of the distinct counts.
    """
    found: list[NumericProfile] = []
    for block in blocks_of(len(columns), len(columns[0])):
        found += _count_block(columns[block], cells[block], resolution)
    return found


def _count_block(
    columns: Sequence[NumberColumn], cells: Sequence[NumericCells], resolution: Resolution
) -> list[NumericProfile]:
    block = SideBySide.of([(column,) for column in columns], [one.bins.float32 for one in cells])
    z, is_near = _distances(block, cells)
    sums = _sums(z)
    zeros = np.add.reduce(block.values == 0.0, axis=1, dtype=np.int64).tolist()
    least, greatest = block.values[:, 0].tolist(), block.greatest().tolist()
    counts = _counts(block, cells)
    hashes, ends = _hashes(block)
    sizes: list[int] = block.sizes.tolist()
    found = []
    for i, (column, one, size) in enumerate(zip(columns, cells, sizes, strict=True)):
        if not is_near[i]:
            found.append(numpy_kernel.count_numbers(column, one, resolution))
            continue
        profile = NumericProfile(
            rows=block.rows,
            missing=block.rows - size,
            negative_infinite=0,
            positive_infinite=0,
            extreme=0,
            zeros=zeros[i],
            sum1=sums[0][i],
            sum2=sums[1][i],
            minimum=least[i],
            maximum=greatest[i],
            counts=counts[i],
            low_tail=numpy_kernel.low_tail(block.values[i, :size], one) if least[i] <= one.minimum else {},
            high_tail=numpy_kernel.high_tail(block.values[i, :size], one) if greatest[i] > one.maximum else {},
            distinct=HashDistinct.of_sorted(hashes[ends[i] : ends[i + 1]], resolution),
        )
        found.append(profile)
    return found


def _distances(block: SideBySide, cells: Sequence[NumericCells]) -> tuple[np.ndarray, list[bool]]:
    """Scaled distances of all values, and which columns have some and no far one; 0.0 of all else."""
    centers = np.array([one.bins.center for one in cells])[:, None]
    scales = np.array([one.bins.scale for one in cells])[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        z = np.subtract(block.values, centers)
        z /= scales
        # z grows with x, so the ends tell.
        ends = np.maximum(np.abs(z[:, 0]), np.abs(z[np.arange(len(cells)), block.sizes - 1]))
        is_near = (block.sizes > 0) & (ends < _NEAR)
    if not block.is_full:
        np.copyto(z, 0.0, where=block.beyond())
    z[~is_near] = 0.0
    return z, is_near.tolist()


def _sums(z: np.ndarray) -> tuple[list[int], list[int]]:
    """The exact sums of `fixed_sums`, a column each: they fit 64 bits, those of z² in two halves."""
    first = np.add.reduce(np.floor(z * LIMB + 0.5).astype(np.int64), axis=1).tolist()
    squares = np.floor((z * z) * LIMB + 0.5).astype(np.int64)
    high = np.add.reduce(squares >> _HALF_BITS, axis=1).tolist()
    low = np.add.reduce(squares & _LOW_HALF, axis=1).tolist()
    return first, [(above << 32) + below for above, below in zip(high, low, strict=True)]


def _counts(block: SideBySide, cells: Sequence[NumericCells]) -> list[np.ndarray]:
    """Rows per bin of each column."""
    ends = [0]
    for one in cells:
        ends.append(ends[-1] + one.edges.size + 2)
    # Of each column: 0, the rows up to each edge, all rows; the differences are the rows of its bins.
    up_to = np.empty(ends[-1], dtype=counts_type(block.rows))
    for ordered, one, size, start, end in zip(
        block.values, cells, block.sizes.tolist(), ends[:-1], ends[1:], strict=True
    ):
        up_to[start] = 0
        up_to[start + 1 : end - 1] = ordered[:size].searchsorted(one.edges, side="right")
        up_to[end - 1] = size
    counts = up_to[1:] - up_to[:-1]
    return [counts[start : end - 1] for start, end in pairwise(ends)]


def _hashes(block: SideBySide) -> tuple[np.ndarray, list[int]]:
    """Hashes of all values, those of a column ascending without repeats, and where those of each column end."""
    values = block.values
    if not block.is_full:  # the least value once more changes no set
        values = np.where(block.beyond(), values[:, :1], values)
    hashes = hash_doubles(values)
    hashes.sort(axis=1)
    is_first = np.empty(hashes.shape, dtype=np.bool_)
    is_first[:, 0] = True
    np.not_equal(hashes[:, 1:], hashes[:, :-1], out=is_first[:, 1:])
    each = np.add.reduce(is_first, axis=1, dtype=np.int64)
    distinct = hashes.ravel() if int(each.sum()) == hashes.size else hashes[is_first]
    return distinct, [0, *np.add.accumulate(each).tolist()]
