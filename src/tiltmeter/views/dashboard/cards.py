"""The first row of the overview: six numbers, each with its trend and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.views.dashboard.frame import COLOURS, ICONS
from tiltmeter.views.dashboard.queries import SCORE, drift_heatmap, series

if TYPE_CHECKING:
    import streamlit as st

    from tiltmeter.domain.alert import Incident
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope

_TREND = 72
"""Newest values of a trend line: three days of hours."""


@dataclass(frozen=True, slots=True)
class Card:
    """One number of the first row: its words, its trend and how it stands."""

    title: str
    value: str
    note: str
    severity: Severity
    trend: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """How a stored metric becomes a card."""

    title: str
    metric: str
    form: str
    grain: Grain = Grain.HOUR
    warning: float | None = None
    critical: float | None = None
    absent: str = "no request log"


def overview_cards(here: World, scope: Scope, touching: list[Incident]) -> list[Card]:
    """Health, latency, throughput, errors, drift and conversion.

    Args:
        here: what is read.
        scope: what is shown.
        touching: incidents that touch the shown span, open ones included.
    """
    mature = scope.model.outcomes.mature_after.days
    return [
        _health(scope, touching),
        _number(here, scope, Measure("P95 latency", "serving.latency_ms.p95", "{:,.0f} ms", warning=500)),
        _number(here, scope, Measure("Throughput", "serving.requests_per_second", "{:,.2f} / s")),
        _number(here, scope, Measure("Error rate", "serving.error_rate", "{:.2%}", critical=0.01)),
        _drifting(here, scope),
        _number(
            here,
            scope,
            Measure(
                "Conversion", "outcomes.conversion_rate", "{:.1%}", grain=Grain.DAY,
                absent=f"known after {mature} days",
            ),
        ),
    ]  # fmt: skip


def _health(scope: Scope, touching: list[Incident]) -> Card:
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


def _number(here: World, scope: Scope, wanted: Measure) -> Card:
    table = series(here, scope, wanted.metric, grain=wanted.grain)
    known = table.dropna(subset=["value"])
    if not len(known):
        return Card(wanted.title, "–", wanted.absent, Severity.NONE)
    newest = known.iloc[-1]
    value = float(newest["value"])
    severity = Severity.NONE
    if wanted.critical is not None and value > wanted.critical:
        severity = Severity.CRITICAL
    elif wanted.warning is not None and value > wanted.warning:
        severity = Severity.WARNING
    span = "last hour" if wanted.grain is Grain.HOUR else "matured"
    note = f"n = {int(newest['rows']):,}, " + ("not judged" if newest["status"] != "ok" else span)
    return Card(wanted.title, wanted.form.format(value), note, severity, tuple(known["value"].tail(_TREND).tolist()))


def _drifting(here: World, scope: Scope) -> Card:
    table = series(here, scope, "drift.features_drifted", grain=Grain.DAY)
    if not len(table):
        return Card("Drifting", "–", "no day judged yet", Severity.NONE)
    heat = drift_heatmap(here, scope)
    total = int(heat.loc[heat["feature"] != SCORE, "feature"].nunique())
    count = int(table.iloc[-1]["value"])
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
        chart_data=list(card.trend) if len(card.trend) > 1 else None,
        chart_type="area",
    )
