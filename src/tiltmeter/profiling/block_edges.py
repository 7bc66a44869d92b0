"""Edges of many baseline columns at once, equal to those of one column (`edges`) to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.profile import NumericBins
from tiltmeter.profiling.edges import DECILES, FINE, POSITIONS, bins_of_ordered, finite_of, frozen_scale
from tiltmeter.profiling.side_by_side import SideBySide, blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.profiling.columns import NumberColumn


def bins_side_by_side(columns: Sequence[Sequence[NumberColumn]], float32: Sequence[bool]) -> list[NumericBins]:
    """Frozen cells of baseline columns.

    Args:
        columns: each in pieces; all of as many rows, at least one and at most 2^14.
        float32: by column, whether its values carry the rounding of 32-bit floats.
    """
    found: list[NumericBins] = []
    for block in blocks_of(len(columns), sum(map(len, columns[0]))):
        found += _bins_of_block(SideBySide.of(columns[block], [False] * len(columns[block])), float32[block])
    return found


def _bins_of_block(block: SideBySide, float32: Sequence[bool]) -> list[NumericBins]:
    is_plain = np.isfinite(block.values[:, 0]) & np.isfinite(block.greatest())
    chosen = is_plain.nonzero()[0]
    if chosen.size < is_plain.size:
        block_of_plain = SideBySide(block.values[chosen], block.sizes[chosen])
        plain = iter(_plain_bins(block_of_plain, [float32[i] for i in chosen.tolist()]) if chosen.size else ())
        return [
            next(plain) if plain_one else bins_of_ordered(finite_of(ordered), float32=is_float32)
            for plain_one, ordered, is_float32 in zip(is_plain.tolist(), block.values, float32, strict=True)
        ]
    return _plain_bins(block, float32)


def _plain_bins(block: SideBySide, float32: Sequence[bool]) -> list[NumericBins]:
    """Cells of columns that hold a value and no infinity."""
    first, center, third = (_quantile(block, quarters) for quarters in (1, 2, 3))
    with np.errstate(over="ignore", invalid="ignore"):
        scales = _scales(block, center, third - first)
        fences = np.concatenate([_tukey(first, third), _three_sigma(block)], axis=1)
    neighbours = _neighbours(block)
    fine = _edges(neighbours, *_with_limits(block, *_cuts(block, FINE)))
    return _joined(fine, _edges(neighbours, *_cuts(block, DECILES)), fences, center.tolist(), scales, float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Stretches:
    """Ascending values of each column, end to end.

    Args:
        values: of all columns.
        ends: where each column begins, and where the last one ends, shape (columns + 1,).
    """

    values: np.ndarray
    ends: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Values of each column."""
        return np.asarray(self.ends[1:] - self.ends[:-1])


