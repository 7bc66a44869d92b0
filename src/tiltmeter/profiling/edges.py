"""Where the baseline's values are cut: equal shares, and values that fill a share alone get a bin of their own."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tiltmeter.domain.profile import NumericBins
from tiltmeter.profiling.fixed_point import scale_of

DECILES = 10
FINE = 1024
POSITIONS = np.int16
"""Of positions in the edges: two for each atom and fine share at most, so that 10,000 features keep in 40 MB."""


class Weighted(NamedTuple):
    """Distinct finite values in ascending order, how often each occurs, and how many rows lie up to each."""

    values: np.ndarray
    counts: np.ndarray
    below: np.ndarray


def weighted(values: np.ndarray) -> Weighted:
    """Distinct finite values of the array with their counts."""
    ordered = values[np.isfinite(values)]
    ordered.sort()
    new = _differ_from_last(ordered)
    if np.count_nonzero(new) == ordered.size:
        return Weighted(ordered, np.ones(ordered.size, dtype=np.int64), np.arange(1, ordered.size + 1))
    starts = np.flatnonzero(new)
    below = np.append(starts[1:], ordered.size)
    return Weighted(ordered[starts], below - starts, below)


def share_edges(baseline: Weighted, parts: int) -> np.ndarray:
    """Edges that cut the baseline into about `parts` equal shares; a value that fills a share alone is an atom.

    Args:
        baseline: distinct values and counts.
        parts: T, 10 for deciles or 1,024 for fine edges.

    Returns:
        Ascending edges without repeats; bins are `(edge, next edge]`, outer bins open.
    """
    values, counts, below = baseline
    total = int(below[-1])
    is_atom = parts * counts > total
    atoms = values[is_atom]
    if atoms.size == values.size:
        return _alone(atoms)
    left = total - int(np.add.reduce(counts[is_atom]))
    wanted = max(1, parts - atoms.size)
    edges = [_alone(atoms)]
    for start, stop in _runs(~is_atom) if atoms.size else [(0, values.size)]:
        before = int(below[start - 1]) if start else 0
        mass = int(below[stop - 1]) - before
        # No bin is planned under 2.5 % of the rows (deciles), a quarter of an equal share in general.
        bins = max(1, min((2 * wanted * mass + left) // (2 * left), 4 * parts * mass // total))
        edges.append(_run_edges(values[start:stop], below[start:stop] - before, bins))
    return _ascending(*edges)


def _ascending(*parts: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """All values of the parts in ascending order without repeats."""
    ordered = np.concatenate(parts)
    ordered.sort()
    return _without_repeats(ordered)


def _without_repeats(ordered: np.ndarray) -> np.ndarray:
    new = _differ_from_last(ordered)
    return ordered if np.count_nonzero(new) == ordered.size else ordered[new]


def _differ_from_last(ordered: np.ndarray) -> np.ndarray:
    new = np.empty(ordered.size, dtype=bool)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return new


def _alone(atoms: np.ndarray) -> np.ndarray:
    """Edges that put each of these ascending values into a bin of its own."""
    edges = np.empty(2 * atoms.size)
    with np.errstate(over="ignore"):  # below the least double lies -inf
        np.nextafter(atoms, -np.inf, out=edges[::2])
    edges[1::2] = atoms
    return _without_repeats(edges)


def _lacking(edges: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Those of the further edges that are not among the edges, which are at least one."""
    at = np.minimum(edges.searchsorted(more), edges.size - 1)
    return np.asarray(more[edges[at] != more])


def _inserted(edges: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges with further ones that they lack, both ascending, and the positions of the old ones in the whole."""
    is_old = np.ones(edges.size + more.size, dtype=bool)
    is_old[edges.searchsorted(more) + np.arange(more.size)] = False
    every = np.empty(is_old.size)
    every[is_old] = edges
    every[~is_old] = more
    return every, is_old.nonzero()[0]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    steps = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _run_edges(values: np.ndarray, below: np.ndarray, bins: int) -> np.ndarray:
    mass = int(below[-1])
    targets = np.arange(1, bins, dtype=np.int64) * mass  # first value with bins·C >= j·M
    positions = (below * bins).searchsorted(targets)
    return np.asarray(values[positions[positions < values.size - 1]])


def numeric_bins(values: np.ndarray, *, float32: bool) -> NumericBins:
    """Frozen cells of a baseline's values.

    Args:
        values: float64, missing left out; infinities are ignored.
        float32: whether the values carry the rounding of 32-bit floats.
    """
    baseline = weighted(values)
    if baseline.values.size == 0:
        nothing, none = np.empty(0), np.empty(0, dtype=POSITIONS)
        return NumericBins(nothing, none, none, None, None, None, 0.0, 1.0, float32)
    center = _quantile(baseline, 2)
    iqr = _quantile(baseline, 1), _quantile(baseline, 3)
    scale = _scale(baseline, center, iqr[1] - iqr[0])
    deciles = share_edges(baseline, DECILES)
    smallest, largest = float(baseline.values[0]), float(baseline.values[-1])
    limits = (_below(smallest), largest)
    fine = share_edges(baseline, FINE)
    outer = _lacking(fine, np.array(limits)) if fine.size else np.array(limits)
    fine = _inserted(fine, outer)[0] if outer.size else fine
    tukey, three_sigma = _tukey(*iqr), _three_sigma(baseline)
    more = _lacking(fine, _ascending(deciles, tukey or (), three_sigma or ()))
    edges, fine_positions = _inserted(fine, more)
    return NumericBins(
        edges=edges,
        deciles=edges.searchsorted(deciles).astype(POSITIONS),
        fine=fine_positions.astype(POSITIONS),
        iqr=_positions(edges, tukey),
        z=_positions(edges, three_sigma),
        range=_positions(edges, limits),
        center=center,
        scale=scale,
        float32=float32,
    )


def _positions(edges: np.ndarray, pair: tuple[float, float] | None) -> tuple[int, int] | None:
    if pair is None:
        return None
    low, high = edges.searchsorted(pair).tolist()
    return low, high


def _quantile(baseline: Weighted, quarters: int) -> float:
    """Inverse of the empirical distribution at quarters/4."""
    rank = -(-quarters * int(baseline.below[-1]) // 4)
    return float(baseline.values[baseline.below.searchsorted(rank)])


def _scale(baseline: Weighted, center: float, spread: float) -> float:
    if spread > 0 and math.isfinite(spread):
        return scale_of([spread])
    with np.errstate(over="ignore", invalid="ignore"):
        shares = baseline.counts / baseline.counts.sum()
        mean = float(np.sum(baseline.values * shares))
        deviation = float(np.sqrt(np.sum(shares * (baseline.values - mean) ** 2)))
    return scale_of([0.0 if baseline.values.size == 1 else deviation, abs(center)])


def _tukey(first: float, third: float) -> tuple[float, float] | None:
    spread = third - first
    low, high = first - 1.5 * spread, third + 1.5 * spread
    if spread == 0 or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return _below(low), high


def _three_sigma(baseline: Weighted) -> tuple[float, float] | None:
    """pred(mean − 3·std) and mean + 3·std of the baseline; None without a spread."""
    rows = int(baseline.below[-1])
    if rows < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        weights = baseline.counts.astype(np.float64)
        mean = float(np.dot(baseline.values, weights) / rows)
        gaps = baseline.values - mean
        std = math.sqrt(float(np.dot(gaps * gaps, weights)) / (rows - 1))
    low, high = mean - 3 * std, mean + 3 * std
    if baseline.values.size == 1 or not std > 0 or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return _below(low), high


def _below(value: float) -> float:
    return math.nextafter(value, -math.inf)
