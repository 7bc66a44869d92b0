"""Feature statistics of one side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.comparison import Level, SideStatistics
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import LevelBins, LevelProfile, NumericBins, NumericProfile, TextProfile
from tiltmeter.statistics.edges import FineBins, fine_bins
from tiltmeter.statistics.moments import moments
from tiltmeter.statistics.quantiles import QUANTILES, quantiles

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.profile import FeatureBins, FeatureProfile

TOP = 20
"""Levels named per side."""


def side_statistics(
    bins: FeatureBins,
    profile: FeatureProfile,
    *,
    reference: bool = False,
    now: datetime | None = None,
) -> SideStatistics:
    """Everything known of one side of a feature.

    Args:
        bins: the frozen cells that the profile was counted in.
        profile: of that feature.
        reference: whether this is the reference side, whose median is kept exactly with the bins.
        now: moment that freshness of a datetime feature is measured from, None for none.
    """
    return described_side(bins, profile, reference=reference, now=now)[0]


def described_side(
    bins: FeatureBins,
    profile: FeatureProfile,
    *,
    reference: bool = False,
    now: datetime | None = None,
    fine: FineBins | None = None,
    row: int = 0,
) -> tuple[SideStatistics, dict[str, str]]:
    """As `side_statistics`, and by name the reasons of what could not be computed.

    Args:
        bins: the frozen cells.
        profile: of that feature.
        reference: whether this is the reference side.
        now: moment that freshness is measured from.
        fine: fine bins that hold this profile, if they were counted before.
        row: which profile of `fine` this one is.
    """
    if isinstance(profile, NumericProfile) and isinstance(bins.cells, NumericBins):
        fine = fine_bins(bins.cells, [profile]) if fine is None else fine
        moment = now.timestamp() if now is not None and bins.kind is FeatureKind.DATETIME else None
        return _numeric(bins.cells, profile, fine.edges, fine.below[row], reference=reference, moment=moment)
    if isinstance(profile, LevelProfile) and isinstance(bins.cells, LevelBins):
        return _levels(bins.cells, profile), {}
    return _text(profile)


def _numeric(
    bins: NumericBins,
    profile: NumericProfile,
    edges: np.ndarray,
    below: np.ndarray,
    *,
    reference: bool,
    moment: float | None,
) -> tuple[SideStatistics, dict[str, str]]:
    found = moments(bins, profile)
    why = {"mean": found.why_mean, "std": found.why_std}
    limits = (profile.minimum, profile.maximum)
    at: list[float | None] = [None] * len(QUANTILES)
    if profile.minimum is not None and edges.size == 0 and profile.minimum != profile.maximum:
        # The rows that made the bins held no value: one open bin says nothing of where values lie.
        why["median"] = "no_values_in_baseline"
    elif limits[0] is not None and limits[1] is not None:
        at = list(quantiles(edges, below, (limits[0], limits[1])) or at)
        if reference:
            at[3] = _exact_median(at[3], bins.center, edges)
    values = profile.rows - profile.missing
    distinct, error = distinct_values(profile)
    fresh = None
    if moment is not None and profile.maximum is not None and math.isfinite(moment - profile.maximum):
        fresh = moment - profile.maximum
    side = SideStatistics(
        count=profile.rows,
        missing=profile.missing,
        missing_share=_share(profile.missing, profile.rows),
        infinite=profile.negative_infinite + profile.positive_infinite,
        extreme=profile.extreme,
        mean=found.mean,
        std=found.std,
        min=profile.minimum,
        max=profile.maximum,
        q01=at[0],
        q05=at[1],
        q25=at[2],
        median=at[3],
        q75=at[4],
        q95=at[5],
        q99=at[6],
        zero_share=_share(profile.zeros, values),
        distinct=distinct,
        distinct_error=error,
        freshness_seconds=fresh,
    )
    return side, {name: reason for name, reason in why.items() if reason}


def _exact_median(median: float | None, center: float, edges: np.ndarray) -> float | None:
    # The bins keep the median of the rows that made them. For another reference it stands only where it shares the bin.
    if median is None or median == center:
        return median
    mine, theirs = edges.searchsorted((median, center)).tolist()
    return center if mine == theirs else median


def distinct_values(profile: FeatureProfile) -> tuple[int, float]:
    """Different values and the relative standard error of that number, 0.0 while exact.

    A sketch errs to both sides, but nothing has more values than rows that hold one.
    """
    found, error = profile.distinct.estimate()
    return min(found, profile.rows - profile.missing), error


def _levels(bins: LevelBins, profile: LevelProfile) -> SideStatistics:
    distinct, error = distinct_values(profile)
    return SideStatistics(
        count=profile.rows,
        missing=profile.missing,
        missing_share=_share(profile.missing, profile.rows),
        distinct=distinct,
        distinct_error=error,
        top=top_levels(bins, profile),
    )


def top_levels(bins: LevelBins, profile: LevelProfile, most: int = TOP) -> tuple[Level, ...]:
    """The largest levels, new ones included; ties by the reference's rank, new levels last and by name."""
    largest = largest_positions(profile.counts, most)
    found = [(-int(profile.counts[position]), int(position), bins.levels[position]) for position in largest.tolist()]
    behind = len(bins.levels)
    found += [(-rows, behind, level) for level, rows in profile.new.items() if rows > 0]
    return tuple(Level(level, -rows) for rows, _, level in sorted(found)[:most])


def largest_positions(counts: np.ndarray, most: int) -> np.ndarray:
    """Positions of the largest counts above 0, largest first, ties in order of position."""
    if counts.size > 8 * most:
        # All that tie with the last one stay in, so that ties are cut by position and not by luck.
        least = max(1, int(np.partition(counts, -most)[-most]))
        candidates = np.flatnonzero(counts >= least)
    else:
        candidates = np.flatnonzero(counts > 0)
    return candidates[np.argsort(-counts[candidates], kind="stable")[:most]]


def _text(profile: FeatureProfile) -> tuple[SideStatistics, dict[str, str]]:
    distinct, error = distinct_values(profile)
    values = profile.rows - profile.missing
    length = profile.length_sum / values if isinstance(profile, TextProfile) and values > 0 else None
    side = SideStatistics(
        count=profile.rows,
        missing=profile.missing,
        missing_share=_share(profile.missing, profile.rows),
        distinct=distinct,
        distinct_error=error,
        length_mean=length,
    )
    return side, {} if values > 0 else {"length_mean": "no_values"}


def _share(part: int, rows: int) -> float | None:
    return part / rows if rows > 0 else None