def _cuts(block: SideBySide, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows make edges of about `parts` equal shares, as in `edges.share_edges`.

    Returns:
        Whether the value of a row stands alone in a bin (told at its first row), and whether it ends one, each of
        shape (columns, rows).
    """
    values, sizes = block.values, block.sizes
    is_new = np.empty(values.shape, dtype=np.bool_)
    is_new[:, 0] = True
    np.not_equal(values[:, 1:], values[:, :-1], out=is_new[:, 1:])
    if not block.is_full:
        is_new &= ~block.beyond()
    least = sizes // parts + 1
    if int(np.maximum.reduce(least)) == 1:  # every value fills a share
        return is_new, is_new
    alone = np.zeros(values.shape, dtype=np.bool_)
    for ordered, into, ahead, size in zip(values, alone, (least - 1).tolist(), sizes.tolist(), strict=True):
        np.equal(ordered[ahead:size], ordered[: size - ahead], out=into[: size - ahead])
    alone &= is_new
    ends = alone.copy()
    ends.reshape(-1)[_rows_that_end(block, parts, is_new, alone)] = True
    return alone, ends


def _rows_that_end(block: SideBySide, parts: int, is_new: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Rows whose value ends a bin between those that stand alone, as positions among all rows of the block."""
    columns = block.sizes.size
    flat = block.values.reshape(-1)
    starts, stops, column = _gaps(block, is_new, alone)
    gaps = np.bincount(column, minlength=columns)
    mass = stops - starts
    left = np.bincount(column, weights=mass, minlength=columns).astype(np.int64)[column]
    wanted = np.maximum(1, parts - (gaps - 1))[column]
    has_rows = mass > 0
    starts, stops, mass, left, wanted = (each[has_rows] for each in (starts, stops, mass, left, wanted))
    total = block.sizes[column[has_rows]]
    bins = np.maximum(1, np.minimum((2 * wanted * mass + left) // (2 * left), 4 * parts * mass // total))
    inner = bins - 1
    gap = np.repeat(np.arange(inner.size), inner)
    number = np.arange(gap.size) - np.repeat(np.add.accumulate(inner) - inner, inner) + 1
    # The first value whose cumulated rows C have bins·C >= j·M is that of row ⌈j·M / bins⌉.
    at = starts[gap] - (-number * mass[gap] // bins[gap]) - 1
    return np.asarray(at[flat[at] < flat[stops[gap] - 1]])


def _gaps(block: SideBySide, is_new: np.ndarray, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows before, between and behind the values that stand alone: their starts, stops and columns; some are empty."""
    columns, rows = block.values.shape
    first_rows = np.arange(columns) * rows
    behind = first_rows + block.sizes
    atoms = alone.reshape(-1).nonzero()[0]
    if not atoms.size:
        return first_rows, behind, np.arange(columns)
    news = np.append(is_new.reshape(-1).nonzero()[0], columns * rows)
    column = atoms // rows
    atom_ends = np.minimum(news[news.searchsorted(atoms) + 1], behind[column])
    starts, stops = np.concatenate([first_rows, atom_ends]), np.concatenate([atoms, behind])
    # A gap begins where a column or an atom ends and stops where the next one begins: both in order make pairs.
    starts.sort()
    stops.sort()
    return starts, stops, np.repeat(np.arange(columns), np.bincount(column, minlength=columns) + 1)


def _with_limits(block: SideBySide, alone: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with edges right below the least and at the greatest value."""
    below, ends = alone.copy(), ends.copy()
    below[:, 0] = True
    ends[np.arange(block.sizes.size), block.sizes - 1] = True
    return below, ends


def _neighbours(block: SideBySide) -> np.ndarray:
    """The double right below each value, and the value, shape (columns, rows, 2)."""
    both = np.empty((*block.values.shape, 2))
    with np.errstate(over="ignore"):  # below the least double lies -inf
        np.nextafter(block.values, -np.inf, out=both[:, :, 0])
    both[:, :, 1] = block.values
    return both


def _edges(neighbours: np.ndarray, below: np.ndarray, at: np.ndarray) -> _Stretches:
    """Edges right below the values of some rows, and at those of others."""
    wanted = np.empty(neighbours.shape, dtype=np.bool_)
    wanted[:, :, 0], wanted[:, :, 1] = below, at
    places = wanted.reshape(-1).nonzero()[0]
    columns, rows = below.shape
    ends = places.searchsorted(np.arange(columns + 1) * (2 * rows))
    return _without_repeats(_Stretches(neighbours.reshape(-1).take(places), ends))


def _without_repeats(held: _Stretches) -> _Stretches:
    values = held.values
    is_new = np.empty(values.size, dtype=np.bool_)
    is_new[:1] = True
    np.not_equal(values[1:], values[:-1], out=is_new[1:])
    is_new[held.ends[:-1][held.sizes > 0]] = True
    if np.count_nonzero(is_new) == values.size:
        return held
    until = np.zeros(values.size + 1, dtype=np.intp)
    np.cumsum(is_new, out=until[1:])
    return _Stretches(values[is_new], until[held.ends])


def _joined(
    fine: _Stretches,
    deciles: _Stretches,
    fences: np.ndarray,
    centers: Sequence[float],
    scales: Sequence[float],
    float32: Sequence[bool],
) -> list[NumericBins]:
    """All edges of each column in one vector, and where in it the several kinds stand.

    Args:
        fine: fine edges, the limits of the range among them, the first and the last.
        deciles: decile edges.
        fences: two of each kind, NaN for none, shape (columns, 4).
        centers: of the columns.
        scales: of the columns.
        float32: of the columns.
    """
    every, fine_positions, positions, limits = _merged(fine, _beside(fences, deciles))
    has_fences = ~np.isnan(fences)
    ends, fine_ends = every.ends.tolist(), fine.ends.tolist()
    narrow = positions[:, 4:].astype(POSITIONS)
    return [
        NumericBins(
            edges=every.values[ends[i] : ends[i + 1]],
            deciles=narrow[i, :size],
            fine=fine_positions[fine_ends[i] : fine_ends[i + 1]],
            iqr=(fenced[0], fenced[1]) if has[0] else None,
            z=(fenced[2], fenced[3]) if has[2] else None,
            range=(limit[0], limit[1]),
            center=center,
            scale=scale,
            float32=is_float32,
        )
        for i, (size, fenced, has, limit, center, scale, is_float32) in enumerate(
            zip(
                deciles.sizes.tolist(),
                positions[:, :4].tolist(),
                has_fences.tolist(),
                limits.tolist(),
                centers,
                scales,
                float32,
                strict=True,
            )
        )
    ]


def _beside(fences: np.ndarray, deciles: _Stretches) -> np.ndarray:
    """Fences and decile edges of each column in a row, NaN behind, shape (columns, at least 4)."""
    sizes = deciles.sizes
    further = np.full((sizes.size, 4 + int(np.maximum.reduce(sizes))), np.nan)
    further[:, :4] = fences
    place = np.arange(deciles.values.size) - np.repeat(deciles.ends[:-1], sizes)
    further[np.repeat(np.arange(sizes.size), sizes), 4 + place] = deciles.values
    return further


def _merged(fine: _Stretches, further: np.ndarray) -> tuple[_Stretches, np.ndarray, np.ndarray, np.ndarray]:
    """Fine edges and further ones without repeats.

    Returns:
        All edges of each column, the positions of the fine ones among them (end to end), those of the further ones
        (anything in place of NaN), and those of the first and last fine one.
    """
    order = further.argsort(axis=1)
    more = np.take_along_axis(further, order, axis=1)
    at = np.empty(more.shape, dtype=np.intp)
    begins, sizes = fine.ends[:-1], fine.sizes
    for into, wanted, start, stop in zip(at, more, begins.tolist(), fine.ends[1:].tolist(), strict=True):
        into[:] = fine.values[start:stop].searchsorted(wanted)
    # NaN stands behind all and differs from everything.
    is_lacking = fine.values[begins[:, None] + np.minimum(at, sizes[:, None] - 1)] != more
    is_lacking[:, 1:] &= more[:, 1:] != more[:, :-1]
    is_lacking &= ~np.isnan(more)
    place = at + (np.add.accumulate(is_lacking, axis=1, dtype=np.intp) - is_lacking)
    is_same = more[:, 1:] == more[:, :-1]
    place[:, 1:][is_same] = 0  # the position of the first of those that are equal
    place = np.maximum.accumulate(place, axis=1)

    lacking = np.add.reduce(is_lacking, axis=1, dtype=np.intp)
    ends = np.zeros_like(fine.ends)
    np.cumsum(sizes + lacking, out=ends[1:])
    edges, is_fine = np.empty(int(ends[-1])), np.ones(int(ends[-1]), dtype=np.bool_)
    inserted = (ends[:-1, None] + place)[is_lacking]
    is_fine[inserted] = False
    edges[inserted], edges[is_fine] = more[is_lacking], fine.values
    fine_positions = is_fine.nonzero()[0] - np.repeat(ends[:-1], sizes)
    positions = np.empty_like(place)
    np.put_along_axis(positions, order, place, axis=1)
    limits = np.stack([fine_positions[begins], fine_positions[fine.ends[1:] - 1]], axis=1)
    return _Stretches(edges, ends), fine_positions.astype(POSITIONS), positions, limits


def _quantile(block: SideBySide, quarters: int) -> np.ndarray:
    """Inverse of the empirical distribution at quarters/4, of each column."""
    rank = -(-quarters * block.sizes // 4)
    return np.asarray(block.values[np.arange(rank.size), rank - 1])


def _scales(block: SideBySide, center: np.ndarray, spread: np.ndarray) -> list[float]:
    scales = np.ldexp(1.0, np.frexp(spread)[1] - 1)
    for i in (~((spread > 0) & np.isfinite(spread))).nonzero()[0].tolist():
        scales[i] = frozen_scale(block.values[i, : block.sizes[i]], float(center[i]), float(spread[i]))
    found: list[float] = scales.tolist()
    return found


def _tukey(first: np.ndarray, third: np.ndarray) -> np.ndarray:
    """Both fences of each column, shape (columns, 2); NaN where it has none."""
    spread = third - first
    return _fences(first - 1.5 * spread, third + 1.5 * spread, spread != 0)


def _three_sigma(block: SideBySide) -> np.ndarray:
    sizes: list[int] = block.sizes.tolist()
    # Sums in the order in which a column alone is added up.
    total = np.array([np.add.reduce(ordered[:size]) for ordered, size in zip(block.values, sizes, strict=True)])
    mean = total / block.sizes
    gaps = block.values - mean[:, None]
    gaps *= gaps
    squares = np.array([np.add.reduce(ordered[:size]) for ordered, size in zip(gaps, sizes, strict=True)])
    std = np.sqrt(squares / np.maximum(block.sizes - 1, 1))
    has_spread = (block.values[:, 0] != block.greatest()) & (std > 0)
    return _fences(mean - 3 * std, mean + 3 * std, has_spread)


def _fences(low: np.ndarray, high: np.ndarray, has_spread: np.ndarray) -> np.ndarray:
    stands = has_spread & np.isfinite(low) & np.isfinite(high)
    found = np.stack([np.nextafter(low, -np.inf), high], axis=1)
    found[~stands] = np.nan
    return found
