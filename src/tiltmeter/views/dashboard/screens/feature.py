"""Feature: how did this one change?"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.domain.window import Grain, Window
from tiltmeter.drawing.style import STEPS as PSI_STEPS
from tiltmeter.views.dashboard import charts, queries
from tiltmeter.views.dashboard.distributions import distribution, sides
from tiltmeter.views.dashboard.frame import choice, header, learning_note, plain, world

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

WHOLE = "whole span"
NUMERIC_PANELS = (
    ("Missing", "features.missing_share", ".1%"),
    ("Mean", "features.mean", ""),
    ("Outliers (IQR)", "features.outlier_share_iqr", ".1%"),
)
SCORE_PANELS = (
    ("Mean", "features.mean", ""),
    ("Standard deviation", "features.std", ""),
    ("Median", "features.q50", ""),
)
LEVEL_PANELS = (
    ("Missing", "features.missing_share", ".1%"),
    ("Rows in new levels", "features.new_level_share", ".1%"),
    ("Distinct values", "features.distinct", ""),
)


def _page() -> None:
    scope = header("Feature", "How did this one change, since when, how much?")
    if scope is None:
        return
    here = world()
    names = queries.features_of(here, scope)
    if not names:
        learning_note(here, scope.model)
        return
    heat = queries.drift_heatmap(here, scope)
    with st.container(horizontal=True, gap="small"):
        feature = choice("Feature (most moved first)", "f", names, width=330)
        day = _day(heat[heat["feature"] == feature])
    window = _window(scope, heat, day)
    _numbers(scope, feature, window)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _distribution(scope, feature, window, day)
    with right:
        _drift(scope, feature)
    _history(scope, feature)


def _day(mine: pd.DataFrame) -> str:
    if not len(mine):
        return WHOLE
    days = mine.sort_values("end", ascending=False)
    judged = mine[mine["step"] != "not judged"]
    moved = judged[judged["psi"] > PSI_STEPS[0]]
    worst = (moved.sort_values("psi", ascending=False) if len(moved) else days)["day"].iloc[0]
    return choice("Shown against the baseline", "day", [*days["day"], WHOLE], default=str(worst), width=200)


def _window(scope: queries.Scope, heat: pd.DataFrame, day: str) -> Window:
    if day == WHOLE or not len(heat):
        return scope.window
    end: datetime = heat.loc[heat["day"] == day, "end"].iloc[0].to_pydatetime()
    return Window(end - timedelta(days=1), end, Grain.DAY)


def _numbers(scope: queries.Scope, feature: str, window: Window) -> None:
    until = queries.Scope(scope.place, scope.model, scope.version, scope.segment, scope.start, window.end)
    grid = st.grid(6, min_column_width=150)
    for fact in queries.feature_facts(world(), until, feature):
        if feature == queries.SCORE and fact.value == "–":
            continue  # an hour and a day keep fewer numbers of the score
        grid.metric(
            fact.title, fact.value, delta=fact.note, delta_color="off", delta_arrow="off", border=True, height="stretch"
        )


def _distribution(scope: queries.Scope, feature: str, window: Window, day: str) -> None:
    st.markdown(f"**Baseline (grey) and {'the whole span' if day == WHOLE else day} (blue)**")
    found = sides(world(), scope, window)
    name = (
        found[0].bins.score if found and feature == queries.SCORE and feature not in found[0].bins.features else feature
    )
    before = found[0].profile.features.get(name) if found else None
    if found is None or before is None:
        learning_note(world(), scope.model)
        return
    reference, current = found
    now = current.features.get(name) if current else None
    table = distribution(reference, name, before, now)
    if not len(table):
        st.info("Free text and identifiers have no distribution; missing and distinct values are watched.")
    elif table["right"].any() or table["left"].any():
        st.altair_chart(charts.overlay(table, title=feature), width="stretch", alt=f"Distribution of {feature}")
    else:
        st.altair_chart(charts.paired_bars(table), width="stretch", alt=f"Levels of {feature}")
    rows_now = f"{now.rows:,}" if now else "0, no stored profile of this span"
    st.caption(f"baseline {plain(reference.name)}: n = {before.rows:,} · shown: n = {rows_now}")


def _drift(scope: queries.Scope, feature: str) -> None:
    st.markdown("**PSI by day**")
    table = queries.series(world(), scope, "drift.psi", grain=Grain.DAY, feature=feature)
    if not len(table):
        st.info("No day was judged in this span.")
        return
    fired = queries.alerts_fired(world(), scope, feature=feature)
    chart = charts.metric_line(
        table, title="PSI", limits={"warning": 0.25, "critical": 0.5}, marks=fired, form=".2~f", height=250
    )
    st.altair_chart(chart, width="stretch", alt=f"PSI by day of {feature} with both thresholds")
    st.caption(f"dashed red: an alert fired ({len(fired)})" if len(fired) else "no alert of this feature in the span")


def _history(scope: queries.Scope, feature: str) -> None:
    here = world()
    if feature == queries.SCORE:
        panels = SCORE_PANELS
    elif len(queries.series(here, scope, "features.mean", grain=Grain.HOUR, feature=feature)) > 0:
        panels = NUMERIC_PANELS
    else:
        panels = LEVEL_PANELS
    for column, (title, metric, form) in zip(st.columns(3, gap="medium"), panels, strict=True):
        table = queries.series(here, scope, metric, grain=Grain.HOUR, feature=feature)
        with column:
            st.markdown(f"**{title} by hour**")
            if len(table.dropna(subset=["value"])):
                chart = charts.metric_line(table, title=title, form=form, height=170)
                st.altair_chart(chart, width="stretch", alt=f"{title} of {feature} by hour")
            else:
                st.caption("No hourly numbers here: hours are judged for all versions and segments together.")


_page()
