"""Incidents: what fired, what is open, who takes care of it?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard import charts, queries
from tiltmeter.views.dashboard.basis import window_words
from tiltmeter.views.dashboard.frame import PAGES_FOLDER, badge, choice, header, is_old, learning_note
from tiltmeter.views.dashboard.incident_story import incident_table
from tiltmeter.views.dashboard.installed import world

if TYPE_CHECKING:
    from tiltmeter.domain.alert import Incident

MOST_UNSCROLLED = 15
SHOWN = ("all", "open", "warning and above", "info only")


def _page() -> None:
    scope = header("Incidents", "What fired, and who takes care?", selectors=("span",))
    if scope is None:
        return
    with st.container(horizontal=True):
        shown = choice("Shown", "shown", SHOWN, default="all", width=200)
    touching = queries.incidents(world(), scope, open_only=False)
    _counts(scope, touching)
    found = sorted((i for i in touching if _is_shown(i, shown)), key=lambda i: (i.resolved_at is not None, _order(i)))
    if not found:
        if not touching and queries.newest_moment(world(), scope.model) is None:
            learning_note(world(), scope.model)  # nothing can fire yet, which is not quiet
        else:
            st.info("Nothing of that kind in this span." if touching else "Nothing fired in this span: all is quiet.")
        _silences()
        return
    span = queries.read_span(world(), scope)
    table = incident_table(found, replace(scope, end=span.end), now=world().clock.now())
    said = f"n = {len(table):,}, {window_words(span)}"
    alt = f"Incidents over time by the worst they reached: {said}"
    st.altair_chart(charts.incident_times(table), width="stretch", alt=alt)
    st.caption(said)
    chosen = st.dataframe(
        table[["severity_shown", "state", "title", "opened", "lasted", "alerts", "by", "id"]],
        hide_index=True, width="stretch", height="auto" if len(table) < MOST_UNSCROLLED else 560, key="incident-table",
        on_select="rerun", selection_mode="single-row", alt="Incidents, open ones first",
        column_config={
            "severity_shown": "Worst",
            "state": "State",
            "title": st.column_config.TextColumn("What", width="large"),
            "opened": st.column_config.DatetimeColumn("Since (UTC)", format="ddd DD MMM HH:mm", timezone="UTC"),
            "lasted": "Lasted",
            "alerts": "Alerts",
            "by": "Acknowledged by",
            "id": "Id",
        },
    )  # fmt: skip
    st.caption("Choose a row for its time line, deliveries and actions.")
    rows = chosen.get("selection", {}).get("rows", [])
    if rows:
        st.switch_page(PAGES_FOLDER / "incident.py", query_params={"id": found[rows[0]].id})
    _silences()


def _order(incident: Incident) -> int:
    """Open ones by severity; resolved ones stay in the order of time."""
    return -incident.severity if incident.resolved_at is None else 0


def _counts(scope: queries.Scope, touching: list[Incident]) -> None:
    """How many are open, and whether somebody takes care; of a span in the past, how many were as it ended."""
    open_then = queries.open_ones(world(), scope, touching)
    worst = max((queries.severity_then(i) for i in open_then), default=Severity.NONE)
    is_past = not queries.is_newest(world(), scope)
    care = _still_open(open_then) if is_past else _care(open_then)
    peaks = [i.peak for i in touching]
    of_them = ", ".join(
        f"{count} {severity.word}"
        for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
        if (count := sum(peak is severity for peak in peaks))
    )
    with st.container(key=f"verdict-{worst.word}"):
        title = f"{len(open_then)} open" if open_then else "Nothing was open" if is_past else "Nothing is open"
        title += f" at {scope.end:%a %d %b %H:%M} UTC" if is_past else ""
        if not open_then and not is_past and is_old(world(), scope.end):
            title = f"Nothing was open at {scope.end:%a %d %b %H:%M} UTC, and nothing was judged since"
        st.markdown(f"{badge(worst, title)}{care} · {len(touching)} in this span{f': {of_them}' if of_them else ''}")


def _care(open_now: list[Incident]) -> str:
    unowned = sum(not i.acknowledged_by for i in open_now)
    if unowned:
        return ", nobody has it yet" if len(open_now) == 1 else f", {unowned} of them without anybody"
    return ", all taken care of" if open_now else ""


def _still_open(open_then: list[Incident]) -> str:
    still = sum(i.resolved_at is None for i in open_then)
    if not open_then:
        return ""
    return f", {still} of them to this day" if still else ", resolved since"


def _is_shown(incident: Incident, shown: str) -> bool:
    return {
        "open": incident.resolved_at is None,
        "warning and above": incident.peak >= Severity.WARNING,
        "info only": incident.peak <= Severity.INFO,
    }.get(shown, True)


def _silences() -> None:
    here = world()
    found = here.state.silences(here.clock.now())
    if not found:
        return
    st.markdown("**Silences**")
    st.dataframe(
        pd.DataFrame(
            {
                "id": [s.id for s in found],
                "what": [", ".join(f"{k} = {v}" for k, v in s.matchers.items()) for s in found],
                "until": pd.to_datetime([s.ends_at for s in found], utc=True),
                "by": [s.created_by for s in found],
                "reason": [s.reason for s in found],
            }
        ),
        hide_index=True, width="stretch", alt="Silences in force",
        column_config={
            "id": "Id", "what": "What is silent",
            "until": st.column_config.DatetimeColumn("Until (UTC)", format="ddd DD MMM HH:mm", timezone="UTC"),
            "by": "By", "reason": "Reason",
        },
    )  # fmt: skip


_page()
