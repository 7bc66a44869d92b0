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
    """Distinct finite values in ascending order, and how often each occurs."""

    values: np.ndarray
    counts: np.ndarray


def weighted(values: np.ndarray) -> Weighted:
    """Distinct finite values of the array with their counts."""
    ordered = np.sort(values[np.isfinite(values)])
    if ordered.size == 0:
        return Weighted(ordered, np.empty(0, dtype=np.int64))
    new = np.empty(ordered.size, dtype=bool)
    new[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    if starts.size == ordered.size:
        return Weighted(ordered, np.ones(ordered.size, dtype=np.int64))
    return Weighted(ordered[starts], np.diff(starts, append=ordered.size))


def share_edges(baseline: Weighted, parts: int) -> np.ndarray:
    """Edges that cut the baseline into about `parts` equal shares; a value that fills a share alone is an atom.

    Args:
        baseline: distinct values and counts.
        parts: T, 10 for deciles or 1,024 for fine edges.

    Returns:
        Ascending edges without repeats; bins are `(edge, next edge]`, outer bins open.
    """
    values, counts = baseline
    total = int(counts.sum())
    is_atom = parts * counts > total
    atoms = values[is_atom]
    left = total - int(np.add.reduce(counts[is_atom]))
    wanted = max(1, parts - atoms.size)
    edges = [_preds(atoms), atoms]
    for start, stop in _runs(~is_atom) if atoms.size else [(0, values.size)]:
        mass = int(counts[start:stop].sum())
        # No bin is planned under 2.5 % of the rows (deciles), a quarter of an equal share in general.
        bins = max(1, min((2 * wanted * mass + left) // (2 * left), 4 * parts * mass // total))
        edges.append(_run_edges(values[start:stop], counts[start:stop], bins))
    return _ascending(*edges)


def _ascending(*parts: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """All values of the parts in ascending order without repeats."""
    ordered = np.concatenate(parts)
    ordered.sort()
    new = np.empty(ordered.size, dtype=bool)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    steps = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _run_edges(values: np.ndarray, counts: np.ndarray, bins: int) -> np.ndarray:
    cumulated = np.cumsum(counts)
    mass = int(cumulated[-1])
    targets = np.arange(1, bins, dtype=np.int64) * mass  # first value with bins·C >= j·M
    positions = np.searchsorted(cumulated * bins, targets, side="left")
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
    cumulated = np.cumsum(baseline.counts)
    center = _quantile(baseline.values, cumulated, 2)
    iqr = _interquartile(baseline.values, cumulated)
    scale = _scale(baseline, center, iqr[1] - iqr[0])
    deciles = share_edges(baseline, DECILES)
    smallest, largest = float(baseline.values[0]), float(baseline.values[-1])
    limits = (_below(smallest), largest)
    fine = _ascending(share_edges(baseline, FINE), limits)
    tukey, three_sigma = _tukey(*iqr), _three_sigma(baseline)
    more = _ascending(deciles, tukey or (), three_sigma or ())
    more = more[fine[np.minimum(fine.searchsorted(more), fine.size - 1)] != more]
    edges = _ascending(fine, more) if more.size else fine
    return NumericBins(
        edges=edges,
        deciles=edges.searchsorted(deciles).astype(POSITIONS),
        fine=np.delete(np.arange(edges.size, dtype=POSITIONS), edges.searchsorted(more)),
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
    low, high = np.searchsorted(edges, pair)
    return int(low), int(high)


def _quantile(values: np.ndarray, cumulated: np.ndarray, quarters: int) -> float:
    """Inverse of the empirical distribution at quarters/4."""
    rank = -(-quarters * int(cumulated[-1]) // 4)
    return float(values[np.searchsorted(cumulated, rank, side="left")])


def _interquartile(values: np.ndarray, cumulated: np.ndarray) -> tuple[float, float]:
    return _quantile(values, cumulated, 1), _quantile(values, cumulated, 3)


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
    rows = int(baseline.counts.sum())
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


def _preds(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # below the least double lies -inf
        return np.asarray(np.nextafter(values, -np.inf))


def _below(value: float) -> float:
    return math.nextafter(value, -math.inf)
