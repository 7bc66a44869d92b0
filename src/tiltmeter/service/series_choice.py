"""Which judged numbers a scrape holds where there are too many: the models' own, what is watched, what moved most."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Status
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.rule import RuleSet

MAX_SERIES = 10_000
"""Series about features and whole models of one scrape: a hostile list of features must not fill it."""

MOST_FEATURES = 200
"""Features of a model whose numbers are exported: those with the highest PSI, and the score."""

ON_BOARDS = frozenset({
    ("drift.psi", Grain.DAY), ("drift.ks", Grain.DAY), ("features.missing_share", Grain.HOUR),
})  # fmt: skip
"""Numbers of features that the generated boards draw, beside everything about the score."""

TESTS = frozenset({"drift.ks", "drift.chi2"})
"""Exported with their p-value."""

_SCORE = "score"
_FIRST = frozenset({
    "drift.psi", "drift.kl", "drift.ks", "drift.chi2", "features.missing_share", "features.outlier_share_iqr",
    "features.distinct",
})  # fmt: skip
"""What is asked of a feature first; the other statistics are rarely looked at outside the dashboard."""


@dataclass(frozen=True, slots=True)
class Series:
    """One number of a scrape: a metric's value, or the p-value of its test."""

    metric: Metric
    is_p_value: bool = False


class Need(IntEnum):
    """How much a series about a feature is missed, most first; those needed less leave together."""

    WATCHED = 0
    FIRST = 1
    P_VALUE = 2
    RARE = 3
    WEEKLY = 4


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a scrape holds.

    Args:
        kept: in no order.
        left_out: number of series that are not among them.
        features: of each model with numbers about features, how many of these have no series at all.
    """

    kept: Sequence[Series]
    left_out: int
    features: Mapping[str, int]


def chosen(current: Iterable[Metric], rules: RuleSet) -> Choice:
    """All numbers about whole models; of features as much as there is room for.

    Numbers that boards and rules use stand first, then those asked for first, p-values, the rest, and weeks; what does
    not fit as a whole stays away as a whole, so that a board never shows half of its features. Where the watched ones
    alone are too many, the features with the highest PSI keep theirs.

    Args:
        current: exported metrics with a value, one a subject and grain.
        rules: say which numbers are watched.
    """
    own: list[Metric] = []
    featured: list[Metric] = []
    for metric in current:
        (featured if CATALOGUE[metric.name].per_feature else own).append(metric)
    ranks = _ranks(featured)
    watched = ON_BOARDS | {(rule.metric, rule.every) for rule in rules.rules if isinstance(rule.every, Grain)}
    by_need: dict[Need, list[Series]] = defaultdict(list)
    for metric in featured:
        need = _need(metric, watched)
        by_need[need].append(Series(metric))
        if metric.name in TESTS and metric.p_value is not None:
            by_need[max(need, Need.P_VALUE)].append(Series(metric, is_p_value=True))
    found = sum(map(len, by_need.values()))
    kept = _fitting(by_need, ranks, max(0, MAX_SERIES - len(own)))
    shown = {_feature(series.metric) for series in kept}
    without = Counter(model for model, feature in ranks if (model, feature) not in shown)
    features = {model: without[model] for model in sorted({model for model, _ in ranks})}
    return Choice([*(Series(metric) for metric in own), *kept], found - len(kept), features)


def _fitting(by_need: Mapping[Need, list[Series]], ranks: Mapping[tuple[str, str], int], room: int) -> list[Series]:
    kept: list[Series] = []
    for need in Need:
        wanted = [one for one in by_need.get(need, ()) if ranks[_feature(one.metric)] <= MOST_FEATURES]
        if len(wanted) > room:
            return kept + (_of_the_first(wanted, ranks, room) if need is Need.WATCHED else [])
        kept += wanted
        room -= len(wanted)
    return kept


def _of_the_first(wanted: Sequence[Series], ranks: Mapping[tuple[str, str], int], room: int) -> list[Series]:
    """Series of as many features as there is room for, of every model the same number."""
    sizes = Counter(ranks[_feature(one.metric)] for one in wanted)
    used = last = 0
    for rank in sorted(sizes):
        used += sizes[rank]
        if used > room:
            break
        last = rank + 1
    return [one for one in wanted if ranks[_feature(one.metric)] < last]


def _need(metric: Metric, watched: frozenset[tuple[str, Grain]]) -> Need:
    grain = metric.window.grain
    if (metric.name, grain) in watched:
        return Need.WATCHED
    if grain in {Grain.WEEK, Grain.MONTH}:
        return Need.WEEKLY
    if metric.subject.feature == _SCORE:
        return Need.WATCHED
    return Need.FIRST if metric.name in _FIRST else Need.RARE


def _ranks(featured: Iterable[Metric]) -> dict[tuple[str, str], int]:
    """Place of each feature within its model: 0 for the score, 1 for the feature that moved most, and so on.

    The PSI of days counts before that of hours, which have few rows.
    """
    moved: dict[tuple[str, str], tuple[float, float]] = {}
    for metric in featured:
        day, other = moved.setdefault(_feature(metric), (-1.0, -1.0))
        if metric.name == "drift.psi" and metric.status is Status.OK and metric.value is not None:
            is_day = metric.window.grain is Grain.DAY
            moved[_feature(metric)] = (max(day, metric.value), other) if is_day else (day, max(other, metric.value))
    by_model: dict[str, list[str]] = defaultdict(list)
    for model, feature in sorted(moved, key=lambda key: (key[1] != _SCORE, *(-psi for psi in moved[key]), key)):
        by_model[model].append(feature)
    return {
        (model, feature): place
        for model, names in by_model.items()
        for place, feature in enumerate(names, start=0 if names[0] == _SCORE else 1)
    }


def _feature(metric: Metric) -> tuple[str, str]:
    return metric.subject.model, metric.subject.feature
