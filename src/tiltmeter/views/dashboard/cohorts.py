"""What the Outcomes page asks: the newest matured cohort beside that of a week earlier, funnel, tenths, segments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.window import CLOCK_CHANGE, Grain, Window, nearest
from tiltmeter.monitors.cohort_weeks import cohort_weeks, scored_words
from tiltmeter.monitors.deciles import LIFT, PRECISION_AT_K, RECALL_AT_K, deciles_kept
from tiltmeter.ports import MetricQuery
from tiltmeter.views.dashboard.by_version import of_version
from tiltmeter.views.dashboard.queries import ALL, OUTCOMES, Scope, asked_span, remembered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.ports import World

RATE = "outcomes.conversion_rate"
PRECISION = "outcomes.precision"
SCORED, LEFT_OUT = "scored", "left out"
"""Attributes of the table of segments."""
EARLIER = timedelta(days=7)
"""A cohort of a week ends every day: the one that ends seven days earlier shares no lead with the newest, or
those of an hour where clocks were moved between them."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohorts:
    """Outcome metrics by name.

    Args:
        newest: of the newest matured cohort.
        earlier: of the cohort a week before it; empty where there is none yet.
        untold: leads of the largest cohort of which nobody ever reported an outcome; 0 where somebody did.
    """

    newest: Mapping[str, Metric]
    earlier: Mapping[str, Metric]
    untold: int = 0

    @property
    def rate(self) -> Metric | None:
        """The newest conversion rate that is known."""
        found = self.newest.get(RATE)
        return None if found is None or found.value is None else found


@remembered
def cohorts(_world: World, scope: Scope) -> Cohorts:
    """The two cohorts of the scope that the page compares."""
    since, until = asked_span(scope, OUTCOMES)
    query = MetricQuery(
        model=scope.model.name, prefix=OUTCOMES, since=since, until=until, grain=Grain.DAY, version=scope.version,
        feature="", segment=scope.segment,
    )  # fmt: skip
    by_end: dict[datetime, dict[str, Metric]] = {}
    for metric in of_version(_world, scope, query):
        by_end.setdefault(metric.window.end, {})[metric.name] = metric
    known = [end for end, found in by_end.items() if RATE in found and found[RATE].value is not None]
    if not known:
        leads = [found[RATE].n_current or 0 for found in by_end.values() if RATE in found]
        return Cohorts({}, {}, untold=max(leads, default=0))
    earlier = nearest(by_end, max(known) - EARLIER)
    return Cohorts(by_end[max(known)], by_end[earlier] if earlier is not None else {})


def funnel_table(found: Cohorts, threshold: float) -> pd.DataFrame:
    """From leads to customers: `step`, `share` and `before` of the leads, `words`; unknown steps are left out.

    Args:
        found: the two cohorts.
        threshold: score from which a lead counts as a predicted customer.
    """
    now, before = _steps(found.newest), _steps(found.earlier)
    names = {
        "leads": "Leads scored",
        "predicted": f"Predicted (≥ {threshold:g})",
        "hits": "… of them customers",
        "customers": "Customers in all",
    }
    rows = []
    for key, name in names.items():
        if key in now:
            share, earlier = _shares(now, before, key)
            # The step from predicted to customer is the one that the model answers for: its rate is of the predicted.
            rate = _rate(now, key, "predicted" if key == "hits" else "leads")
            then = _rate(before, key, "predicted" if key == "hits" else "leads")
            said = "" if key == "leads" else f" · {rate:.1%}" + (" of these" if key == "hits" else "")
            was = f", was {then:.1%}" if said and before.get(key) is not None else ""
            rows.append((name, share, earlier, f"{now[key]:,}{said}{was}"))
    return pd.DataFrame(rows, columns=["step", "share", "before", "words"])


def _steps(found: Mapping[str, Metric]) -> dict[str, int]:
    rate, precision = found.get(RATE), found.get(PRECISION)
    if rate is None or rate.value is None or not rate.n_current:
        return {}
    steps = {"leads": rate.n_current, "customers": round(rate.value * rate.n_current)}
    if precision is not None and "predicted" in precision.details:
        steps |= {"predicted": int(precision.details["predicted"]), "hits": int(precision.details["hits"])}  # type: ignore[arg-type] # written as numbers
    return steps


def _rate(steps: Mapping[str, int], key: str, of: str) -> float:
    return steps.get(key, 0) / max(steps.get(of, 0), 1)


def _shares(now: Mapping[str, int], before: Mapping[str, int], key: str) -> tuple[float, float | None]:
    return _rate(now, key, "leads"), _rate(before, key, "leads") if key in before else None


def decile_table(found: Cohorts) -> pd.DataFrame:
    """Tenths of the newest cohort by rising score: `tenth`, `leads`, `customers`, `promised`, `conversion`, its ends.

    `kept` says whether the interval holds what the score promised. Empty where tenths are not stored.
    """
    metric = found.newest.get(LIFT)
    kept = deciles_kept(metric) if metric is not None else []
    rows = [
        (
            place, one.leads, one.customers, one.promised, one.conversion.value, one.conversion.lower or 0.0,
            one.conversion.upper or 0.0,
        )
        for place, one in enumerate(kept, start=1)
    ]  # fmt: skip
    table = pd.DataFrame(
        rows, columns=["tenth", "leads", "customers", "promised", "conversion", "lower", "upper"]
    )  # fmt: skip
    return table.assign(kept=(table["lower"] <= table["promised"]) & (table["promised"] <= table["upper"]))


