"""Rows as profiles for tests of statistics: the definitions of bins and sums written down plainly, row by row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import (
    TAIL_STEPS,
    Bins,
    FeatureBins,
    FeatureProfile,
    LevelBins,
    LevelProfile,
    NumericBins,
    NumericProfile,
    Profile,
    TextBins,
    TextProfile,
)


@dataclass(frozen=True)
class ExactDistinct:
    """Distinct values as a plain set."""

    values: frozenset

    def estimate(self):
        return len(self.values), 0.0

    def __add__(self, other):
        return ExactDistinct(self.values | other.values)


def atoms_and_edges(values: np.ndarray, cells: int, *, least_share: int | None) -> list[float]:
    """Edges of statistics.md section 1 for T = cells; `least_share` 40 plans no bin under 2.5 % of the rows."""
    finite = np.sort(values[np.isfinite(values)])
    unique, counts = np.unique(finite, return_counts=True)
    total, edges = int(counts.sum()), set()
    atom = cells * counts > total
    rest = total - int(counts[atom].sum())
    k = max(1, cells - int(atom.sum()))
    least = 4 * cells if least_share is None else least_share
    for value in unique[atom]:
        edges |= {math.nextafter(float(value), -math.inf), float(value)}
    start = 0
    while start < unique.size:
        if atom[start]:
            start += 1
            continue
        stop = start
        while stop < unique.size and not atom[stop]:
            stop += 1
        run, below = unique[start:stop], np.cumsum(counts[start:stop])
        mass = int(below[-1])
        bins = max(1, min((2 * k * mass + rest) // (2 * rest), least * mass // total))
        for j in range(1, bins):
            position = int(np.argmax(bins * below >= j * mass))
            if position < run.size - 1:
                edges.add(float(run[position]))
        start = stop
    return sorted(edges)


def inverse(values: np.ndarray, share: Fraction) -> float:
    """Smallest value with at least that share of the values at or below it."""
    ordered = np.sort(values)
    return float(ordered[max(0, math.ceil(share * ordered.size) - 1)])


def numeric_bins(values: Sequence[float]) -> NumericBins:
    """Frozen bins of a numeric column."""
    array = np.asarray(values, dtype=float) + 0.0
    finite = array[np.isfinite(array)]
    if finite.size == 0:
        return NumericBins(np.empty(0), np.empty(0, int), np.empty(0, int), None, None, None, 0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    deciles = atoms_and_edges(array, 10, least_share=40)
    pred = math.nextafter(low, -math.inf)
    fine = sorted({*atoms_and_edges(array, 1024, least_share=None), pred, high})
    center = inverse(finite, Fraction(1, 2))
    first, third = inverse(finite, Fraction(1, 4)), inverse(finite, Fraction(3, 4))
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(finite.mean()), float(finite.std(ddof=1)) if finite.size > 1 else 0.0
    spread = next((s for s in (third - first, std, abs(center)) if s > 0 and math.isfinite(s)), 1.0)
    scale = math.ldexp(1.0, math.frexp(spread)[1] - 1)
    iqr = (math.nextafter(first - 1.5 * (third - first), -math.inf), third + 1.5 * (third - first))
    z = (math.nextafter(mean - 3 * std, -math.inf), mean + 3 * std)
    has_iqr, has_z = third > first and all(map(math.isfinite, iqr)), std > 0 and all(map(math.isfinite, z))
    edges = np.array(sorted({*deciles, *fine, *(iqr if has_iqr else ()), *(z if has_z else ())}))

    def at(numbers):
        return np.searchsorted(edges, numbers)

    return NumericBins(
        edges=edges,
        deciles=at(deciles).astype(int) if deciles else np.empty(0, int),
        fine=at(fine),
        iqr=tuple(at(iqr).tolist()) if has_iqr else None,
        z=tuple(at(z).tolist()) if has_z else None,
        range=tuple(at([pred, high]).tolist()),
        center=center,
        scale=scale,
    )


def numeric_profile(bins: NumericBins, values: Sequence[float]) -> NumericProfile:
    """Rows in frozen bins."""
    array = np.asarray(values, dtype=float) + 0.0
    present = array[~np.isnan(array)]
    finite = present[np.isfinite(present)]
    sum1 = sum2 = extreme = 0
    for value in finite.tolist():
        z = (value - bins.center) / bins.scale
        if not math.isfinite(z) or abs(z) > 2.0**40:
            extreme += 1
            continue
        sum1 += math.floor(z * 2.0**40 + 0.5)
        sum2 += math.floor(z * z * 2.0**40 + 0.5)
    low, high = Counter(), Counter()
    if bins.range is not None:
        least, most = (float(bins.edges[position]) for position in bins.range)
        with np.errstate(over="ignore", invalid="ignore"):
            widths = bins.scale * 2.0 ** (np.arange(TAIL_STEPS) / 8.0 - 2.0)
            low.update(np.searchsorted(widths, least - present[present <= least], side="right").tolist())
            high.update(np.searchsorted(widths, present[present > most] - most, side="left").tolist())
    return NumericProfile(
        rows=array.size,
        missing=int(array.size - present.size),
        negative_infinite=int((present == -np.inf).sum()),
        positive_infinite=int((present == np.inf).sum()),
        extreme=extreme,
        zeros=int((present == 0).sum()),
        sum1=sum1,
        sum2=sum2,
        minimum=float(finite.min()) if finite.size else None,
        maximum=float(finite.max()) if finite.size else None,
        counts=np.bincount(np.searchsorted(bins.edges, present), minlength=bins.edges.size + 1).astype(np.int64),
        low_tail=dict(low),
        high_tail=dict(high),
        distinct=ExactDistinct(frozenset(present.tolist())),
    )


def level_bins(values: Sequence[str | None], cap: int = 10_000) -> LevelBins:
    """Frozen levels by falling count, ties by name."""
    counted = Counter(value for value in values if value is not None)
    return LevelBins(tuple(sorted(counted, key=lambda level: (-counted[level], level))[:cap]))


def level_profile(bins: LevelBins, values: Sequence[str | None]) -> LevelProfile:
    """Rows in frozen levels."""
    counted = Counter(values)
    missing = counted.pop(None, 0)
    counts = np.array([counted.get(level, 0) for level in bins.levels], dtype=np.int64)
    known = set(bins.levels)
    new = {level: rows for level, rows in counted.items() if level not in known}
    return LevelProfile(len(values), missing, counts, new, sum(new.values()), ExactDistinct(frozenset(counted)))


def text_profile(values: Sequence[str | None]) -> TextProfile:
    """Rows of free text."""
    present = [value for value in values if value is not None]
    return TextProfile(
        len(values), len(values) - len(present), sum(map(len, present)), ExactDistinct(frozenset(present))
    )


def bins_of(name: str, values: Sequence, kind: FeatureKind) -> FeatureBins:
    """Frozen cells of a column."""
    if kind.is_binned:
        return FeatureBins(name, kind, numeric_bins(values))
    return FeatureBins(name, kind, level_bins(values) if kind.has_levels else TextBins())


def profile_of(bins: FeatureBins, values: Sequence) -> FeatureProfile:
    """Rows of a column in its frozen cells."""
    if isinstance(bins.cells, NumericBins):
        return numeric_profile(bins.cells, values)
    if isinstance(bins.cells, LevelBins):
        return level_profile(bins.cells, values)
    return text_profile(values)


def kind_of(values: Sequence) -> FeatureKind:
    """Numbers are numeric, all else is categorical."""
    return FeatureKind.CATEGORICAL if any(isinstance(value, str) for value in values) else FeatureKind.NUMERIC


def reference_of(columns: dict[str, Sequence], *, kinds=None, entities: Sequence | None = None, **roles) -> Reference:
    """Fit bins on columns and count these same rows in them."""
    kinds = kinds or {}
    features = {name: bins_of(name, values, kinds.get(name) or kind_of(values)) for name, values in columns.items()}
    bins = Bins("bins", features, **roles)
    return Reference("training", "baseline", bins, window_of(bins, columns, entities=entities))


def window_of(bins: Bins, columns: dict[str, Sequence], *, entities: Sequence | None = None) -> Profile:
    """Count rows in frozen bins; columns that the bins lack are new, those that are absent are gone."""
    rows = max((len(values) for values in columns.values()), default=0)
    return Profile(
        bins_id=bins.bins_id,
        rows=rows,
        features={name: profile_of(bins.features[name], columns[name]) for name in columns if name in bins.features},
        entities=None if entities is None else ExactDistinct(frozenset(entities) - {None}),
        identified=0 if entities is None else sum(entity is not None for entity in entities),
        new_columns=frozenset(columns) - frozenset(bins.features),
    )


def with_profile(reference: Reference, profile: Profile) -> Reference:
    """The same bins with other reference rows."""
    return replace(reference, profile=profile)
