"""Why the mean score is another one: how much of its shift each feature's mix of rows accounts for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmentSide:
    """One side of a segment.

    Args:
        rows: rows with a score.
        share: of all rows with a score, in [0, 1].
        mean: mean score; of a segment without rows on this side, the other side's mean.
    """

    rows: int
    share: float
    mean: float


@dataclass(frozen=True, slots=True)
class SegmentPart:
    """What one segment adds to the shift: by being more or fewer rows, and by scoring differently.

    Args:
        segment: level of a category, range of a number, `(other)` or `(missing)`; hostile text.
        reference: rows, share and mean of the reference.
        current: the same of the window.
        mix: change of the share times the segment's distance from the overall mean.
        within: change of the segment's own mean times its share.
    """

    segment: str
    reference: SegmentSide
    current: SegmentSide
    mix: float
    within: float


@dataclass(frozen=True, slots=True)
class FeaturePart:
    """The shift split along one feature: `mix + within` is the whole shift, for every feature anew.

    Args:
        feature: name of the column; hostile text.
        mix: the part that the changed shares of the feature's segments explain, in units of the score.
        within: the part that they leave unexplained.
        segments: by size of their two parts, the largest first.
    """

    feature: str
    mix: float
    within: float
    segments: tuple[SegmentPart, ...]


@dataclass(frozen=True, slots=True)
class ScoreShift:
    """The mean score on both sides and what moved it. Parts of different features overlap: rank them, never add them.

    Args:
        reference: mean score of the reference, None without scores.
        current: mean score of the window.
        shift: current minus reference.
        standard_error: of the shift, as if every tested row were independent; None where a spread is unknown.
        features: largest mix first; empty where the question was not asked, `why` then says why.
        why: `no_scores`, `did_not_move`, `no_features`, `not_read`, or empty.
    """

    reference: float | None
    current: float | None
    shift: float | None
    standard_error: float | None
    features: tuple[FeaturePart, ...] = ()
    why: str = ""
