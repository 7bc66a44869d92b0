"""The first row of the overview: six numbers, each with its trend and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from tiltmeter.alerting.limits import ERROR_RATE, P95, PSI, reading
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.drawing.style import NOT_JUDGED
from tiltmeter.monitors.cohorts import COHORT
from tiltmeter.views.dashboard.conversion_verdict import severity_of
from tiltmeter.views.dashboard.frame import COLOURS, ICONS, is_old, plain
from tiltmeter.views.dashboard.queries import (
    ALL,
    SCORE,
    drift_heatmap,
    is_newest,
    limits_for,
    newest,
    open_ones,
    series,
    severity_then,
    subject_of,
    whole,
)
from tiltmeter.views.dashboard.traffic import OF_ALL, SHORT_SPAN, service_series

if TYPE_CHECKING:
    import streamlit as st

    from tiltmeter.alerting.limits import Reading
    from tiltmeter.domain.alert import Incident
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope

_AN_HOUR = timedelta(hours=1)
_TREND = 72
"""Newest values of a trend line: three days of hours."""


@dataclass(frozen=True, slots=True)
class Card:
    """One number of a row: its words, its trend and how it stands; why it is missing, for those who ask."""

    title: str
    value: str
    note: str
    severity: Severity
    trend: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """How a number of the service becomes a card.

    Args:
        title: of the card.
        column: of the table of `service_series`.
        metric: name by which rules judge it.
    """

    title: str
    column: str
    metric: str


_SERVICE = (
    Measure("P95 latency", "p95", P95),
    Measure("Throughput", "rate", "serving.requests_per_second"),
    Measure("Error rate", "errors", ERROR_RATE),
)


def overview_cards(here: World, scope: Scope, touching: list[Incident]) -> list[Card]:
    """Health, latency, throughput, errors, drift and conversion.

    Args:
        here: what is read.
        scope: what is shown.
        touching: incidents that touch the shown span, open ones included.
    """
    service = service_series(here, scope)
    if scope.end - scope.start > SHORT_SPAN:
        # Hours are judged by their many requests; the few of a step after them would often be too few to judge.
        service = service[service["time"] <= scope.end]
    return [
        _health(here, scope, touching, is_judged=len(service) > 0 or len(drift_heatmap(here, scope)) > 0),
        *(_of_service(here, scope, service, measure) for measure in _SERVICE),
        _drifting(here, scope),
        _conversion(here, scope),
    ]


def _health(here: World, scope: Scope, touching: list[Incident], *, is_judged: bool) -> Card:
    if not touching and not is_judged:
        return Card("Health", "–", "nothing judged yet", Severity.NONE)
    open_now = open_ones(here, scope, touching)
    worst = max((severity_then(i) for i in open_now), default=Severity.NONE)
    days = max(2, (scope.end - scope.start).days + 1)
    moments = [scope.end - timedelta(days=back) for back in range(days - 1, -1, -1)]
    trend = tuple(
        float(sum(i.opened_at <= m and (i.resolved_at is None or i.resolved_at > m) for i in touching)) for m in moments
    )
    if not open_now and is_newest(here, scope) and is_old(here, scope.end):
        return Card("Health", "–", "data are old", Severity.NONE, trend)
    count = len(open_now)
    said = f"{count} open incident{'' if count == 1 else 's'}{'' if is_newest(here, scope) else ' then'}"
    return Card("Health", "ok" if worst is Severity.NONE else worst.word, said, worst, trend)


def _of_service(here: World, scope: Scope, service: pd.DataFrame, wanted: Measure) -> Card:
    """The newest step as it is, also where nothing came in it: what was before is no number of now."""
    if not len(service):
        return Card(wanted.title, "–", "no request log", Severity.NONE)
    trend = tuple(service[wanted.column].dropna().tail(_TREND).tolist())
    busy = service[service["requests"] > 0]
    if not len(busy) or busy["time"].iloc[-1] <= scope.end - _AN_HOUR:
        since = f"no traffic since {busy['time'].iloc[-1]:%a %d %b %H:%M}" if len(busy) else "no traffic in this span"
        return Card(wanted.title, "0 / s" if wanted.column == "rate" else "–", since, Severity.NONE, trend)
    row, is_of_all = busy.iloc[-1], bool(service.attrs.get(OF_ALL))
    value, requests = float(row[wanted.column]), int(row["requests"])
    version = "" if is_of_all else scope.version
    read = service_reading(here, scope, wanted.metric, value, requests=requests, version=version)
    is_fine = len(service) > 1 and service["time"].diff().min() < _AN_HOUR
    is_today = here.clock.now() - row["time"] < timedelta(hours=12)
    step = f"{'5 minutes' if is_fine else 'hour'} to {row['time']:{'%H:%M' if is_today else '%a %d %b %H:%M'}}"
    how = "not judged" if read.is_ruled and not read.is_judged else step
    note = f"n = {requests:,}, {how}{_apart(scope, is_of_all=is_of_all)}"
    words = {"p95": f"{value:,.0f} ms", "rate": rate_words(value), "errors": f"{value:.2%}"}[wanted.column]
    return Card(wanted.title, words, note, read.severity, trend)


def _apart(scope: Scope, *, is_of_all: bool) -> str:
    """What a number holds beside what was chosen."""
    of = [word for word, more in (("versions", is_of_all), ("segments", scope.segment != ALL)) if more]
    return f", all {' and '.join(of)}" if of else ""


def service_reading(
    here: World, scope: Scope, metric: str, value: float | None, *, requests: int, version: str
) -> Reading:
    """How a number of the service reads: what an alert of it would say.

    Args:
        here: its rules judge.
        scope: whose model.
        metric: catalogue name.
        value: None where there was no request.
        requests: behind it.
        version: that the number is of, empty for all.
    """
    window = Window(scope.start, scope.end, Grain.LIVE)
    subject = Subject(scope.model.name, version)
    return reading(Metric(metric, subject, window, value, n_current=requests), here.rules.rules)


def rate_words(per_second: float) -> str:
    """Requests per second; per minute where that would round to nothing."""
    return f"{per_second:,.1f} / s" if per_second >= 1 or per_second == 0 else f"{per_second * 60:,.1f} / min"


def _conversion(here: World, scope: Scope) -> Card:
    every = series(here, scope, "outcomes.conversion_rate", grain=Grain.DAY)
    table = every.dropna(subset=["value"])
    is_apart = len(table) > 0 and scope != whole(scope)
    if not len(table):
        table = series(here, whole(scope), "outcomes.conversion_rate", grain=Grain.DAY).dropna(subset=["value"])
    if len(every) and not len(table):
        return Card("Conversion", "–", "no outcome was reported", Severity.NONE)
    if not len(table):
        return Card("Conversion", "–", f"known after {scope.model.outcomes.mature_after.days} days", Severity.NONE)
    newest = table.iloc[-1]
    note = f"n = {int(newest['rows']):,}, " + ("matured" if newest["status"] == "ok" else "not judged")
    if scope != whole(scope) and not is_apart:
        note += ", all leads"
    shown = scope if is_apart else whole(scope)
    severity = severity_of(here, shown, _metric_of(shown, newest))
    return Card("Conversion", f"{newest['value']:.1%}", note, severity, tuple(table["value"].tolist()))


def _metric_of(scope: Scope, row: pd.Series[Any]) -> Metric:
    """The conversion rate that a row of `series` was made of."""
    end = row["time"].to_pydatetime()
    lower, upper = (None if pd.isna(row[name]) else float(row[name]) for name in ("lower", "upper"))
    return Metric(
        "outcomes.conversion_rate", subject_of(scope), Window(end - COHORT, end, Grain.DAY), float(row["value"]),
        Status(row["status"]), lower=lower, upper=upper, n_current=int(row["rows"]),
    )  # fmt: skip


def _drifting(here: World, scope: Scope) -> Card:
    heat = drift_heatmap(here, scope)
    features = heat[heat["feature"] != SCORE]
    if not len(features):
        return Card("Drifting", "–", "no day judged yet", Severity.NONE)
    total = int(features["feature"].nunique())
    newest_day = features[features["end"] == features["end"].max()]
    judged = newest_day[newest_day["step"] != NOT_JUDGED]
    if not len(judged):
        return Card("Drifting", "–", f"n = {int(newest_day['rows'].max()):,}, not judged", Severity.NONE)
    if not limits_for(here, scope, PSI, feature="any"):
        return Card("Drifting", "–", f"of {total} features: no rule judges them", Severity.NONE)
    moved, critical = (newest_day["step"].isin(steps).sum() for steps in (("warning", "critical"), ("critical",)))
    table = series(here, whole(scope), "drift.features_drifted", grain=Grain.DAY)
    day = "newest day"
    if len(table) and scope == whole(scope):  # counts what other rules about features say, too
        kept = next(iter(newest(here, scope, "drift.features_drifted", grain=Grain.DAY)))
        moved, critical = table["value"].iloc[-1], max(critical, int(str(kept.details.get("critical", 0))))
    else:  # a version or segment apart: counted from its own PSI
        loud = features.assign(value=features["step"].isin(("warning", "critical")).astype(float))
        table = loud.groupby("end")["value"].sum().reset_index()
        day = f"{date.fromisoformat(str(newest_day['day'].iloc[0])):%a %d %b}"
    severity = Severity.CRITICAL if critical else Severity.WARNING if moved else Severity.NONE
    note = f"features, {int(critical)} critical, {day}"
    return Card("Drifting", f"{int(moved)} of {total}", note, severity, tuple(table["value"].tolist()))


def draw(place: st.delta_generator.DeltaGenerator, card: Card) -> None:
    """One card: title, number, trend, note with icon and colour."""
    place.metric(
        card.title,
        card.value,
        delta=f"{ICONS[card.severity]} {card.note}",
        delta_color=COLOURS[card.severity],
        delta_arrow="off",
        border=True,
        height="stretch",
        help=plain(card.reason) or None,
        chart_data=list(card.trend) if len(card.trend) > 1 else None,
        chart_type="area",
    )
