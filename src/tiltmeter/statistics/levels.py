"""Levels that came and levels that went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.comparison import LevelChange
from tiltmeter.domain.profile import capped_levels
from tiltmeter.statistics.intervals import at_least_p_value
from tiltmeter.statistics.sides import distinct_values, largest_positions

if TYPE_CHECKING:
    from tiltmeter.domain.profile import LevelBins, LevelProfile

_NAMED = 20
"""Names given at most."""


@dataclass(frozen=True, slots=True)
class NewLevels:
    """Levels that the reference never held.

    Args:
        change: how many, their rows, share of all rows, and names.
        excess: share beyond what chance explains (Good-Turing), at least 0.
        p_value: chance of at least that many rows in new levels without drift.
    """

    change: LevelChange
    excess: float
    p_value: float


def new_levels(bins: LevelBins, reference: LevelProfile, current: LevelProfile, *, n: int, m: int) -> NewLevels | None:
    """What is new in the window; None where a side has no rows.

    Args:
        bins: frozen levels.
        reference: the reference side.
        current: the window.
        n: rows of the window as tests count them.
        m: rows of the reference likewise.

    Source: Good 1953, Biometrika 40, 237-264.
    """
    if current.rows < 1 or n < 1 or m < 1:
        return None
    absent = reference.counts == 0
    revived = np.flatnonzero(absent & (current.counts > 0))
    named = {level: current.new[level] for level in _certainly_new(reference, current)}
    known = sum(rows for level, rows in current.new.items() if level in reference.new)
    rows = int(np.add.reduce(current.counts[revived])) + current.new_rows - known
    candidates = [(-int(current.counts[position]), bins.levels[position]) for position in revived.tolist()]
    candidates += [(-rows_of, level) for level, rows_of in named.items()]
    count = _counted(current, len(candidates))
    share = rows / current.rows
    change = LevelChange(count, rows, share, tuple(level for _, level in nsmallest(_NAMED, candidates)))
    expected, likely = expected_share(reference, m)
    tested = rows if n == current.rows else math.floor(share * n)
    return NewLevels(change, max(0.0, share - expected), at_least_p_value(tested, n, likely))


def _certainly_new(reference: LevelProfile, current: LevelProfile) -> list[str]:
    """Levels of the window that the bins lack and that the reference cannot have held."""
    candidates = [level for level, rows in current.new.items() if rows > 0 and level not in reference.new]
    if reference.new_rows <= sum(reference.new.values()):
        return candidates
    # The reference held more such levels than it names. It names those of the smallest hashes: a level that comes
    # before one of them and is not among them was not there.
    union = {**reference.new, **dict.fromkeys(candidates, 1)}
    decided = capped_levels(union, cap=len(reference.new))
    return [level for level in candidates if level in decided]


def _counted(current: LevelProfile, named: int) -> int:
    """Number of new levels: the named ones, or more where the window held more than it could name."""
    if current.new_rows <= sum(current.new.values()):
        return named
    distinct, _ = distinct_values(current)
    return max(named, min(current.new_rows, distinct - int(np.count_nonzero(current.counts))))


def expected_share(reference: LevelProfile, m: int) -> tuple[float, float]:
    """Share of rows in new levels that chance alone brings, and a cautious upper limit of it."""
    once = int(np.count_nonzero(reference.counts == 1)) + sum(rows == 1 for rows in reference.new.values())
    # Beyond the level cap the reference itself holds levels without a name: they look new without being so.
    nameless = max(0, reference.new_rows - sum(reference.new.values()))
    base = nameless / reference.rows if reference.rows else 0.0
    return base + once / m, min(1.0, base + (once + 1 + 2.0 * math.sqrt(once + 1)) / m)


def lost_levels(bins: LevelBins, reference: LevelProfile, current: LevelProfile) -> LevelChange | None:
    """Levels of the reference that the window lacks, with the rows and share they had there; None without rows."""
    if reference.rows < 1 or current.rows < 1:
        return None
    gone = (reference.counts > 0) & (current.counts == 0)
    lost = np.where(gone, reference.counts, 0)
    rows = int(np.add.reduce(lost))
    names = tuple(bins.levels[position] for position in largest_positions(lost, _NAMED).tolist())
    return LevelChange(int(np.count_nonzero(gone)), rows, rows / reference.rows, names)
