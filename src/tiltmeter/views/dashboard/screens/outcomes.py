"""Outcomes: does the model earn its keep?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.alerting.limits import named
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.cohort_weeks import scored_words
from tiltmeter.monitors.deciles import LIFT, PRECISION_AT_K, RECALL_AT_K, left_out
from tiltmeter.views.dashboard import basis, charts, cohorts, pictures, queries
from tiltmeter.views.dashboard.conversion_verdict import conversion_standing, open_incidents
from tiltmeter.views.dashboard.frame import PAGES_FOLDER, badge, header, plain
from tiltmeter.views.dashboard.installed import world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.metric import Metric

_REVENUE = "outcomes.revenue_per_lead"
_NUMBERS = (
    ("Conversion", "outcomes.conversion_rate", "{:.1%}"),
    ("Precision", "outcomes.precision", "{:.1%}"),
    ("Recall", "outcomes.recall", "{:.1%}"),
    ("AUC", "outcomes.auc", "{:.3f}"),
    ("Calibration", "outcomes.calibration", "{:.2f}"),
    ("Revenue per lead", _REVENUE, "{:,.2f}"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One chart over the weekly cohorts."""

    title: str
    metric: str
    form: str = ""
    limits: Mapping[str, float] | None = None
    from_zero: bool = False


_LINES = (
    Line("Conversion rate", cohorts.RATE, ".1%"),
    Line("Revenue per lead", _REVENUE, from_zero=True),
    Line("Precision", cohorts.PRECISION, ".1%"),
    Line("Recall", "outcomes.recall", ".1%"),
    Line("Lift of the best tenth (1 is chance)", LIFT, ".2~f", {"chance": 1.0}),
    Line("Calibration (1 is perfect)", "outcomes.calibration", ".2~f", {"perfect": 1.0}),
    Line("AUC (0.5 is chance)", "outcomes.auc", ".2~f", {"chance": 0.5}),
    Line("Brier score (low is good)", "outcomes.brier", ".3~f", from_zero=True),
)
_AT_K = (
    (PRECISION_AT_K, "Precision at k", "Of the best tenth by score, the share that became customers; n leads."),
    (RECALL_AT_K, "Recall at k", "Of all customers, the share that stood in the best tenth; n customers."),
)
_IN_A_ROW = 4
_MOST_INCIDENTS = 3
_FEWEST_GROUPS = 2
"""One group of equal scores shows nothing."""


def _page() -> None:
    scope = header("Outcomes", "Do predictions become customers and revenue?")
    if scope is None:
        return
    found = cohorts.cohorts(world(), scope)
    if scope != queries.whole(scope) and found.rate is None:
        what = f"version {scope.version}" if scope.version else " = ".join(scope.segment)
        st.caption(f"Outcomes are not kept of {plain(what)} apart: these are all leads of the model.")
        scope = queries.whole(scope)
        found = cohorts.cohorts(world(), scope)
    if found.rate is None:
        _open_incidents(scope)
        _waiting(scope, found.untold)
        return
    _verdict(scope, found.rate, found.earlier.get(cohorts.RATE))
    _numbers(scope, found)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        _funnel(scope, found)
    with right:
        _deciles(found)
    _weeks(scope)
    for start in range(0, len(_LINES), _IN_A_ROW):
        lines = _LINES[start : start + _IN_A_ROW]
        for column, line in zip(st.columns(_IN_A_ROW, gap="medium"), lines, strict=True):
            with column:
                _line(scope, line)
    _segments(scope)
    clock = found.newest.get("outcomes.observed_to_expected_z")
    if clock is not None and clock.value is None:
        why = clock.why_missing or "too little history"
        st.caption(f"Observed against expected conversions: not judged yet, {plain(why)}.")


def _waiting(scope: queries.Scope, untold: int) -> None:
    settings = scope.model.outcomes
    lacking = f"No outcome was ever reported, and {untold:,} leads are old enough to have one. "
    st.info(
        (lacking if untold else "No matured leads in this span. ")
        + f"A lead counts {settings.mature_after.days} days after it was scored, in weekly "
        f"cohorts: the first numbers come {settings.mature_after.days + 7} days after the first prediction. "
        "Report outcomes with `tiltmeter outcomes import FILE`, `record_outcome()` or POST /api/v1/outcomes."
    )


def _verdict(scope: queries.Scope, now: Metric, before: Metric | None) -> None:
    """Did leads get worse? What the rules say, what is open, and the newest cohort beside the one a week earlier."""
    stands = conversion_standing(world(), scope, now, before)
    with st.container(key=f"verdict-{stands.severity.word}"):
        st.markdown(f"{badge(stands.severity, stands.title)} · {stands.words}")
    _open_incidents(scope)


def _open_incidents(scope: queries.Scope) -> None:
    """Incidents about outcomes that are open, whatever the newest cohort says."""
    for incident in open_incidents(world(), scope)[:_MOST_INCIDENTS]:
        st.page_link(
            PAGES_FOLDER / "incident.py", query_params={"id": incident.id},
            label=f"{badge(incident.severity)} · {plain(incident.title)} · "
            f"since {incident.opened_at:%a %d %b %H:%M} UTC · Open the incident →",
        )  # fmt: skip


