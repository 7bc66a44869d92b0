"""The page behind a signed link of a message: who takes care of the incident. The link is the right to say so."""

from __future__ import annotations

import streamlit as st

from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard import actions
from tiltmeter.views.dashboard.frame import PAGES_FOLDER, badge, looks, plain
from tiltmeter.views.dashboard.installed import installation


def _page() -> None:
    looks()
    st.subheader("Acknowledge", anchor=False)
    token = str(st.query_params.get("t", ""))
    configuration = installation().configuration
    answer, facts = actions.link_facts(configuration, token)
    if not answer.is_done:
        st.error(plain(answer.words))
        return
    severity = Severity.of(facts["severity"]) if facts["is_open"] else Severity.NONE
    with st.container(key=f"verdict-{severity.word}"):
        st.markdown(f"{badge(severity, '' if facts['is_open'] else 'resolved')} · **{plain(facts['title'])}**")
    st.caption(f"{plain(facts['model'])} · {plain(facts['id'])}")
    if not facts["is_open"]:
        st.info("It is over: there is nothing left to take care of.")
    elif facts["acknowledged_by"]:
        note = f": {plain(facts['note'])}" if facts["note"] else ""
        st.success(f"{plain(facts['acknowledged_by'])} takes care of it{note}.")
    else:
        _ask(token)
    st.page_link(PAGES_FOLDER / "incident.py", label="Open the incident", query_params={"id": facts["id"]})


def _ask(token: str) -> None:
    with st.form("acknowledge", border=True, width=560):
        by = st.text_input("Your name", max_chars=100)
        note = st.text_input("What you are doing about it (optional)", max_chars=1000)
        if st.form_submit_button("I take care of it", type="primary"):
            if not by.strip():
                st.warning("Please say who you are.")
                return
            answer = actions.acknowledge_by_link(installation().configuration, token, by=by, note=note)
            if answer.is_done:
                st.rerun()
            st.error(plain(answer.words))
    st.caption(
        "Everybody who heard of it will see your name; steps and reminders stop. If it gets worse, it asks again."
    )


_page()
