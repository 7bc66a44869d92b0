"""A window held against its reference: every number, no verdict."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

from tiltmeter.domain.comparison import Comparison, Overall
from tiltmeter.domain.errors import DataError
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Status
from tiltmeter.domain.severity import Severity
from tiltmeter.statistics.detectable import minimum_detectable
from tiltmeter.statistics.drift import STATISTICS
from tiltmeter.statistics.features import DescribedFeature, absence, absent_feature, describe_feature, measure_drift
from tiltmeter.statistics.multiplicity import q_values
from tiltmeter.statistics.root_cause import shift_of
from tiltmeter.statistics.tested import Tested, rows_tested

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.comparison import FeatureComparison
    from tiltmeter.domain.profile import FeatureBins, Profile
    from tiltmeter.domain.statistic import DriftStatistic
    from tiltmeter.statistics.features import FeatureNumbers
    from tiltmeter.statistics.tested import DescribedSides

MOST_PSI = 1.0
"""A feature counts at most this much in the weighted PSI: one of 30 going 1 → 2 alone would lift the mean to 0.61."""

_BLOCK = 16
"""Features whose drift statistics are computed at once.

Twice as many bins (2,000 a feature) leave the processor's cache, and the system takes freed memory of that size back:
at 10,000 features it then hands out 120,000 new pages instead of 10,000.
"""

_SCHEMA = (Status.MISSING_COLUMN, Status.TYPE_CHANGED)


@cache
def registered() -> tuple[DriftStatistic, ...]:
    """Every drift statistic of the registry, in its order."""
    return tuple(STATISTICS.load(name) for name in STATISTICS.names())


def compare(
    reference: Reference,
    current: Profile,
    *,
    weights: Mapping[str, float] | None = None,
    now: datetime | None = None,
    statistics: Sequence[DriftStatistic] | None = None,
    known: DescribedSides | None = None,
    quiet: Mapping[str, FeatureNumbers] | None = None,
) -> Comparison:
    """Every number of a window against its reference; severities are left at none, rules decide them.

    Args:
        reference: frozen bins and the reference rows in them.
        current: the window in the same bins.
        weights: importance of features in the weighted PSI; 1 where absent.
        now: moment that the freshness of datetime features is measured from.
        statistics: drift statistics to compute, None for all registered.
        known: statistics of the reference by feature: give an empty dictionary, and the same one for its next windows.
        quiet: features that are not described again, with what is known of them (`quiet_numbers`).

    Raises:
        DataError: the window was counted in other bins.
    """
    bins = reference.bins
    if current.bins_id != bins.bins_id or reference.profile.bins_id != bins.bins_id:
        raise DataError(
            f"profiles of bins {current.bins_id} and {reference.profile.bins_id} cannot be compared in {bins.bins_id}",
            hint="profile both sides with the bins of one baseline",
        )
    tested = Tested(rows_tested(reference.profile), rows_tested(current), now, {} if known is None else known)
    chosen = registered() if statistics is None else tuple(statistics)
    measured = _measured(reference, current, tested, chosen, quiet or {})
    found = _across_features(measured, tested)
    score = found.pop(bins.score, None) if bins.score else None
    judged = dict(found)
    for name in sorted(current.new_columns):
        found[name] = absent_feature(name, FeatureKind.TEXT, Status.NEW_COLUMN).completed()
    return Comparison(
        rows_reference=reference.profile.rows,
        rows_current=current.rows,
        features=found,
        score=score,
        overall=Overall(
            weighted_psi(judged, weights or {}), score.psi if score else None, len(judged), 0, 0, Severity.NONE
        ),
        n_reference=tested.m,
        n_current=tested.n,
        schema_changes=sum(one.status in _SCHEMA for one in (*judged.values(), score) if one is not None),
        new_columns=tuple(sorted(current.new_columns)),
        conversion_reference=converted_share(reference.profile),
        conversion_current=converted_share(current),
        score_shift=None if score is None else shift_of(score, tested),
    )


def _measured(
    reference: Reference,
    current: Profile,
    tested: Tested,
    statistics: tuple[DriftStatistic, ...],
    quiet: Mapping[str, FeatureNumbers],
) -> dict[str, FeatureNumbers]:
    """Every feature, its drift statistics computed in blocks of one kind."""
    bins = reference.bins
    found: dict[str, FeatureNumbers] = {}
    waiting: defaultdict[FeatureKind, list[DescribedFeature]] = defaultdict(list)
    for name, feature in bins.features.items():
        if name and name in (bins.label, bins.entity):  # an unset role is "", which may be a column's name
            continue
        if name in quiet:
            found[name] = quiet[name]
            continue
        described = _described(feature, reference.profile, current, tested)
        found[name] = described.numbers
        if described.cells is None:
            continue
        block = waiting[feature.kind]
        block.append(described)
        if len(block) == _BLOCK:
            measure_drift(block, statistics)
            block.clear()
    for block in waiting.values():
        if block:
            measure_drift(block, statistics)
    return found


def _described(feature: FeatureBins, reference: Profile, current: Profile, tested: Tested) -> DescribedFeature:
    name, kind = feature.name, feature.kind
    before, after = reference.features.get(name), current.features.get(name)
    status = absence(feature, before, current)
    if status is None and before is not None and after is not None:
        return describe_feature(feature, before, after, tested)
    retyped = current.retyped.get(name)
    if retyped is not None:
        absent = absent_feature(name, kind, Status.TYPE_CHANGED, bins=feature, reference=before, found=retyped)
    elif after is None:
        absent = absent_feature(name, kind, Status.MISSING_COLUMN, bins=feature, reference=before)
    elif before is None:
        absent = absent_feature(name, kind, Status.NEW_COLUMN, bins=feature, current=after)
    else:
        absent = absent_feature(name, kind, Status.TYPE_CHANGED, found="another type")
    return DescribedFeature(absent)


def _across_features(found: Mapping[str, FeatureNumbers], tested: Tested) -> dict[str, FeatureComparison]:
    """Add what only all features together tell: q-values and the least PSI that could have been seen."""
    psi_q = q_values({name: numbers.psi_p_value for name, numbers in found.items()})
    test_q = q_values({name: numbers.test_p_value for name, numbers in found.items()})
    completed = {}
    for name, numbers in found.items():
        cells = numbers.fields.get("psi_bins") or 0
        completed[name] = numbers.completed(
            psi_q_value=psi_q.get(name),
            test_q_value=test_q.get(name),
            minimum_detectable=minimum_detectable(cells, n=tested.n, m=tested.m, tests=len(psi_q)),
        )
    return completed


def weighted_psi(features: Mapping[str, FeatureComparison], weights: Mapping[str, float]) -> float | None:
    """Mean PSI of the features, each at most 1; features that are gone or retyped count as 1.

    Args:
        features: by name, the score left out.
        weights: importance by name; 1 where absent, 0 leaves a feature out.

    Returns:
        In [0, 1]; None where no feature has a PSI.
    """
    total = weight = 0.0
    for name, feature in features.items():
        value = MOST_PSI if feature.status in _SCHEMA else feature.psi
        if value is not None:
            share = max(0.0, weights.get(name, 1.0))
            total, weight = total + share * min(value, MOST_PSI), weight + share
    return total / weight if weight > 0.0 else None


def converted_share(profile: Profile) -> float | None:
    """Share of the labelled rows that converted; None without a label."""
    if not profile.labelled or profile.converted is None:
        return None
    return profile.converted / profile.labelled
