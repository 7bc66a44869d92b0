"""What moved a mean: the mix of segments, or the segments themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.score_shift import FeaturePart, ScoreShift, SegmentPart, SegmentSide
from tiltmeter.statistics.cells import OTHER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.comparison import FeatureComparison
    from tiltmeter.statistics.tested import Tested

LEAST_ROWS = 50
"""A segment with fewer rows on a side has no mean worth comparing and is pooled."""

_LEAST_Z = 2.576
"""Standard errors from which on a shift is one: chance exceeds them in one of a hundred windows, as with q < 0.01."""

DID_NOT_MOVE = "did_not_move"
NOT_READ = "not_read"


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSums:
    """Rows and score sums of one side, by segment.

    Args:
        rows: rows with a score, int64, shape (segments,), >= 0.
        sums: their scores added up, less the same constant a row on both sides; float64, same shape.
    """

    rows: np.ndarray
    sums: np.ndarray


def shift_of(score: FeatureComparison, tested: Tested) -> ScoreShift:
    """The mean score on both sides, its shift and the error of that; nothing yet of what moved it.

    Args:
        score: the score's own comparison.
        tested: rows as tests count them.
    """
    before, after = score.reference, score.current
    means = (before.mean if before else None, after.mean if after else None)
    if means[0] is None or means[1] is None:
        return ScoreShift(*means, None, None, why="no_scores")
    error = None
    if before and after and before.std is not None and after.std is not None and tested.m and tested.n:
        error = math.sqrt(before.std**2 / tested.m + after.std**2 / tested.n)
    shift = means[1] - means[0]
    moved = abs(shift) > _LEAST_Z * error if error is not None else shift != 0
    return ScoreShift(*means, shift, error, why=NOT_READ if moved else DID_NOT_MOVE)


def decompose(
    feature: str, names: Sequence[str], reference: SegmentSums, current: SegmentSums, *, center: float = 0.0
) -> FeaturePart | None:
    """The shift of the mean split into mix and within by the symmetric Kitagawa form: exact, without interaction.

    With w the shares and ȳ the means, ′ for the current side, a segment adds (w′ − w)·((ȳ′ + ȳ)/2 − μ) to the mix and
    (w′ + w)/2·(ȳ′ − ȳ) to the within part; μ, halfway between the two overall means, cancels in the sum and makes a
    segment's own part readable: more rows below the mean pull it down. A segment that one side lacks takes the other
    side's mean; segments with a few rows on either side are pooled.

    Args:
        feature: name of the column that makes the segments.
        names: of the segments.
        reference: rows and sums of the reference.
        current: of the window, same segments.
        center: the constant that was taken off every score before summing.

    Returns:
        Both parts, and those of each segment; None where a side has no rows. Swapping the sides flips every sign.

    Source: Kitagawa 1955, J. Amer. Statist. Assoc. 50, 1168-1194.
    """
    if not reference.rows.any() or not current.rows.any():
        return None
    kept, rows, sums = _pooled(names, reference, current)
    shares = rows / rows.sum(axis=1, keepdims=True)
    overall = sums.sum(axis=1) / rows.sum(axis=1)
    means = np.divide(sums, rows, out=np.zeros(sums.shape), where=rows > 0)
    # Nothing is known of a segment that is absent: it came, or went, as it is where it can be seen.
    means = np.where(rows > 0, means, means[::-1])
    mix = (shares[1] - shares[0]) * ((means[1] + means[0]) / 2.0 - (overall[1] + overall[0]) / 2.0)
    within = (shares[1] + shares[0]) / 2.0 * (means[1] - means[0])
    order = np.argsort(-(np.abs(mix) + np.abs(within)), kind="stable").tolist()
    sides = [
        [SegmentSide(int(rows[side, at]), float(shares[side, at]), float(means[side, at]) + center) for at in order]
        for side in (0, 1)
    ]
    parts = tuple(
        SegmentPart(kept[at], before, after, float(mix[at]), float(within[at]))
        for at, before, after in zip(order, *sides, strict=True)
    )
    return FeaturePart(feature, math.fsum(mix.tolist()), math.fsum(within.tolist()), parts)


def _pooled(
    names: Sequence[str], reference: SegmentSums, current: SegmentSums
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, rows and sums (reference first) of the segments that stand alone, the pool of the others behind them."""
    rows = np.stack((reference.rows, current.rows)).astype(np.int64)
    sums = np.stack((reference.sums, current.sums)).astype(np.float64)
    fewest, most = rows.min(axis=0), rows.max(axis=0)
    alone = (fewest >= LEAST_ROWS) | ((fewest == 0) & (most >= LEAST_ROWS))
    pool = np.flatnonzero(~alone & (most > 0))
    kept = np.flatnonzero(alone)
    titles = [names[at] for at in kept.tolist()]
    if not pool.size:
        return titles, rows[:, kept], sums[:, kept]
    joined = [np.column_stack((table[:, kept], table[:, pool].sum(axis=1))) for table in (rows, sums)]
    # One small segment has nothing to be pooled with and keeps its name.
    titles.append(OTHER if pool.size > 1 else names[int(pool[0])])
    return titles, joined[0], joined[1]


def ranked(parts: Sequence[FeaturePart]) -> tuple[FeaturePart, ...]:
    """Features by the size of their mix, the largest first; ties by name."""
    return tuple(sorted(parts, key=lambda part: (-abs(part.mix), part.feature)))
