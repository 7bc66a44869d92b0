"""The first row of the overview: six numbers, each with its trend and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.ports import MetricQuery
from tiltmeter.views.dashboard.frame import COLOURS, ICONS
from tiltmeter.views.dashboard.queries import Card, series

if TYPE_CHECKING:
    import streamlit as st

    from tiltmeter.domain.alert import Incident
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope


def overview_cards(here: World, scope: Scope, open_now: list[Incident]) -> list[Card]:
    """Health, latency, throughput, errors, drift and conversion."""
    worst = max((i.severity for i in open_now), default=Severity.NONE)
    health = Card(
        "Health",
        "ok" if worst is Severity.NONE else worst.word,
        f"{len(open_now)} open incident{'s' if len(open_now) != 1 else ''}",
        worst,
    )
    return [
        health,
        _number(here, scope, "P95 latency", "serving.latency_ms.p95", "{:.0f} ms", Grain.HOUR, warning=500),
        _number(here, scope, "Throughput", "serving.requests_per_second", "{:.2f} / s", Grain.HOUR),
        _number(here, scope, "Error rate", "serving.error_rate", "{:.2%}", Grain.HOUR, critical=0.01),
        _drifting(here, scope),
        _number(here, scope, "Conversion", "outcomes.conversion_rate", "{:.1%}", Grain.DAY),
    ]


def _number(
    here: World, scope: Scope, title: str, metric: str, form: str, grain: Grain, *, warning: float | None = None,
    critical: float | None = None,
) -> Card:  # fmt: skip
    table = series(here, scope, metric, grain=grain)
    known = table.dropna(subset=["value"])
    if not len(known):
        return Card(title, "–", "no data", Severity.NONE)
    newest = known.iloc[-1]
    value = float(newest["value"])
    severity = Severity.NONE
    if critical is not None and value > critical:
        severity = Severity.CRITICAL
    elif warning is not None and value > warning:
        severity = Severity.WARNING
    note = f"n = {int(newest['rows']):,}" + (", not judged" if newest["status"] != "ok" else "")
    return Card(title, form.format(value), note, severity, tuple(float(v) for v in known["value"].tail(72)))


def _drifting(here: World, scope: Scope) -> Card:
    table = series(here, scope, "drift.features_drifted", grain=Grain.DAY)
    total = here.state.metrics(
        MetricQuery(
            model=scope.model.name, metric="drift.psi", grain=Grain.DAY, version="", segment=("", ""), newest_only=True
        )
    )
    if not len(table):
        return Card("Drifting", "–", "no day judged yet", Severity.NONE)
    count = int(table.iloc[-1]["value"])
    severity = Severity.WARNING if count else Severity.NONE
    trend = tuple(float(v) for v in table["value"])
    return Card("Drifting", f"{count} of {len(total)}", "features at warning or above", severity, trend)


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
        chart_type="line",
    )
