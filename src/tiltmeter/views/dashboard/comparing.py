"""Two windows of stored profiles held against each other, with the severities that the rules give; kept by window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tiltmeter.alerting.limits import OVERALL_PSI, PSI, readings
from tiltmeter.api.judging import judge
from tiltmeter.api.summary import effect, number, p_value, percent, value_text
from tiltmeter.domain.metric import Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import CLOCK_CHANGE, Grain, Window, nearest
from tiltmeter.monitors.drift import drift_metrics
from tiltmeter.ports import MetricQuery
from tiltmeter.statistics.cells import OTHER
from tiltmeter.statistics.comparison import compare
from tiltmeter.statistics.shares import shares
from tiltmeter.statistics.steps import with_steps
from tiltmeter.views.dashboard.distributions import sides
from tiltmeter.views.dashboard.queries import ALL, SCORE, remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.comparison import Comparison, FeatureComparison, SidePair, SideStatistics
    from tiltmeter.domain.feature import FeatureKind
    from tiltmeter.domain.profile import Profile
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope

_LEAST_PART = 0.001
_NEW_OR_RARE = "(new or rare)"
MOST_PARTS = 12
"""Cells of a PSI that are drawn, those with the largest part."""


def judged(
    world: World,
    reference: Reference,
    current: Profile,
    window: Window,
    scope: Scope,
    *,
    previous: Profile | None = None,
    segment: tuple[str, str] = ALL,
) -> Comparison:
    """Every number of the window against the reference, with severities.

    Args:
        world: its rules judge.
        reference: the other side, in the bins of the current one.
        current: rows of the window.
        window: what they are the rows of.
        scope: whose model it is.
        previous: rows of the window before, None where they do not matter or there are none.
        segment: that only the current side holds: rules about all rows do not judge it.
    """
    found = compare(reference, current, weights=scope.model.weights, now=window.end)
    found = with_steps(found, reference.bins, previous)
    return judge(found, world.rules.rules, window=window, model=scope.model.name, segment=segment).shown


@remembered
def against_baseline(_world: World, scope: Scope, start: datetime, end: datetime) -> Comparison | None:
    """The window against the judging baseline; None while the baseline is learnt and where no profile is stored."""
    window = Window(start, end, Grain.DAY)
    found = sides(_world, scope, window)
    if found is None or found[1] is None:
        return None
    previous = _world.states.total(
        scope.model.name, found[0].bins.bins_id, window.previous, version=scope.version, segment=scope.segment
    )
    return judged(_world, found[0], found[1], window, scope, previous=previous, segment=scope.segment)


def feature_of(comparison: Comparison | None, name: str) -> FeatureComparison | None:
    """One feature of a comparison, the score by its name on the pages."""
    if comparison is None:
        return None
    if name in comparison.features:
        return comparison.features[name]
    return comparison.score if name == SCORE else None


_TEST = "drift.test_q_value"


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of a feature with what it is compared with."""

    title: str
    value: str
    note: str
    severity: Severity = Severity.NONE


def severities(world: World, scope: Scope, comparison: Comparison, found: FeatureComparison) -> dict[str, Severity]:
    """What the rules make of each number of a feature, by metric: as an alert of it would say."""
    rules = world.rules.rules
    subject = Subject(scope.model.name, scope.version, "", *scope.segment)
    metrics = [
        metric
        for metric in drift_metrics(
            comparison, subject=subject, window=scope.window, names={rule.metric for rule in rules},
            features={found.name},
        )
        if (not metric.subject.feature) is (found is comparison.score)
    ]  # fmt: skip
    return {metric.name: read.severity for metric, read in zip(metrics, readings(metrics, rules), strict=True)}


def facts(
    found: FeatureComparison, severities: Mapping[str, Severity] | None = None, comparison: Comparison | None = None
) -> list[Fact]:
    """Six numbers of a feature, the baseline's beside each.

    Args:
        found: the feature.
        severities: what the rules make of its numbers, by metric.
        comparison: that it belongs to: says how many leads stand behind the rows.
    """
    reads = dict(severities or {})

    def read(*names: str) -> Severity:
        return max((reads.get(name, Severity.NONE) for name in names), default=Severity.NONE)

    before, now = found.reference, found.current
    psi = Fact("PSI", number(found.psi), _behind(found, comparison), read(PSI, OVERALL_PSI, "drift.score_psi"))
    tested = p_value(found.test_q_value)
    test = (
        Fact("KS distance", number(found.ks), f"q {tested}", read("drift.ks", _TEST))
        if found.ks is not None
        else Fact("Cramér's V", number(found.cramers_v), f"chi-square q {tested}", read("drift.chi2", _TEST))
    )
    then = found.step.previous if found.step is not None else None
    missing = Fact(
        "Missing", percent(now.missing_share if now else None), _was(percent, before, then, "missing_share"),
        read("features.missing_change", "features.missing_share"),
    )  # fmt: skip
    distinct = Fact("Distinct", _count(now.distinct if now else None), _was(_count, before, then, "distinct"))
    if now is not None and now.mean is not None and before is not None:
        kind = found.kind
        middle = (
            Fact("Mean", short(now.mean), _was(short, before, then, "mean"))
            if kind.value != "datetime"
            else Fact("Median", value_text(now.median, kind), f"baseline {value_text(before.median, kind)}")
        )
        outside = Fact("Outliers (IQR)", *_pair(found.outliers_iqr))
    else:
        new = found.new_levels
        middle = Fact(
            "New levels", percent(new.share if new else None), f"of rows, in {new.count} new" if new else "no levels",
            read("features.new_level_excess", "features.new_level_share"),
        )  # fmt: skip
        outside = Fact("KL divergence", number(found.kl), "nats", read("drift.kl"))
    return [psi, test, missing, middle, outside, distinct]


