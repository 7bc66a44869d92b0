"""Things a person should know about a column before trusting its numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.statistics.edges import short_number

if TYPE_CHECKING:
    from tiltmeter.domain.comparison import SideStatistics
    from tiltmeter.domain.profile import LevelBins, LevelProfile
    from tiltmeter.statistics.edges import FineBins

_LEAST_SHARE = 0.05
"""A stand-in for "missing" is worth a word when it fills this share of the rows."""

_STAND_INS = frozenset(
    {-1.0, *(sign * (10.0**digits - 1.0) for digits in range(2, 10) for sign in (1.0, -1.0))}
)  # -1, ±99, ±999 … ±999,999,999
_WORDS = frozenset({"", "-", "--", "?", ".", "n/a", "na", "nan", "none", "null", "nil", "missing", "unknown"})


def hint_of(name: str, share: float, value: str) -> str:
    """The question that a person can answer with a setting."""
    percent = min(99, max(1, round(share * 100)))
    return f"{value} fills {percent} % of `{name}`: declare it missing?"


NO_OVERLAP = "no overlap with the baseline: the size of PSI then depends on the numbers of rows"
"""Said where the two sides share no value; drift is certain, but how much cannot be measured in shares."""


def apart(reference: SideStatistics, current: SideStatistics) -> tuple[str, ...]:
    """A hint where all values of the window lie above or below those of the baseline."""
    if reference.min is None or reference.max is None or current.min is None or current.max is None:
        return ()
    return (NO_OVERLAP,) if current.min > reference.max or current.max < reference.min else ()


def nothing_in_common(reference: LevelProfile, current: LevelProfile) -> tuple[str, ...]:
    """A hint where the two sides share no level."""
    if reference.missing == reference.rows or current.missing == current.rows:
        return ()
    shared = np.count_nonzero(np.minimum(reference.counts, current.counts)) or reference.new.keys() & current.new.keys()
    return () if shared else (NO_OVERLAP,)


def stand_in_number(name: str, fine: FineBins, sides: tuple[SideStatistics, SideStatistics]) -> tuple[str, ...]:
    """A hint where one end of the values is a number that people write for "missing", such as 999 in `pdays`.

    Args:
        name: of the feature.
        fine: rows per fine bin of both sides.
        sides: their statistics.
    """
    ends = {end for side in sides for end in (side.min, side.max)}
    if _STAND_INS.isdisjoint(ends):  # nearly every column: nothing to look up
        return ()
    total = int(np.add.reduce(fine.below[:, -1]))
    first = min(int(side.searchsorted(0, side="right")) for side in fine.below)
    last = max(int(side.searchsorted(side[-1])) for side in fine.below)
    if first >= last:  # one bin holds all rows, or there are none
        return ()
    found = []
    for position in (first, last):
        if not 0 < position < fine.edges.size:
            continue
        value, share = float(fine.edges[position]), _rows_in(fine, position) / total
        alone = math.nextafter(float(fine.edges[position - 1]), math.inf) == value
        if alone and value in _STAND_INS and share >= _LEAST_SHARE:
            found.append(hint_of(name, share, short_number(value).replace(",", "")))
    return tuple(sorted(found))


def _rows_in(fine: FineBins, position: int) -> int:
    return int(np.add.reduce(fine.below[:, position] - fine.below[:, position - 1]))


def stand_in_level(name: str, bins: LevelBins, sides: tuple[LevelProfile, LevelProfile]) -> tuple[str, ...]:
    """A hint where a level is a word for "missing", such as "unknown".

    Args:
        name: of the feature.
        bins: frozen levels.
        sides: reference and window.
    """
    total = sum(side.rows for side in sides)
    if total == 0:
        return ()
    counts = sides[0].counts + sides[1].counts
    found = []
    for position in np.flatnonzero(counts >= _LEAST_SHARE * total).tolist():  # at most twenty
        level = bins.levels[position]
        if level.strip().lower() in _WORDS:
            found.append(hint_of(name, int(counts[position]) / total, f'"{level}"'))
    return tuple(found)
