"""Baseline and current distribution of one feature as tables for a chart."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tiltmeter.domain.profile import LevelBins, LevelProfile, NumericBins, NumericProfile
from tiltmeter.drawing.histogram import histogram

if TYPE_CHECKING:
    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.profile import FeatureProfile, Profile
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope

LEVELS = 15
"""Bars of a category; the rest is one bar."""

NEW_LEVELS = 5

LOGARITHMIC = "is_logarithmic"
"""Attribute of a table whose bars have equal width in the logarithm."""

COLUMNS = ["cell", "left", "right", "baseline", "current"]


def sides(world: World, scope: Scope, window: Window) -> tuple[Reference, Profile | None] | None:
    """The judging baseline and the rows of the window in its cells; None while it is learnt or holds no rows."""
    reference = world.baselines.judging(scope.model, window)
    if reference is None:
        return None
    bins_id = reference.bins.bins_id
    current = world.states.total(scope.model.name, bins_id, window, version=scope.version, segment=scope.segment)
    return reference, current


def numeric_table(bins: NumericBins, before: NumericProfile, now: NumericProfile | None) -> pd.DataFrame:
    """Shares of non-missing rows in bars of equal width; on a logarithmic scale where a linear one hides the shape."""
    drawn = histogram(bins, [before, now] if now is not None else [before], may_be_logarithmic=True)
    if drawn is None:
        return pd.DataFrame(columns=COLUMNS)
    limits = drawn.edges
    table = pd.DataFrame(
        {
            "cell": [f"{left:,.4g} to {right:,.4g}" for left, right in itertools.pairwise(limits.tolist())],
            "left": limits[:-1],
            "right": limits[1:],
            "baseline": drawn.shares[0],
            "current": drawn.shares[1] if now is not None else 0.0,
        }
    )
    table.attrs[LOGARITHMIC] = drawn.is_logarithmic
    return table


def level_table(bins: LevelBins, before: LevelProfile, now: LevelProfile | None) -> pd.DataFrame:
    """Shares of all rows by level, largest first; new levels, the rest and missing are bars of their own."""
    total_before, total_now = max(before.rows, 1), max(now.rows, 1) if now else 1
    counts_now = now.counts if now else np.zeros_like(before.counts)
    known = [
        (level, int(then) / total_before, int(today) / total_now)
        for level, then, today in zip(bins.levels, before.counts, counts_now, strict=True)
    ]
    known.sort(key=lambda row: -max(row[1], row[2]))
    named = sorted(now.new.items(), key=lambda item: (-item[1], item[0]))[:NEW_LEVELS] if now else []
    rows = known[:LEVELS] + [(f"{level} (new)", 0.0, count / total_now) for level, count in named]
    rest = known[LEVELS:]
    if rest:
        rows.append((f"{len(rest)} more", sum(r[1] for r in rest), sum(r[2] for r in rest)))
    if before.missing or (now and now.missing):
        rows.append(("(missing)", before.missing / total_before, (now.missing if now else 0) / total_now))
    return pd.DataFrame(
        {
            "cell": [row[0] for row in rows],
            "left": 0.0,
            "right": 0.0,
            "baseline": [row[1] for row in rows],
            "current": [row[2] for row in rows],
        }
    )


def distribution(
    reference: Reference, feature: str, before: FeatureProfile, now: FeatureProfile | None
) -> pd.DataFrame:
    """Columns `cell`, `left`, `right`, `baseline`, `current`; empty for free text and identifiers."""
    cells = reference.bins.features[feature].cells
    if isinstance(before, NumericProfile) and isinstance(cells, NumericBins):
        return numeric_table(cells, before, now if isinstance(now, NumericProfile) else None)
    if isinstance(before, LevelProfile) and isinstance(cells, LevelBins):
        return level_table(cells, before, now if isinstance(now, LevelProfile) else None)
    return pd.DataFrame(columns=COLUMNS)