@remembered
def week_table(_world: World, scope: Scope) -> pd.DataFrame:
    """Precision and recall at k by week of scoring, a row a week and metric.

    Columns `week`, `metric`, `value`, `lower`, `upper`, `n`, `words`, `open`. Empty where no cohort is mature.
    """
    found: list[Metric] = []
    since, until = asked_span(scope, OUTCOMES)
    for name in (PRECISION_AT_K, RECALL_AT_K):
        query = MetricQuery(
            model=scope.model.name, metric=name, since=since - EARLIER, until=until, grain=Grain.DAY,
            version=scope.version, feature="", segment=scope.segment,
        )  # fmt: skip
        found += of_version(_world, scope, query)
    rows = []
    for week in cohort_weeks(found, since=since, until=scope.end):
        for name, metric in ((PRECISION_AT_K, week.precision), (RECALL_AT_K, week.recall)):
            known = (
                metric
                if metric is not None
                else Metric(name, Subject(scope.model.name), Window(week.start, week.end, Grain.DAY), None)
            )
            words = "not mature yet" if not week.is_mature else known.why_missing or f"n = {known.n_current or 0:,}"
            rows.append(
                (
                    week.name(_world.zone),
                    name,
                    known.value,
                    known.lower,
                    known.upper,
                    known.n_current,
                    words,
                    not week.is_mature,
                )
            )
    return pd.DataFrame(rows, columns=["week", "metric", "value", "lower", "upper", "n", "words", "open"])


_SEGMENT_NUMBERS = {RATE: "conversion", "outcomes.revenue_per_lead": "revenue", "drift.score_psi": "psi"}
_Numbers: TypeAlias = "dict[datetime, dict[tuple[str, str], Metric]]"
"""Known numbers by the end of their window and by segment, that of all leads under `ALL`."""


@remembered
def segment_table(_world: World, scope: Scope) -> pd.DataFrame:
    """Newest cohort by segment: `segment`, `rows`, `conversion`, `before`, `lift`, `revenue`, `psi`, `psi_before`.

    All rows are of the same leads, those of the newest cohort of all versions; a segment without any is left out, and
    counted in the attribute `LEFT_OUT`. `SCORED` holds their days in words. `before` is the cohort a week earlier;
    segments that fell most stand first. PSI is of the newest day and of the same day a week earlier, against all rows
    of the baseline. Empty without segments.
    """
    found = {column: _by_end(_world, scope, name) for name, column in _SEGMENT_NUMBERS.items()}
    (now, before), (drift, drift_before) = (_now_and_before(found[column]) for column in ("conversion", "psi"))
    rates, of_all = {key: one for key, one in now.items() if key != ALL}, now.get(ALL)
    revenue = found["revenue"].get(max(found["conversion"], default=scope.end), {})
    rows = [
        (
            " = ".join(key), one.n_current or 0, one.value, _value(before, key),
            one.value / of_all.value if one.value is not None and of_all is not None and of_all.value else None,
            _value(revenue, key), _value(drift, key), _value(drift_before, key),
        )
        for key, one in rates.items()
    ]  # fmt: skip
    table = pd.DataFrame(
        rows, columns=["segment", "rows", "conversion", "before", "lift", "revenue", "psi", "psi_before"]
    )
    change = (table["conversion"] / table["before"].astype(float)).fillna(1.0)
    table = table.assign(change=change).sort_values("change", kind="stable").drop(columns="change")
    known = {key for numbers in found["conversion"].values() for key in numbers if key != ALL}
    table.attrs[LEFT_OUT] = len(known) - len(rates)
    table.attrs[SCORED] = next((scored_words(one.window, _world.zone) for one in rates.values()), "")
    return table


def _by_end(world: World, scope: Scope, name: str) -> _Numbers:
    since, until = asked_span(scope, name)
    query = MetricQuery(
        model=scope.model.name, metric=name, since=min(since, scope.start - EARLIER - CLOCK_CHANGE), until=until,
        grain=Grain.DAY, version="", feature="",
    )  # fmt: skip
    found: _Numbers = {}
    for metric in world.state.metrics(query):
        key = metric.subject.segment_key, metric.subject.segment_value
        if metric.value is not None and (key == ALL or key[0] in scope.model.segments):
            found.setdefault(metric.window.end, {})[key] = metric
    return found


def _now_and_before(found: _Numbers) -> tuple[Mapping[tuple[str, str], Metric], Mapping[tuple[str, str], Metric]]:
    """The numbers of the newest end that anything is known of, and of the one a week earlier."""
    if not found:
        return {}, {}
    earlier = nearest(found, max(found) - EARLIER)
    return found[max(found)], found[earlier] if earlier is not None else {}


def _value(found: Mapping[tuple[str, str], Metric], key: tuple[str, str]) -> float | None:
    metric = found.get(key)
    return None if metric is None else metric.value
