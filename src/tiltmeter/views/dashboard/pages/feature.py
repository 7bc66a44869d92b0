"""Feature: how did this one change?"""

from __future__ import annotations

import streamlit as st

from tiltmeter.domain.window import Grain
from tiltmeter.views.dashboard import charts, queries
from tiltmeter.views.dashboard.frame import header, learning_note, plain, world


def _page() -> None:
    scope = header("Feature", "How did this one change, since when, and how much?")
    if scope is None:
        return
    here = world()
    names = queries.features_of(here, scope)
    if not names:
        learning_note(here, scope.model)
        return
    asked = st.query_params.get("f", names[0])
    feature = st.selectbox("Feature (most moved first)", names, index=names.index(asked) if asked in names else 0)
    st.query_params["f"] = feature
    _numbers(scope, feature)
    left, right = st.columns([3, 2])
    with left:
        _distribution(scope, feature)
    with right:
        st.markdown("**PSI by day**")
        table = queries.series(here, scope, "drift.psi", grain=Grain.DAY, feature=feature)
        if len(table):
            fired = queries.fired_moments(here, scope, feature)
            chart = charts.metric_line(table, title="PSI", thresholds={"warning": 0.25, "critical": 0.5}, marks=fired)
            st.altair_chart(chart, width="stretch", alt=f"PSI by day of {feature} with both thresholds")
        else:
            st.info("No day was judged in this span.")
    _history(scope, feature)


def _numbers(scope: queries.Scope, feature: str) -> None:
    facts = queries.feature_facts(world(), scope, feature)
    for column, (title, value, note) in zip(st.columns(6), facts, strict=True):
        column.metric(title, value, delta=note, delta_color="off", delta_arrow="off", border=True, height="stretch")


def _distribution(scope: queries.Scope, feature: str) -> None:
    found = queries.feature_profiles(world(), scope, feature)
    st.markdown("**Baseline (grey) against the shown span (blue)**")
    if found is None or (before := found[1]) is None:
        learning_note(world(), scope.model)
        return
    reference, _, now = found
    table = queries.distribution(reference, feature, before, now)
    if not len(table):
        st.info("Free text and identifiers have no distribution; missing and distinct values are watched.")
    elif table["right"].any():
        st.altair_chart(charts.overlay(table, title=plain(feature)), width="stretch", alt=f"Distribution of {feature}")
    else:
        st.altair_chart(charts.paired_bars(table), width="stretch", alt=f"Levels of {feature}")
    rows_now = now.rows if now else 0
    st.caption(f"baseline {plain(reference.name)}: n = {before.rows:,} · shown span: n = {rows_now:,}")


def _history(scope: queries.Scope, feature: str) -> None:
    panels = (
        ("Missing share", "features.missing_share"),
        ("Mean", "features.mean"),
        ("Distinct values", "features.distinct"),
    )
    for column, (title, metric) in zip(st.columns(3), panels, strict=True):
        table = queries.series(world(), scope, metric, grain=Grain.HOUR, feature=feature)
        with column:
            st.markdown(f"**{title} by hour**")
            if len(table.dropna(subset=["value"])):
                chart = charts.metric_line(table, title=title, thresholds={})
                st.altair_chart(chart, width="stretch", alt=f"{title} of {feature} by hour")
            else:
                st.caption("does not apply to this feature")


_page()
