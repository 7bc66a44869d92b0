"""What moved the mean score, in words and as the rows of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltmeter.api.summary import percent
from tiltmeter.monitors.effects import shortened
from tiltmeter.statistics.root_cause import DID_NOT_MOVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.score_shift import FeaturePart, ScoreShift, SegmentPart

TITLES = ("feature", "explains", "by its mix", "left within", "strongest segment")
NOT_ADDED = "Parts of different features overlap: rank them, do not add them up."
FIRST_PARTS = 5
"""Features of a first view."""

_WORTH_NAMING = 0.1
"""Share of the shift from which on a feature is called what moved the score."""

_WORTH_A_ROW = 0.01


def shift_sentence(shift: ScoreShift) -> str:
    """That the mean score moved, and what explains most of it; empty where nothing is explained. No full stop."""
    if not shift.shift or shift.reference is None or shift.current is None or not shift.features:
        return ""
    means = f"{_written(shift.reference, shift)} → {_written(shift.current, shift)}"
    moved = f"The mean score went {means} ({_signed(shift.shift, shift)})"
    first = shift.features[0]
    share = first.mix / shift.shift
    if share < _WORTH_NAMING:
        return f"{moved}; no feature's mix explains a tenth of it, the scores changed within segments"
    return f"{moved}; the mix of {shortened(first.feature)} explains {share * 100:.0f} % of it"


def shift_lines(shift: ScoreShift) -> list[str]:
    """The answer and its parts, a sentence each; so is that nothing moved, or that there is nothing to compare."""
    if shift.features:
        parts = [shift_row(part, shift) for part in first_parts(shift)]
        said = [
            f"{name} explains {share}: mix {mix}, left within {within}; {segment}"
            for name, share, mix, within, segment in parts
        ]
        return [shift_sentence(shift), *said, *([NOT_ADDED.removesuffix(".")] if len(parts) > 1 else [])]
    if shift.reference is None or shift.current is None:
        side = "before" if shift.reference is None else "now"
        return [f"no row with a score lies in the window {side}: it was erased, or is kept no longer"]
    means = f"{shift.reference:.4g} → {shift.current:.4g}"
    if shift.why == DID_NOT_MOVE:
        return [f"the mean score did not move by more than chance ({means}): its distribution did"]
    return [f"the mean score went {means}; no feature has segments to split it by"]


def first_parts(shift: ScoreShift) -> Sequence[FeaturePart]:
    """The features of a first view: those that explain at least a hundredth of the shift, and one in any case."""
    worth = [part for part in shift.features if abs(part.mix) >= _WORTH_A_ROW * abs(shift.shift or 0.0)]
    return (worth or shift.features[:1])[:FIRST_PARTS]


def shift_row(part: FeaturePart, shift: ScoreShift) -> list[str]:
    """One feature in the order of `TITLES`."""
    share = part.mix / shift.shift if shift.shift else None
    return [
        shortened(part.feature) or "(no name)",
        "–" if share is None else f"{share * 100 + 0.0:.0f} %",
        _signed(part.mix, shift),
        _signed(part.within, shift),
        _segment_words(part, shift),
    ]


def _segment_words(part: FeaturePart, shift: ScoreShift) -> str:
    """The segment with the largest mix: its share on both sides, and its mean, which one side may lack."""
    found: SegmentPart | None = max(part.segments, key=lambda segment: abs(segment.mix), default=None)
    if found is None:
        return "–"
    before, after = found.reference, found.current
    share = f"{shortened(found.segment) or '(empty)'}: {percent(before.share)} → {percent(after.share)} of the rows"
    means = list(dict.fromkeys(_written(side.mean, shift) for side in (before, after)))
    return f"{share}, scores {' → '.join(means)}"


def _signed(value: float, shift: ScoreShift) -> str:
    written = _written(abs(value), shift)
    return written if not any(digit in written for digit in "123456789") else f"{'+' if value > 0 else '-'}{written}"


def _written(value: float, shift: ScoreShift) -> str:
    """To the digit that the shift has as its third: what is smaller is no news."""
    size = abs(shift.shift or 0.0)
    digits = 2 - math.floor(math.log10(size)) if size else 3
    return f"{value:,.{max(0, digits)}f}" if digits <= _MOST_DIGITS else f"{value:.3g}"


_MOST_DIGITS = 9
"""Beyond, a number is written with an exponent."""
