"""Outcomes: does the model earn its keep?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.domain.window import Grain
from tiltmeter.views.dashboard import charts, queries
from tiltmeter.views.dashboard.frame import header, world

if TYPE_CHECKING:
    from tiltmeter.domain.metric import Metric

_NUMBERS = (
    ("Conversion", "outcomes.conversion_rate", "{:.1%}"),
    ("Precision", "outcomes.precision", "{:.1%}"),
    ("Recall", "outcomes.recall", "{:.1%}"),
    ("AUC", "outcomes.auc", "{:.3f}"),
    ("Calibration", "outcomes.calibration", "{:.2f}"),
    ("Revenue per lead", "outcomes.revenue_per_lead", "{:,.2f}"),
)
_LINES: tuple[tuple[str, str, str, dict[str, float]], ...] = (
    ("Conversion rate", "outcomes.conversion_rate", ".1%", {}),
    ("Precision", "outcomes.precision", ".1%", {}),
    ("Recall", "outcomes.recall", ".1%", {}),
    ("Revenue per lead", "outcomes.revenue_per_lead", "", {}),
    ("Calibration (1 is perfect)", "outcomes.calibration", ".2~f", {"perfect": 1.0}),
    ("Brier score (low is good)", "outcomes.brier", ".3~f", {}),
)


def _page() -> None:
    scope = header("Outcomes", "Do predictions become customers and revenue?")
    if scope is None:
        return
    found = {m.name: m for m in queries.newest(world(), scope, "outcomes.", grain=Grain.DAY)}
    rate = found.get("outcomes.conversion_rate")
    if rate is None or rate.value is None:
        _waiting(scope)
        return
    _numbers(scope, found)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        _funnel(scope, found)
    with right:
        _line(scope, *_LINES[0], height=230)
    for column, line in zip(st.columns(3, gap="medium"), _LINES[1:4], strict=True):
        with column:
            _line(scope, *line)
    for column, line in zip(st.columns(3, gap="medium"), _LINES[4:], strict=False):
        with column:
            _line(scope, *line)
    clock = found.get("outcomes.observed_to_expected_z")
    if clock is not None and clock.value is None:
        st.caption(f"Observed to expected conversions: not judged yet, {clock.why_missing or 'too little history'}.")


def _waiting(scope: queries.Scope) -> None:
    settings = scope.model.outcomes
    st.info(
        "No matured leads in this span. "
        f"A lead counts {settings.mature_after.days} days after it was scored, in weekly "
        f"cohorts: the first numbers come {settings.mature_after.days + 7} days after the first prediction. "
        "Report outcomes with `tiltmeter outcomes import FILE`, `record_outcome()` or POST /api/v1/outcomes."
    )


def _numbers(scope: queries.Scope, found: dict[str, Metric]) -> None:
    rate = found["outcomes.conversion_rate"]
    start, end = rate.window.start, rate.window.end - timedelta(seconds=1)
    judged = "" if str(rate.status) == "ok" else ", not judged"
    st.caption(
        f"Newest matured cohort: leads scored {start:%d %b} to {end:%d %b %Y}, n = {rate.n_current or 0:,}{judged} · "
        f"threshold {scope.model.threshold:g} · revenue in {scope.model.outcomes.currency}"
    )
    grid = st.grid(6, min_column_width=150)
    for title, name, form in _NUMBERS:
        metric = found.get(name)
        table = queries.series(world(), scope, name, grain=Grain.DAY).dropna(subset=["value"])
        if metric is None or metric.value is None:
            note, value = (metric.why_missing if metric else "") or "no data", "–"
        else:
            before = table["value"].iloc[-8] if len(table) >= 8 else None
            value = form.format(metric.value)
            note = "no cohort a week earlier" if before is None else f"a week earlier {form.format(before)}"
        grid.metric(
            title, value, delta=note, delta_color="off", delta_arrow="off", border=True, height="stretch",
            chart_data=table["value"].tolist() if len(table) > 1 else None, chart_type="area",
        )  # fmt: skip


def _funnel(scope: queries.Scope, found: dict[str, Metric]) -> None:
    st.markdown("**From lead to customer**")
    rate, precision, recall = (found.get(f"outcomes.{n}") for n in ("conversion_rate", "precision", "recall"))
    leads = rate.n_current or 0 if rate else 0
    customers = (rate.value or 0.0) * leads if rate else 0.0
    hits = (recall.value or 0.0) * customers if recall else 0.0
    flagged = hits / precision.value if precision and precision.value else 0.0
    table = pd.DataFrame(
        {
            "step": ["Leads scored", f"Predicted (≥ {scope.model.threshold:g})", "Customers", "Customers predicted"],
            "count": [float(leads), flagged, customers, hits],
        }
    )
    table["words"] = [f"{count:,.0f} ({count / max(leads, 1):.0%})" for count in table["count"]]
    st.altair_chart(charts.funnel(table), width="stretch", alt="Leads, predicted customers, customers, both")


def _line(
    scope: queries.Scope, title: str, metric: str, form: str, limits: dict[str, float], *, height: int = 170
) -> None:
    st.markdown(f"**{title}**")
    table = queries.series(world(), scope, metric, grain=Grain.DAY)
    if not len(table.dropna(subset=["value"])):
        st.caption("Cannot be computed on these cohorts.")
        return
    chart = charts.metric_line(table, title="", form=form, limits=limits, height=height, band=True)
    st.altair_chart(chart, width="stretch", alt=f"{title} by weekly cohort")


_page()
