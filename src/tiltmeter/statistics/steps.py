"""Feature statistics against the window before: what changed since then, beside what changed since the baseline."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scipy.special import ndtr

from tiltmeter.domain.comparison import Step
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.statistics.features import fits
from tiltmeter.statistics.intervals import rise_p_value
from tiltmeter.statistics.sides import side_statistics
from tiltmeter.statistics.tested import rows_tested

if TYPE_CHECKING:
    from tiltmeter.domain.comparison import Comparison, FeatureComparison, SideStatistics
    from tiltmeter.domain.profile import Bins, Profile


def with_steps(comparison: Comparison, bins: Bins, previous: Profile | None) -> Comparison:
    """The comparison with each feature's change since the window before.

    Args:
        comparison: of the window and its reference.
        bins: the frozen cells of all three profiles.
        previous: as long a span, right before the window; None where none is stored, which changes nothing.
    """
    if previous is None or not previous.rows or previous.bins_id != bins.bins_id:
        return comparison
    n, before = comparison.n_current, rows_tested(previous)
    features = {
        name: _stepped(feature, bins, previous, n=n, before=before) for name, feature in comparison.features.items()
    }
    score = comparison.score
    if score is not None:
        score = _stepped(score, bins, previous, n=n, before=before)
    return replace(comparison, features=features, score=score)


def _stepped(feature: FeatureComparison, bins: Bins, previous: Profile, *, n: int, before: int) -> FeatureComparison:
    profile, cells, now = previous.features.get(feature.name), bins.features.get(feature.name), feature.current
    if profile is None or cells is None or now is None or not fits(cells, profile):
        return feature
    then = side_statistics(cells, profile)
    mean, mean_p = _mean_step(feature, then, now, n=n, before=before)
    missing, missing_p = _missing_step(then, now, n=n, before=before)
    return replace(feature, step=Step(then, before, mean, mean_p, missing, missing_p))


def _mean_step(
    feature: FeatureComparison, then: SideStatistics, now: SideStatistics, *, n: int, before: int
) -> tuple[float | None, float | None]:
    """Change of the mean in standard deviations of the reference, with its two-sided p-value (Welch's z).

    A mean is taken over the values that are there: as many of the tested rows as their share.
    """
    spread = feature.reference.std if feature.reference is not None else None
    # Dates grow older by themselves; a constant has no unit to measure a change in.
    if feature.kind is not FeatureKind.NUMERIC or not spread or then.mean is None or now.mean is None:
        return None, None
    change = now.mean - then.mean
    step = change / spread
    if not math.isfinite(step):
        return None, None
    values = (n * (1.0 - (now.missing_share or 0.0)), before * (1.0 - (then.missing_share or 0.0)))
    if now.std is None or then.std is None or min(values) <= 0.0:
        return step, None
    error = math.hypot(now.std / math.sqrt(values[0]), then.std / math.sqrt(values[1]))
    if not error:
        return step, 0.0 if change else 1.0
    return step, 2.0 * float(ndtr(-abs(change) / error))


def _missing_step(
    then: SideStatistics, now: SideStatistics, *, n: int, before: int
) -> tuple[float | None, float | None]:
    """Change of the missing share, with the two-sided p-value of the pooled two-proportion z test."""
    if then.missing_share is None or now.missing_share is None:
        return None, None
    sides = sorted([(then.missing_share, before), (now.missing_share, n)])
    (low, low_rows), (high, high_rows) = sides
    one_sided = rise_p_value(low * low_rows, low_rows, high * high_rows, high_rows)
    return now.missing_share - then.missing_share, None if one_sided is None else min(1.0, 2.0 * one_sided)