def _behind(found: FeatureComparison, comparison: Comparison | None) -> str:
    """What a number rests on; where that is too little, the side and the count that decided it: leads, not rows."""
    rows = found.current.count if found.current else 0
    if found.status is not Status.TOO_FEW_ROWS:
        return f"n = {rows:,}"
    if comparison is None:
        return f"n = {rows:,}, not judged"
    if comparison.n_reference < comparison.n_current:
        before = found.reference.count if found.reference else 0
        return f"baseline {_rows_and_leads(before, comparison.n_reference)}, not judged"
    return f"{_rows_and_leads(rows, comparison.n_current)}, not judged"


def _rows_and_leads(rows: int, leads: int) -> str:
    return f"n = {rows:,}" if leads >= rows else f"n = {leads:,} lead{'' if leads == 1 else 's'} ({rows:,} rows)"


def _was(words: Callable[[Any], str], baseline: SideStatistics | None, then: SideStatistics | None, name: str) -> str:
    """The baseline's number and that of the window before."""
    said = f"baseline {words(getattr(baseline, name))}" if baseline is not None else "no baseline"
    return f"{said} · before {words(getattr(then, name))}" if then is not None else said


def _pair(pair: SidePair | None) -> tuple[str, str]:
    return (percent(pair.current), f"baseline {percent(pair.reference)}") if pair else ("–", "no outliers of this kind")


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def short(value: float | None) -> str:
    """A number of at most five characters or so: 1.64M, 9,903, 0.0774."""
    if value is None:
        return "–"
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scale = 1e3 if letter == "k" else limit
            return f"{value / scale:,.4g}{letter}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def said(found: FeatureComparison) -> str:
    """What moved, in words; empty when nothing worth saying did."""
    return effect(found)


_QUANTILES = (
    ("Least", "min"), ("5 %", "q05"), ("25 %", "q25"), ("Median", "median"), ("75 %", "q75"), ("95 %", "q95"),
    ("Greatest", "max"), ("Spread (std)", "std"),
)  # fmt: skip


def quantiles(found: FeatureComparison) -> pd.DataFrame:
    """Quantiles of a numeric feature in words: `Value`, `Baseline`, `Before` (the window before) and `Now`.

    Empty for categories; without `Before` where that window holds no rows.
    """
    sides = {"Baseline": found.reference, "Before": found.step.previous if found.step else None, "Now": found.current}
    known = {title: side for title, side in sides.items() if side is not None}
    if "Baseline" not in known or "Now" not in known or known["Baseline"].median is None:
        return pd.DataFrame(columns=["Value", "Baseline", "Now"])
    rows = [(title, *(_quantile(side, name, found.kind) for side in known.values())) for title, name in _QUANTILES]
    return pd.DataFrame(rows, columns=["Value", *known])


def _quantile(side: SideStatistics, name: str, kind: FeatureKind) -> str:
    return value_text(getattr(side, name), kind)


def psi_parts(found: FeatureComparison) -> pd.DataFrame:
    """What each cell adds to the PSI, the largest first: columns `cell`, `part`, `direction`, `words`."""
    columns = ["cell", "part", "direction", "words"]
    if not found.cells or found.psi is None:
        return pd.DataFrame(columns=columns)
    now, before = shares(np.array([c.current for c in found.cells]), np.array([c.reference for c in found.cells]))
    parts = (now - before) * np.log(now / before)
    order = [int(place) for place in np.argsort(-parts)[:MOST_PARTS] if parts[place] > _LEAST_PART]
    return pd.DataFrame(
        [
            (
                _NEW_OR_RARE if found.cells[place].name == OTHER else found.cells[place].name,
                float(parts[place]), "more" if now[place] > before[place] else "fewer",
                f"{before[place]:.1%} → {now[place]:.1%}",
            )
            for place in order
        ],
        columns=columns,
    )  # fmt: skip


_A_DAY, _A_WEEK = timedelta(days=1), timedelta(days=7)


@remembered
def by_segment(_world: World, scope: Scope, end: datetime, feature: str) -> pd.DataFrame:
    """PSI of one feature in every segment on the last day that ended by then: `segment`, `psi`, `before`, `rows`.

    Segments are held against the baseline of all rows, from which one may differ by its nature: `before` is the PSI of
    the same day a week earlier, and those that rose most since then stand first.
    """
    query = MetricQuery(
        model=scope.model.name, metric="drift.score_psi" if feature == SCORE else "drift.psi", version="",
        since=end - _A_WEEK - _A_DAY - CLOCK_CHANGE, until=end, grain=Grain.DAY,
        feature="" if feature == SCORE else feature,
    )  # fmt: skip
    found = [m for m in _world.state.metrics(query) if m.subject.segment_key in scope.model.segments]
    newest = max((m.window.end for m in found if m.window.end > end - _A_DAY), default=end)
    then = nearest({m.window.end for m in found}, newest - _A_WEEK)
    earlier = {m.subject: m.value for m in found if m.window.end == then}
    rows = [
        (f"{m.subject.segment_key} = {m.subject.segment_value}", m.value, earlier.get(m.subject), m.n_current or 0)
        for m in found
        if m.window.end == newest
    ]
    table = pd.DataFrame(rows, columns=["segment", "psi", "before", "rows"])
    rise = table["psi"].astype(float) - table["before"].astype(float).fillna(0.0)
    return table.assign(rise=rise).sort_values("rise", ascending=False, kind="stable").drop(columns="rise")
