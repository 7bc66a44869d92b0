"""One incident: what happened in order, who was told, and what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard import actions
from tiltmeter.views.dashboard.access import Right
from tiltmeter.views.dashboard.frame import PAGES_FOLDER, badge, entrance, installation, plain, world
from tiltmeter.views.dashboard.jobs import span_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.domain.alert import Incident
    from tiltmeter.domain.metric import Subject

MINUTES = {"1 hour": 60, "4 hours": 240, "1 day": 1440, "1 week": 10080}


def _page() -> None:
    right = entrance()
    wanted = str(st.query_params.get("id", ""))
    found = world().state.incident(wanted) if wanted else None
    if found is None:
        st.subheader("Incident", anchor=False)
        st.info(f"There is no incident {plain(wanted)} here." if wanted else "No incident was chosen.")
        st.page_link(PAGES_FOLDER / "incidents.py", label="All incidents")
        return
    _head(found)
    left, side = st.columns([2, 1], gap="medium")
    with left:
        _alerts(found)
        _events(found)
    with side:
        _actions(found, right)
        _deliveries(found)


def _head(found: Incident) -> None:
    st.subheader("Incident", anchor=False)
    is_open = found.resolved_at is None
    severity = found.severity if is_open else Severity.NONE
    until = world().clock.now() if is_open else found.resolved_at or found.updated_at
    with st.container(key=f"verdict-{severity.word}"):
        words = severity.word if is_open else "resolved"
        st.markdown(f"{badge(severity, words)} · **{plain(found.title)}**")
    resolved = "" if found.resolved_at is None else f" to {_said(found.resolved_at)}"
    st.caption(
        f"{plain(found.model)} · {_said(found.opened_at)}{resolved} · {span_words(until - found.opened_at)} · "
        f"worst: {found.peak.word} · {len(found.alerts)} alerts · {plain(found.id)}"
    )
    if found.cause:
        st.markdown(f"**Likely cause:** {plain(found.cause)}")
    if found.acknowledged_by:
        note = f": {plain(found.note)}" if found.note else ""
        at = "" if found.acknowledged_at is None else f" {_said(found.acknowledged_at)}"
        st.markdown(f"**Acknowledged** by {plain(found.acknowledged_by)}{at}{note}")


def _said(moment: datetime) -> str:
    return f"{moment:%a %d %b %H:%M} UTC"


def _alerts(found: Incident) -> None:
    alerts = [a for a in world().state.alerts(found.model, open_only=False).values() if a.incident == found.id]
    st.markdown("**Alerts**")
    table = pd.DataFrame(
        {
            "severity": [a.severity.word for a in alerts],
            "state": [str(a.state) + (", stale" if a.stale else "") for a in alerts],
            "rule": [a.rule for a in alerts],
            "subject": [_subject(a.subject) for a in alerts],
            "value": [a.value for a in alerts],
            "peak": [a.peak for a in alerts],
            "since": pd.to_datetime([a.since or found.opened_at for a in alerts], utc=True),
        }
    )
    st.dataframe(
        table.sort_values("since"), hide_index=True, width="stretch",
        column_config={
            "severity": "Severity", "state": "State", "rule": "Rule", "subject": "Subject",
            "value": st.column_config.NumberColumn("Value", format="%.4g"),
            "peak": st.column_config.NumberColumn("Worst", format="%.4g"),
            "since": st.column_config.DatetimeColumn("Since (UTC)", format="ddd DD MMM HH:mm", timezone="UTC"),
        },
    )  # fmt: skip
    features = sorted({a.subject.feature for a in alerts if a.subject.feature})[:5]
    with st.container(horizontal=True):
        for feature in features:
            st.page_link(
                PAGES_FOLDER / "feature.py", label=f"Feature {plain(feature)}",
                query_params={"model": found.model, "f": feature},
            )  # fmt: skip


def _events(found: Incident) -> None:
    names = {a.fingerprint: a for a in world().state.alerts(found.model, open_only=False).values()}
    events = world().state.events(incident=found.id)
    st.markdown("**What happened, in order**")

    def subject(fingerprint: str) -> str:
        alert = names.get(fingerprint)
        if alert is None:
            return "–"
        return f"{alert.rule}: {_subject(alert.subject)}"

    st.dataframe(
        pd.DataFrame(
            {
                "window": pd.to_datetime([e.window_end for e in events], utc=True),
                "event": [e.kind.replace("_", " ") for e in events],
                "severity": [e.severity.word for e in events],
                "alert": [subject(e.fingerprint) for e in events],
                "value": [e.value for e in events],
                "detail": [_detail(e.detail) for e in events],
            }
        ),
        hide_index=True, width="stretch", height=360,
        column_config={
            "window": st.column_config.DatetimeColumn("Window end (UTC)", format="DD MMM HH:mm", timezone="UTC"),
            "event": "Event", "severity": "Severity", "alert": st.column_config.TextColumn("Alert", width="medium"),
            "value": st.column_config.NumberColumn("Value", format="%.4g"), "detail": "Detail",
        },
    )  # fmt: skip


_TECHNICAL = ("delivery_id", "attempt", "episode", "model", "rule", "model_version", "feature")
# Details that stand in other columns, or that nobody reads at three in the morning.


def _detail(detail: Mapping[str, str | float | int | None]) -> str:
    return ", ".join(f"{k} {v}" for k, v in detail.items() if k not in _TECHNICAL and v not in (None, ""))


def _subject(subject: Subject) -> str:
    parts = [
        subject.feature,
        f"version {subject.model_version}" if subject.model_version else "",
        subject.segment_value,
    ]
    return ", ".join(part for part in parts if part) or "all rows"


def _deliveries(found: Incident) -> None:
    st.markdown("**Who was told**")
    sent = world().state.deliveries(incident=found.id)
    if not sent:
        st.caption("Nobody: it stands on the dashboard only.")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "at": pd.to_datetime([d.sent_at or d.due_at for d in sent], utc=True),
                "channel": [d.message.channel for d in sent],
                "kind": [str(d.message.kind) for d in sent],
                "status": [str(d.status) for d in sent],
                "error": [d.last_error for d in sent],
            }
        ),
        hide_index=True, width="stretch", height=360,
        column_config={
            "at": st.column_config.DatetimeColumn("At (UTC)", format="DD MMM HH:mm", timezone="UTC"),
            "channel": "Channel", "kind": "Message", "status": "Status", "error": "Error",
        },
    )  # fmt: skip


def _actions(found: Incident, right: Right) -> None:
    st.markdown("**What you can do**")
    if found.resolved_at is not None:
        st.caption("It is resolved: nothing is left to do.")
        return
    configuration = installation().configuration
    can = right is Right.OPERATE and bool(actions.service_address(configuration))
    if not can:
        why = "No service runs on this home." if right is Right.OPERATE else "Your key may read only."
        st.caption(f"{why} On the machine of the service:")
        st.code(f"tiltmeter alerts ack {found.id}", language=None, wrap_lines=True)
        silence = f'tiltmeter alerts silence incident={found.id} --for 4h --reason "…"'
        st.code(silence, language=None, wrap_lines=True)
        return
    with st.form("acknowledge", border=True):
        by = st.text_input("Your name", max_chars=100)
        note = st.text_input("Note", max_chars=1000)
        if st.form_submit_button("Acknowledge", type="primary"):
            _say(actions.acknowledge(configuration, found.id, by=by or "dashboard", note=note))
    with st.form("silence", border=True):
        length = st.selectbox("Silent for", list(MINUTES))
        reason = st.text_input("Reason", max_chars=500)
        if st.form_submit_button("Silence"):
            if reason.strip():
                _say(actions.silence(configuration, found.id, minutes=MINUTES[length], reason=reason))
            else:
                st.warning("A silence needs a reason.")


def _say(answer: actions.Answer) -> None:
    if answer.is_done:
        st.toast(answer.words)
        st.rerun()
    st.error(plain(answer.words))


_page()
