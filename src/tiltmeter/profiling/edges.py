"""Where the baseline's values are cut: equal shares, and values that fill a share alone get a bin of their own."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tiltmeter.domain.profile import NumericBins
from tiltmeter.profiling.fixed_point import scale_of

DECILES = 10
FINE = 1024
_GAPS = 32_768
"""Gaps from the mean made at once: they stay in a cache."""
POSITIONS = np.int16
"""Of positions in the edges: two for each atom and fine share at most, so that 10,000 features keep in 40 MB."""


class Atoms(NamedTuple):
    """Values that fill a share alone, and their rows `[start, stop)` among all rows in ascending order."""

    values: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


def finite_of(ordered: np.ndarray) -> np.ndarray:
    """The finite values of ascending ones, NaN behind them, without a copy."""
    return ordered[ordered.searchsorted(-np.inf, side="right") : ordered.searchsorted(np.inf)]


def share_edges(ordered: np.ndarray, parts: int) -> np.ndarray:
    """Edges that cut the baseline into about `parts` equal shares; a value that fills a share alone is an atom.

    Args:
        ordered: finite values of all rows, ascending, at least one.
        parts: T, 10 for deciles or 1,024 for fine edges.

    Returns:
        Ascending edges without repeats; bins are `(edge, next edge]`, outer bins open.
    """
    atoms, total = _atoms(ordered, parts), ordered.size
    left = total - int(np.add.reduce(atoms.stops - atoms.starts))
    edges = [_alone(atoms.values)]
    if not left:
        return edges[0]
    wanted = max(1, parts - atoms.values.size)
    for start, stop in zip([0, *atoms.stops.tolist()], [*atoms.starts.tolist(), total], strict=True):
        mass = stop - start
        if mass:
            # No bin is planned under 2.5 % of the rows (deciles), a quarter of an equal share in general.
            bins = max(1, min((2 * wanted * mass + left) // (2 * left), 4 * parts * mass // total))
            edges.append(_run_edges(ordered[start:stop], bins))
    return _ascending(*edges)


def _atoms(ordered: np.ndarray, parts: int) -> Atoms:
    """Values with more than 1/parts of the rows."""
    least = ordered.size // parts + 1
    # So many equal rows in a row hold at least one whose number is a multiple of theirs.
    values = _without_repeats(ordered[::least])
    if least == 1:
        starts = np.flatnonzero(_differ_from_last(ordered))
        return Atoms(values, starts, np.append(starts[1:], ordered.size))
    starts, stops = ordered.searchsorted(values), ordered.searchsorted(values, side="right")
    many = stops - starts >= least
    return Atoms(values[many], starts[many], stops[many])


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


def _run_edges(ordered: np.ndarray, bins: int) -> np.ndarray:
    # The first value whose cumulated rows C have bins·C >= j·M is that of row ⌈j·M / bins⌉.
    rows = -(-np.arange(1, bins, dtype=np.int64) * ordered.size // bins)
    edges = ordered[rows - 1]
    return np.asarray(edges[edges < ordered[-1]])


def numeric_bins(values: np.ndarray, *, float32: bool) -> NumericBins:
    """Frozen cells of a baseline's values.

    Args:
        values: float64, missing left out; infinities are ignored.
        float32: whether the values carry the rounding of 32-bit floats.
    """
    ordered = values + 0.0  # -0.0 is 0.0
    ordered.sort()
    return bins_of_ordered(finite_of(ordered), float32=float32)


def bins_of_ordered(ordered: np.ndarray, *, float32: bool) -> NumericBins:
    """The same for finite values in ascending order, without -0.0."""
    if ordered.size == 0:
        nothing, none = np.empty(0), np.empty(0, dtype=POSITIONS)
        return NumericBins(nothing, none, none, None, None, None, 0.0, 1.0, float32)
    center = _quantile(ordered, 2)
    iqr = _quantile(ordered, 1), _quantile(ordered, 3)
    scale = frozen_scale(ordered, center, iqr[1] - iqr[0])
    deciles = share_edges(ordered, DECILES)
    limits = (_below(float(ordered[0])), float(ordered[-1]))
    fine = share_edges(ordered, FINE)
    outer = _lacking(fine, np.array(limits)) if fine.size else np.array(limits)
    fine = _inserted(fine, outer)[0] if outer.size else fine
    tukey, three_sigma = _tukey(*iqr), _three_sigma(ordered)
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


def _quantile(ordered: np.ndarray, quarters: int) -> float:
    """Inverse of the empirical distribution at quarters/4."""
    return float(ordered[-(-quarters * ordered.size // 4) - 1])


def frozen_scale(ordered: np.ndarray, center: float, spread: float) -> float:
    """Scale of the exact sums: of the spread of the middle half, else of the deviation, else of the center."""
    if spread > 0 and math.isfinite(spread):
        return scale_of([spread])
    _, deviation = _mean_and_deviation(ordered, ordered.size)
    return scale_of([0.0 if ordered[0] == ordered[-1] else deviation, abs(center)])


def _mean_and_deviation(ordered: np.ndarray, divisor: int) -> tuple[float, float]:
    """Mean, and the root of the squared gaps from it over the divisor; not finite where doubles do not hold them."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.add.reduce(ordered) / ordered.size)
        squares = 0.0
        for start in range(0, ordered.size, _GAPS):
            gaps = ordered[start : start + _GAPS] - mean
            squares += float(np.add.reduce(gaps * gaps))  # a dot product would wake, and keep busy, a thread a core
        return mean, math.sqrt(squares / divisor) if squares >= 0 else math.nan


def _tukey(first: float, third: float) -> tuple[float, float] | None:
    spread = third - first
    low, high = first - 1.5 * spread, third + 1.5 * spread
    if spread == 0 or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return _below(low), high


def _three_sigma(ordered: np.ndarray) -> tuple[float, float] | None:
    """pred(mean − 3·std) and mean + 3·std of the baseline; None without a spread."""
    if ordered[0] == ordered[-1]:
        return None
    mean, std = _mean_and_deviation(ordered, ordered.size - 1)
    low, high = mean - 3 * std, mean + 3 * std
    if not std > 0 or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return _below(low), high


def _below(value: float) -> float:
    return math.nextafter(value, -math.inf)