def _numbers(scope: queries.Scope, found: cohorts.Cohorts) -> None:
    rate = found.newest[cohorts.RATE]
    judged = "" if str(rate.status) == "ok" else ", not judged"
    st.caption(
        f"Newest matured cohort: leads scored {scored_words(rate.window, world().zone)}, "
        f"n = {rate.n_current or 0:,}{judged} · a score from {scope.model.threshold:g} predicts a customer"
    )
    grid = st.grid(6, min_column_width=150)
    for title, name, form in _NUMBERS:
        metric, earlier = found.newest.get(name), found.earlier.get(name)
        table = queries.series(world(), scope, name, grain=Grain.DAY).dropna(subset=["value"])
        if metric is None or metric.value is None:
            note, value = (metric.why_missing if metric else "") or "no data", "–"
        else:
            unit = f" {scope.model.outcomes.currency}" if name == _REVENUE else ""
            value = form.format(metric.value) + unit
            before = None if earlier is None else earlier.value
            note = "no cohort a week earlier" if before is None else f"a week earlier {form.format(before)}"
        grid.metric(
            title, value, delta=note, delta_color="off", delta_arrow="off", border=True, height="stretch",
            chart_data=table["value"].tolist() if len(table) > 1 else None, chart_type="area",
        )  # fmt: skip
    revenue = found.newest.get(_REVENUE)
    if revenue is not None and (missing := left_out(revenue.details)):
        st.caption(f"Revenue is in {scope.model.outcomes.currency} alone: {plain(missing)}.")


def _funnel(scope: queries.Scope, found: cohorts.Cohorts) -> None:
    st.markdown("**From lead to customer**")
    table = cohorts.funnel_table(found, scope.model.threshold)
    n = found.newest[cohorts.RATE].n_current or 0
    st.altair_chart(
        pictures.funnel(table), width="stretch", alt=f"Leads, predicted customers, customers, both; n = {n:,}"
    )
    if not found.earlier:
        st.caption("There is no cohort a week earlier to hold the steps against yet.")


def _deciles(found: cohorts.Cohorts) -> None:
    st.markdown("**Conversion by score: is a higher score worth more, and as much as it promises?**")
    table = cohorts.decile_table(found)
    if len(table) < _FEWEST_GROUPS:
        st.caption("The scores of this cohort are too alike to part it into groups.")
        return
    st.altair_chart(
        pictures.deciles(table), width="stretch", alt="Conversion and promised conversion by tenth of score"
    )
    lift, held = found.newest[LIFT].value, int(table["kept"].sum())
    said = f"{held} of {len(table)} groups kept what their scores promised (it lies in the 95 % interval)."
    st.caption(f"The highest scores converted {lift:.1f} times as often as all leads; {said}" if lift else said)


def _weeks(scope: queries.Scope) -> None:
    """Who is called first: of the best tenth how many bought, and how many of all buyers were among them."""
    table = cohorts.week_table(world(), scope)
    if not len(table.dropna(subset=["value"])):
        return
    for column, (metric, title, meaning) in zip(st.columns(2, gap="medium"), _AT_K, strict=True):
        with column:
            st.markdown(f"**{title}**")
            mine = table[table["metric"] == metric]
            said = f"{title} by week of scoring, {basis.window_words(scope.window)}"
            st.altair_chart(pictures.weeks(mine, title=title), width="stretch", alt=said)
            st.caption(meaning)
    st.caption(
        "k is the tenth of each week's leads with the highest scores; equal scores stay together. Lines are 95 % "
        f"intervals. Hatched weeks are not {scope.model.outcomes.mature_after.days} days old yet."
    )


def _line(scope: queries.Scope, line: Line) -> None:
    st.markdown(f"**{line.title}**")
    table = queries.series(world(), scope, line.metric, grain=Grain.DAY)
    if not len(table.dropna(subset=["value"])):
        st.caption("Cannot be computed on these cohorts.")
        return
    limits = {**(line.limits or {}), **named(queries.limits_for(world(), scope, line.metric))}
    chart = charts.metric_line(
        table, title="", form=line.form, limits=limits, height=150, band=True, from_zero=line.from_zero,
        write=basis.write_of(line.metric),
        marks=queries.marks(world(), scope, metrics="outcomes."), maturing_until=pd.Timestamp(scope.end),
    )  # fmt: skip
    said = f"{basis.newest_words(table, 'cohort')}, {basis.rule_words(world(), scope, line.metric)}"
    st.altair_chart(chart, width="stretch", alt=f"{line.title} by weekly cohort: {said}")
    st.caption(said)


def _segments(scope: queries.Scope) -> None:
    table = cohorts.segment_table(world(), scope)
    if not len(table):
        return
    versions = " of all versions" if scope.version else ""
    st.markdown(f"**Segments{versions}, lowest against their week before first**")
    shares = 100 * table[["conversion", "before"]].astype(float)
    st.dataframe(
        table.assign(conversion=shares["conversion"], before=shares["before"]), hide_index=True, width="stretch",
        placeholder="–", alt="Outcomes by segment",
        column_config={
            "segment": "Segment",
            "rows": st.column_config.NumberColumn("Leads", format="localized"),
            "conversion": st.column_config.NumberColumn("Conversion", format="%.1f%%"),
            "before": st.column_config.NumberColumn("A week earlier", format="%.1f%%"),
            "lift": st.column_config.NumberColumn("Against all leads", format="%.2f ×"),
            "revenue": st.column_config.NumberColumn("Revenue per lead", format="%.2f"),
            "psi": st.column_config.NumberColumn("Score PSI, newest day", format="%.3f"),
            "psi_before": st.column_config.NumberColumn("A week earlier", format="%.3f"),
        },
    )  # fmt: skip
    gone = table.attrs[cohorts.LEFT_OUT]
    st.caption(
        f"Leads scored {table.attrs[cohorts.SCORED]}{versions}"
        + (f"; {gone} segment{'' if gone == 1 else 's'} without leads in that week left out. " if gone else ". ")
        + "Score PSI holds a segment against the baseline of all leads: a segment may differ from it by its nature. "
        "What counts is whether it differs more than a week earlier."
    )


_page()
