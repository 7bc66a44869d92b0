"""Overview: is the model healthy now?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard import cards, charts, jobs, queries, traffic
from tiltmeter.views.dashboard.frame import ICONS, PAGES_FOLDER, badge, header, learning_note, plain, world

if TYPE_CHECKING:
    from tiltmeter.domain.alert import Incident

SHOWN_INCIDENTS = 8


def _page() -> None:
    scope = header("Overview", "Is the model healthy now?")
    if scope is None:
        return
    here = world()
    touching = queries.incidents(here, scope, open_only=False)
    heat = queries.drift_heatmap(here, scope)
    _verdict(scope, [i for i in touching if i.resolved_at is None], has_drift=len(heat) > 0)
    grid = st.grid(6, min_column_width=150)
    for card in cards.overview_cards(here, scope, touching):
        cards.draw(grid, card)
    _live(scope)
    if not len(heat) and here.baselines.judging(scope.model, scope.window) is None:
        learning_note(here, scope.model)
    _service(scope)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        _drift(scope)
    with right:
        _incidents(touching)
        st.page_link(PAGES_FOLDER / "incidents.py", label="All incidents →")
        jobs.strip(here, scope)


def _verdict(scope: queries.Scope, open_now: list[Incident], *, has_drift: bool) -> None:
    worst = max((i.severity for i in open_now), default=Severity.NONE)
    first = next((i for i in open_now if i.severity is worst), None)
    with st.container(key=f"verdict-{worst.word}"):
        if first is not None:
            others = f", and {len(open_now) - 1} more open" if len(open_now) > 1 else ""
            with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                st.markdown(
                    f"{badge(worst)} · **{plain(first.title)}** · since {first.opened_at:%a %d %b %H:%M} UTC{others}",
                    width="content",
                )
                st.page_link(PAGES_FOLDER / "incident.py", label="Open the incident →", query_params={"id": first.id})
        elif has_drift:
            st.markdown(f"{badge(Severity.NONE, 'Healthy')} · nothing is open, as of {scope.end:%a %d %b %H:%M} UTC")
        else:
            st.markdown(f"{badge(Severity.NONE, 'No verdict yet')} · no day was compared with a baseline in this span")


@st.fragment(run_every="10s")  # type: ignore[untyped-decorator]
def _live(scope: queries.Scope) -> None:
    now = traffic.live_numbers(world(), scope)
    if not now.requests:
        st.caption(f"Last 5 minutes: no requests · {now.at:%H:%M:%S} UTC")
        return
    p95 = f"P95 {now.p95:,.0f} ms" if now.p95 is not None else "no latency"
    errors = f"{now.errors:.2%} failed" if now.errors is not None else ""
    st.caption(
        f"Last 5 minutes: **{now.rate:,.1f} requests / s** · **{p95}** · **{errors}** · n = {now.requests:,} · "
        f"{now.at:%H:%M:%S} UTC, every 10 s"
    )


def _service(scope: queries.Scope) -> None:
    service = traffic.service_series(world(), scope)
    marks = queries.alerts_fired(world(), scope, metrics="serving.")
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Latency**")
        if len(service.dropna(subset=["p95"])):
            target = scope.model.latency_target.total_seconds() * 1000
            chart = charts.latency(service, target_ms=target, marks=marks)
            st.altair_chart(chart, width="stretch", alt="Latency percentiles over time with target and threshold")
        else:
            st.info("No request log connected: latency appears with captured requests.")
    with right:
        st.markdown("**Throughput and errors**")
        if len(service):
            chart = charts.throughput(service, marks=marks)
            st.altair_chart(chart, width="stretch", alt="Requests per second and failed requests over time")
        else:
            st.info("No request log connected: throughput appears with captured requests.")


def _drift(scope: queries.Scope) -> None:
    heat = queries.drift_heatmap(world(), scope)
    shown = min(15, int(heat["feature"].nunique()) if len(heat) else 0)
    st.markdown("**Drift (PSI) by feature and day**")
    st.caption(
        f"The {shown} that moved most · watch > 0.1, warning > 0.25, critical > 0.5 · "
        f"a click opens the feature"
    )  # fmt: skip
    if not len(heat):
        st.info("No day was judged in this span.")
        return
    chosen = st.altair_chart(
        charts.heatmap(heat, limit=shown), width="stretch", key="drift-heatmap", on_select="rerun",
        selection_mode="picked", alt="PSI of the features that moved most, by day",
    )  # fmt: skip
    picked = chosen.get("selection", {}).get("picked", [])
    if picked:
        st.switch_page(PAGES_FOLDER / "feature.py", query_params={"f": str(picked[0]["feature"])})


def _incidents(touching: list[Incident]) -> None:
    open_now = [i for i in touching if i.resolved_at is None]
    st.markdown("**Incidents**")
    if not touching:
        st.caption("Nothing fired in this span.")
    for incident in (open_now + [i for i in touching if i.resolved_at is not None])[:SHOWN_INCIDENTS]:
        is_open = incident.resolved_at is None
        severity = incident.severity if is_open else incident.peak
        words = severity.word if is_open else f"{severity.word}, resolved"
        said = badge(severity, words) if is_open else f":gray[{ICONS[severity]} {words}]"
        st.markdown(f"{said} {plain(incident.title)}  \n:gray[since {incident.opened_at:%a %d %b %H:%M} UTC]")


_page()
