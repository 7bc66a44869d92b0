"""Overview: is the model healthy now?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard import cards, charts, queries
from tiltmeter.views.dashboard.frame import header, learning_note, plain, severity_badge, world

if TYPE_CHECKING:
    from tiltmeter.domain.alert import Incident


def _page() -> None:
    scope = header("Overview", "Is the model healthy now?")
    if scope is None:
        return
    here = world()
    open_now = queries.incidents(here, scope, open_only=True)
    for column, card in zip(st.columns(6), cards.overview_cards(here, scope, open_now), strict=True):
        cards.draw(column, card)
    heat = queries.drift_heatmap(here, scope)
    if not len(heat):
        learning_note(here, scope.model)
    left, right = st.columns(2)
    service = queries.service_series(here, scope)
    with left:
        st.markdown("**Latency**")
        if len(service):
            target = scope.model.latency_target.total_seconds() * 1000
            chart = charts.latency(service, target_ms=target)
            st.altair_chart(chart, width="stretch", alt="Latency percentiles over time with target and threshold")
        else:
            st.info("No request log connected: latency appears with captured requests.")
    with right:
        st.markdown("**Throughput and errors**")
        if len(service):
            st.altair_chart(charts.throughput(service), width="stretch", alt="Requests per second and failed requests")
        else:
            st.info("No traffic in this span.")
    left, right = st.columns([2, 1])
    with left:
        st.markdown("**Drift by feature and day**")
        if len(heat):
            st.altair_chart(charts.heatmap(heat), width="stretch", alt="PSI of the 15 features that moved most, by day")
    with right:
        _incidents(scope, open_now)


def _incidents(scope: queries.Scope, open_now: list[Incident]) -> None:
    st.markdown("**Incidents**")
    recent = queries.incidents(world(), scope, open_only=False)
    if not recent:
        st.success("Nothing fired in this span.", icon=None)
    for incident in (open_now or recent)[:8]:
        state = "" if incident in open_now else " · resolved"
        said = severity_badge(incident.severity if incident in open_now else Severity.NONE, incident.peak.word + state)
        st.markdown(
            f"{said} {plain(incident.title)}  \n:gray[since {incident.opened_at:%a %d %b %H:%M} UTC · {incident.id}]"
        )
    if not open_now and recent:
        st.caption("Nothing is open; these are the latest.")


_page()
