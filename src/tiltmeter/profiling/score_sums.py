"""Rows and scores added up by segment: what a shift of the mean score is split by. Exact in any order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.profile import Bins, NumericBins
from tiltmeter.profiling.columns import LevelColumn, NumberColumn
from tiltmeter.profiling.fixed_point import LIMB
from tiltmeter.profiling.kernel import Counter
from tiltmeter.profiling.parts import over_parts
from tiltmeter.statistics.root_cause import SegmentSums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.ports import Rows
    from tiltmeter.profiling.columns import Column
    from tiltmeter.profiling.kernel import PlainBatch
    from tiltmeter.profiling.progress import Told
    from tiltmeter.statistics.segmenting import Segmentation

_BITS = 26
_HALF_LIMB = 2.0**_BITS
"""Added up over 2^27 rows, numbers below it stay below 2^53: sums of doubles are exact."""

_BLOCK_ROWS = 16_384
"""Values that stay in the processor's cache while they are held against each edge."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Of one feature: rows by segment, int64, and sums of the score's fixed point as Python integers."""

    rows: np.ndarray
    sums: np.ndarray

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.rows + other.rows, self.sums + other.sums)


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """Scores of some rows as fixed points, cut into pieces that doubles add up exactly.

    Args:
        kept: which rows have a finite score that is not extreme; None for all.
        pieces: lowest first, each 26 bits higher than the one before; float64, shape (rows kept,).
    """

    kept: np.ndarray | None
    pieces: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, column: NumberColumn, bins: NumericBins) -> _Scores:
        """The scores as the mean sees them."""
        values = column.values
        with np.errstate(over="ignore", invalid="ignore"):
            if bins.float32:
                values = values.astype(np.float32).astype(np.float64)
            z = (values - bins.center) / bins.scale
            inside = np.abs(z) <= LIMB  # false for NaN
        if column.present is not None:
            inside &= column.present
        kept = None if inside.all() else inside
        left = np.floor((z if kept is None else z[kept]) * LIMB + 0.5)
        pieces = []
        while left.size and max(float(left.max()), -float(left.min())) >= _HALF_LIMB:
            above = np.floor(left / _HALF_LIMB)
            pieces.append(left - above * _HALF_LIMB)
            left = above
        return cls(kept, (*pieces, left))

    def added_up(self, positions: np.ndarray, segments: int) -> _Sums:
        """Rows and scores by the segment of each row."""
        at = positions if self.kept is None else positions[self.kept]
        total = np.zeros(segments, dtype=object)
        for number, piece in enumerate(self.pieces):
            part = np.bincount(at, weights=piece, minlength=segments).astype(np.int64)
            total += part.astype(object) << (number * _BITS)
        return _Sums(np.bincount(at, minlength=segments).astype(np.int64), total)


def score_sums(rows: Rows, bins: Bins, segmentations: Mapping[str, Segmentation]) -> Mapping[str, SegmentSums]:
    """Rows with a score, and their scores less the baseline's median score, by segment of each feature.

    Rows without a finite score and those with an extreme one are left out, as they are of the mean.

    Args:
        rows: read once, the named features and the score alone; in parts side by side where they have `parts`.
        bins: frozen cells, with a numeric score.
        segmentations: by feature.

    Returns:
        By feature. A feature that the rows lack or hold in another type is not among them.
    """
    score = bins.features[bins.score].cells if bins.score else None
    if not isinstance(score, NumericBins):
        return {}
    chosen = {name: bins.features[name] for name in (*segmentations, bins.score)}
    counter = Counter(replace(bins, features=chosen, label="", entity=""))
    columns = counter.needed(rows.schema)

    def part_sums(part: Rows, tell: Told) -> dict[str, _Sums] | None:
        found: dict[str, _Sums] | None = None
        for batch in part.batches(columns):
            if batch.num_rows:
                found = _both(found, _batch_sums(counter.plain(batch), counter, segmentations))
                tell.done(batch.num_rows)
        return found

    sums = reduce(_both, over_parts(rows, part_sums, doing="explaining the score of"), None) or {}
    return {name: SegmentSums(one.rows, _in_score_units(one.sums, score)) for name, one in sums.items()}


def _both(one: dict[str, _Sums] | None, other: dict[str, _Sums] | None) -> dict[str, _Sums] | None:
    """Added up, for the features that both hold; None stands for no rows."""
    if one is None or other is None:
        return other if one is None else one
    return {name: one[name] + other[name] for name in one.keys() & other.keys()}


def _batch_sums(batch: PlainBatch, counter: Counter, segmentations: Mapping[str, Segmentation]) -> dict[str, _Sums]:
    name_of_score = counter.bins.score
    column, bins = batch.columns.get(name_of_score), counter.bins.features[name_of_score].cells
    if not isinstance(column, NumberColumn) or not isinstance(bins, NumericBins):
        return {}
    scores = _Scores.of(column, bins)
    return {
        name: scores.added_up(_positions(batch.columns[name], name, counter, one), len(one.names))
        for name, one in segmentations.items()
        if isinstance(batch.columns.get(name), NumberColumn | LevelColumn)
    }


def _positions(column: Column, name: str, counter: Counter, segmentation: Segmentation) -> np.ndarray:
    """The segment of each row."""
    if isinstance(column, NumberColumn):
        return _bins_of(column, name, counter, segmentation)
    assert isinstance(column, LevelColumn)  # noqa: S101 - text has no segments and never comes here
    frozen = range(segmentation.other - len(segmentation.new))
    came = [segmentation.new.get(level, segmentation.other) for level in column.new]
    # The place at the end takes what is missing, -1, be it a level that means missing or the code of a missing row.
    segment_of = np.array([*frozen, *came, segmentation.missing], dtype=np.int64)
    of_code: np.ndarray = np.append(segment_of[column.targets], segmentation.missing)
    return np.asarray(of_code[column.codes])


def _bins_of(column: NumberColumn, name: str, counter: Counter, segmentation: Segmentation) -> np.ndarray:
    cells = counter.cells(name, float32=column.float32)
    values = column.values
    if cells.bins.float32:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    positions = _edges_below(values, cells.edges[cells.bins.deciles])
    missing = np.isnan(values) if column.present is None else np.isnan(values) | ~column.present
    positions[missing] = segmentation.missing
    return positions


def _edges_below(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value: the number of edges below it, as bins are right-closed.

    So few edges are compared with all values in a fifth of the time of a search for each, which guesses every branch.
    """
    positions = np.empty(values.size, dtype=np.intp)
    for start in range(0, values.size, _BLOCK_ROWS):
        part = values[start : start + _BLOCK_ROWS]
        below = np.zeros(part.size, dtype=np.uint8)
        for edge in edges.tolist():
            below += part > edge
        positions[start : start + _BLOCK_ROWS] = below
    return positions


def _in_score_units(sums: np.ndarray, score: NumericBins) -> np.ndarray:
    # One rounding of an exact quotient, whatever order the rows came in; the scale is a power of two.
    unit = int(LIMB)
    return np.array([whole / unit for whole in sums.tolist()], dtype=np.float64) * score.scale
