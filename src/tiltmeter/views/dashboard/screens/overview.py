"""Overview: is the model healthy now?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.alerting.limits import PSI, psi_words
from tiltmeter.views.dashboard import cards, charts, jobs, pictures, queries, traffic
from tiltmeter.views.dashboard.basis import baseline_words, failure_words, latency_words, window_words
from tiltmeter.views.dashboard.frame import PAGES_FOLDER, header, learning_note, live
from tiltmeter.views.dashboard.installed import world
from tiltmeter.views.dashboard.verdict import incident_list, verdict

if TYPE_CHECKING:
    from tiltmeter.views.dashboard.queries import Scope


def _page() -> None:
    scope = header("Overview", "Is the model healthy now?")
    if scope is None:
        return
    here = world()
    _now(scope)
    if not len(queries.drift_heatmap(here, scope)) and here.baselines.bins(scope.model, scope.end) is None:
        learning_note(here, scope.model)
    _service(scope)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        _drift(scope)
    with right:
        incident_list(queries.incidents(here, scope, open_only=False))
        jobs.strip(here, scope)


@live
def _now(scope: Scope) -> None:
    here = world()
    touching = queries.incidents(here, scope, open_only=False)
    verdict(
        here, scope, queries.open_ones(here, scope, touching), has_drift=len(queries.drift_heatmap(here, scope)) > 0
    )
    grid = st.grid(6, min_column_width=150)
    for card in cards.overview_cards(here, scope, touching):
        cards.draw(grid, card)
    now = traffic.live_numbers(here, scope)
    if not now.requests:
        what = "no requests" if scope.model.source is None else "no request log connected"
        st.caption(f"Last 5 minutes: {what} · {now.at:%H:%M:%S} UTC, every 10 s")
        return
    p95 = f"P95 {now.p95:,.0f} ms" if now.p95 is not None else "no latency"
    errors = f"{now.errors:.2%} failed" if now.errors is not None else "no failures known"
    st.caption(
        f"Last 5 minutes: **{cards.rate_words(now.rate)}** · **{p95}** · **{errors}** · n = {now.requests:,} · "
        f"{now.at:%H:%M:%S} UTC, every 10 s"
    )


def _service(scope: queries.Scope) -> None:
    service = traffic.service_series(world(), scope)
    marks = queries.marks(world(), scope, metrics="serving.")
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Latency**")
        if len(service.dropna(subset=["p95"])):
            target = scope.model.latency_target.total_seconds() * 1000
            limits = traffic.latency_limits(world(), scope, service)
            chart = charts.latency(service, target_ms=target, limits=limits, marks=marks)
            said = latency_words(world(), scope, service)
            st.altair_chart(chart, width="stretch", alt=f"Latency percentiles over time: {said}")
            st.caption(said)
        else:
            st.info("No request log connected: latency appears with captured requests.")
    with right:
        st.markdown("**Throughput and errors**")
        if len(service):
            chart = charts.throughput(service, marks=marks)
            said = failure_words(world(), scope, service)
            st.altair_chart(chart, width="stretch", alt=f"Requests per second and failed requests over time: {said}")
            st.caption(said)
        else:
            st.info("No request log connected: throughput appears with captured requests.")


def _drift(scope: queries.Scope) -> None:
    heat = queries.drift_heatmap(world(), scope)
    shown = min(15, int(heat["feature"].nunique()))
    st.markdown("**Drift (PSI) by feature and day**")
    if not len(heat):
        st.info("No day was judged in this span.")
        return
    newest = heat[heat["end"] == heat["end"].max()]
    start, end = newest[["start", "end"]].iloc[0]
    baseline = baseline_words(world(), scope, start.to_pydatetime(), end.to_pydatetime())
    st.caption(
        f"The {shown} that moved most · {window_words(scope.window)} · newest day n = {int(newest['rows'].max()):,} · "
        f"{baseline} · {psi_words(queries.limits_for(world(), scope, PSI, feature='any'))} · "
        f"a click opens the feature"
    )  # fmt: skip
    chosen = st.altair_chart(
        pictures.heatmap(heat, limit=shown), width="stretch", key="drift-heatmap", on_select="rerun",
        selection_mode="picked",
        alt=f"PSI of the features that moved most by day: "
        f"{psi_words(queries.limits_for(world(), scope, PSI, feature='any'))}",
    )  # fmt: skip
    picked = chosen.get("selection", {}).get("picked", [])
    if picked:
        st.switch_page(PAGES_FOLDER / "feature.py", query_params={"f": str(picked[0]["feature"])})


_page()
