"""The first sentence of the overview: how bad it is, why, since when, and whether somebody takes care."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard.frame import ICONS, PAGES_FOLDER, badge, is_old, plain
from tiltmeter.views.dashboard.queries import is_newest, severity_then

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.alert import Incident
    from tiltmeter.ports import World
    from tiltmeter.views.dashboard.queries import Scope

SHOWN_INCIDENTS = 5
"""As many as are as tall as the heatmap beside them."""


def verdict(here: World, scope: Scope, open_then: list[Incident], *, has_drift: bool) -> None:
    """One coloured line: the worst open incident, or that nothing is open; of a span in the past, as it ended.

    Args:
        here: what is read.
        scope: what is shown.
        open_then: incidents of the model that were open as the span ended.
        has_drift: whether any day of the span was compared with a baseline.
    """
    worst = max((severity_then(i) for i in open_then), default=Severity.NONE)
    first = next((i for i in open_then if severity_then(i) is worst), None)
    with st.container(key=f"verdict-{worst.word}"):
        if first is None:
            st.markdown(_without_incident(here, scope, has_drift=has_drift))
            return
        others = f", and {len(open_then) - 1} more" if len(open_then) > 1 else ""
        if not is_newest(here, scope):
            others += f", open at {scope.end:%a %d %b %H:%M} UTC"
        elif others:
            others += " open"
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(
                f"{badge(worst)} · **{plain(first.title)}** · since {first.opened_at:%a %d %b %H:%M} UTC{others}",
                width="content",
            )
            st.page_link(PAGES_FOLDER / "incident.py", label="Open the incident →", query_params={"id": first.id})
        st.caption(_background(here, first))


def _without_incident(here: World, scope: Scope, *, has_drift: bool) -> str:
    """Nothing open is health only where somebody looked, up to now."""
    end = f"{scope.end:%a %d %b %H:%M} UTC"
    is_past = not is_newest(here, scope)
    if not is_past and is_old(here, scope.end):
        return (
            f":orange[▲ **No verdict: data are old**] · nothing was judged since {end}: see that `tiltmeter serve` "
            f"runs; `tiltmeter doctor` looks at every part"
        )
    if not has_drift:
        return f"{badge(Severity.NONE, 'No verdict yet')} · no day was compared with a baseline in this span"
    if is_past:
        return f"{badge(Severity.NONE, 'Healthy then')} · nothing was open at {end}"
    return f"{badge(Severity.NONE, 'Healthy')} · nothing is open, as of {end}"


def _background(here: World, incident: Incident) -> str:
    parts = []
    if incident.cause:
        parts.append(f"Likely cause: {plain(incident.cause)}")
    if incident.resolved_at is not None:
        return " · ".join([*parts, f"resolved since, {incident.resolved_at:%a %d %b %H:%M} UTC"])
    silent_since = stale_since(here, incident)
    if silent_since is not None:
        parts.append(f"no data to judge it by since {silent_since:%a %d %b %H:%M} UTC, so it stays open as it was")
    who = f"{plain(incident.acknowledged_by)} takes care of it" if incident.acknowledged_by else "nobody has it yet"
    return " · ".join([*parts, who])


def stale_since(here: World, incident: Incident) -> datetime | None:
    """End of the last judged window of an incident whose open alerts all lack fresh data; None otherwise."""
    alerts = here.state.alerts(incident.model, open_only=True).values()
    firing = [a for a in alerts if a.incident == incident.id and a.state is AlertState.FIRING]
    if not firing or not all(alert.stale for alert in firing):
        return None
    return max((a.breached_at for a in firing if a.breached_at is not None), default=None)


def incident_list(touching: list[Incident]) -> None:
    """Open incidents first, then the newest; each leads to its page."""
    st.markdown("**Incidents**")
    if not touching:
        st.caption("Nothing fired in this span.")
    ordered = sorted(touching, key=lambda i: (i.resolved_at is not None, -i.severity if i.resolved_at is None else 0))
    for incident in ordered[:SHOWN_INCIDENTS]:
        is_open = incident.resolved_at is None
        severity = incident.severity if is_open else incident.peak
        mark = badge(severity, severity.word) if is_open else f":gray[{ICONS[severity]} {severity.word}, resolved]"
        with st.container(gap=None):
            st.page_link(
                PAGES_FOLDER / "incident.py", label=f"{mark} {plain(incident.title)}",
                query_params={"id": incident.id},
            )  # fmt: skip
            st.caption(f"since {incident.opened_at:%a %d %b %H:%M} UTC")
    st.page_link(PAGES_FOLDER / "incidents.py", label="All incidents →")
