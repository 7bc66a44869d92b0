"""The first row of the overview: six numbers, each with its trend and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.views.dashboard.frame import COLOURS, ICONS, plain
from tiltmeter.views.dashboard.queries import SCORE, drift_heatmap, series, whole
from tiltmeter.views.dashboard.traffic import service_series

if TYPE_CHECKING:
    import pandas as pd
    import streamlit as st

    from tiltmeter.domain.alert import Incident
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope

_TREND = 72
"""Newest values of a trend line: three days of hours."""

MIN_REQUESTS = 100
"""Fewer requests than this are shown and not judged, as the latency rule does."""


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
        warning: above it the card is a warning.
        critical: above it the card is critical.
    """

    title: str
    column: str
    warning: float | None = None
    critical: float | None = None


_SERVICE = (
    Measure("P95 latency", "p95", warning=500),
    Measure("Throughput", "rate"),
    Measure("Error rate", "errors", critical=0.01),
)


def overview_cards(here: World, scope: Scope, touching: list[Incident]) -> list[Card]:
    """Health, latency, throughput, errors, drift and conversion.

    Args:
        here: what is read.
        scope: what is shown.
        touching: incidents that touch the shown span, open ones included.
    """
    service = service_series(here, scope)
    return [
        _health(scope, touching, is_judged=len(service) > 0 or len(drift_heatmap(here, scope)) > 0),
        *(_of_service(service, measure) for measure in _SERVICE),
        _drifting(here, scope),
        _conversion(here, scope),
    ]


def _health(scope: Scope, touching: list[Incident], *, is_judged: bool) -> Card:
    if not touching and not is_judged:
        return Card("Health", "–", "nothing judged yet", Severity.NONE)
    open_now = [i for i in touching if i.resolved_at is None]
    worst = max((i.severity for i in open_now), default=Severity.NONE)
    days = max(2, (scope.end - scope.start).days + 1)
    moments = [scope.end - timedelta(days=back) for back in range(days - 1, -1, -1)]
    trend = tuple(
        float(sum(i.opened_at <= m and (i.resolved_at is None or i.resolved_at > m) for i in touching)) for m in moments
    )
    count = len(open_now)
    said = f"{count} open incident{'' if count == 1 else 's'}"
    return Card("Health", "ok" if worst is Severity.NONE else worst.word, said, worst, trend)


def _of_service(service: pd.DataFrame, wanted: Measure) -> Card:
    known = service.dropna(subset=[wanted.column])
    if not len(known):
        return Card(wanted.title, "–", "no request log", Severity.NONE)
    value, requests = float(known[wanted.column].iloc[-1]), int(known["requests"].iloc[-1])
    severity = Severity.NONE
    is_judged = requests >= MIN_REQUESTS
    if is_judged and wanted.critical is not None and value > wanted.critical:
        severity = Severity.CRITICAL
    elif is_judged and wanted.warning is not None and value > wanted.warning:
        severity = Severity.WARNING
    step = "5 minutes" if len(known) > 1 and known["time"].diff().min() < timedelta(hours=1) else "last hour"
    note = f"n = {requests:,}, {step if is_judged else 'not judged'}"
    words = {"p95": f"{value:,.0f} ms", "rate": rate_words(value), "errors": f"{value:.2%}"}[wanted.column]
    return Card(wanted.title, words, note, severity, tuple(known[wanted.column].tail(_TREND).tolist()))


def rate_words(per_second: float) -> str:
    """Requests per second; per minute where that would round to nothing."""
    return f"{per_second:,.1f} / s" if per_second >= 1 or per_second == 0 else f"{per_second * 60:,.1f} / min"


def _conversion(here: World, scope: Scope) -> Card:
    table = series(here, whole(scope), "outcomes.conversion_rate", grain=Grain.DAY).dropna(subset=["value"])
    if not len(table):
        return Card("Conversion", "–", f"known after {scope.model.outcomes.mature_after.days} days", Severity.NONE)
    newest = table.iloc[-1]
    note = f"n = {int(newest['rows']):,}, " + ("matured" if newest["status"] == "ok" else "not judged")
    return Card("Conversion", f"{newest['value']:.1%}", note, Severity.NONE, tuple(table["value"].tolist()))


def _drifting(here: World, scope: Scope) -> Card:
    heat = drift_heatmap(here, scope)
    features = heat[heat["feature"] != SCORE]
    if not len(features):
        return Card("Drifting", "–", "no day judged yet", Severity.NONE)
    table = series(here, scope, "drift.features_drifted", grain=Grain.DAY)
    if not len(table):  # a version or segment apart: counted from its own PSI
        moved = features.assign(value=features["step"].isin(("warning", "critical")).astype(float))
        table = moved.groupby("end")["value"].sum().reset_index()
    total, count = int(features["feature"].nunique()), int(table["value"].iloc[-1])
    severity = Severity.WARNING if count else Severity.NONE
    return Card("Drifting", f"{count} of {total}", "features, newest day", severity, tuple(table["value"].tolist()))


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
