"""One incident: what is wrong, what to do, what happened in order, and who was told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.alerting.hearing import STATUS_WORDS, heard_words, who_heard
from tiltmeter.alerting.phrases import measure_of
from tiltmeter.domain.message import TAKEN
from tiltmeter.domain.metric import reason_in_words
from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard import actions, basis, charts, queries
from tiltmeter.views.dashboard.access import Right, Visitor
from tiltmeter.views.dashboard.frame import ICONS, PAGES_FOLDER, badge, entrance, live, place, plain
from tiltmeter.views.dashboard.incident_story import (
    briefing,
    members_of,
    model_or_world,
    shown_in,
    story_of,
)
from tiltmeter.views.dashboard.installed import installation, world
from tiltmeter.views.dashboard.spans import span_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.domain.alert import Alert, Incident
    from tiltmeter.domain.message import Content
    from tiltmeter.domain.metric import Subject

MINUTES = {"1 hour": 60, "4 hours": 240, "1 day": 1440, "1 week": 10080}
_LINKED = 5
"""Features of an incident that are linked; the rest stands in the table."""


def _page() -> None:
    visitor = entrance()
    wanted = str(st.query_params.get("id", ""))
    found = world().state.incident(wanted) if wanted else None
    st.subheader("Incident", anchor=False)
    if found is None:
        st.info(f"There is no incident {plain(wanted)} here." if wanted else "No incident was chosen.")
        st.page_link(PAGES_FOLDER / "incidents.py", label="All incidents")
        return
    _head(found.id)
    members = members_of(world(), found)
    content = briefing(world(), found, members)
    # Two rows of columns: on a phone, where they stack, what to do stands before the tables.
    left, side = st.columns([2, 1], gap="medium")
    with left:
        _facts(content)
        _where(found, members)
        _chart(found, members)
    with side:
        _actions(found, visitor, content)
    left, side = st.columns([2, 1], gap="medium")
    with left:
        _alerts(found, members)
        _events(found, members)
    with side:
        _deliveries(found)


@live
def _head(incident_id: str) -> None:
    found = world().state.incident(incident_id)
    if found is None:
        return
    content = briefing(world(), found, members_of(world(), found))
    is_open = found.resolved_at is None
    severity = found.severity if is_open else Severity.NONE
    with st.container(key=f"verdict-{severity.word}"):
        words = severity.word if is_open else "resolved"
        st.markdown(f"{badge(severity, words)} · **{plain(found.title)}**")
        if content.effect:
            st.markdown(plain(content.effect))
    until = world().clock.now() if is_open else found.resolved_at or found.updated_at
    resolved = "" if found.resolved_at is None else f" to {_said(found.resolved_at)}"
    alerts = "1 alert" if len(found.alerts) == 1 else f"{len(found.alerts)} alerts"
    st.caption(
        f"{plain(found.model)} · {_said(found.opened_at)}{resolved} · {span_words(until - found.opened_at)} · "
        f"worst: {found.peak.word} · {alerts} · {plain(found.id)}"
    )
    if found.acknowledged_by:
        note = f": {plain(found.note)}" if found.note else ""
        at = "" if found.acknowledged_at is None else f" {_said(found.acknowledged_at)}"
        st.markdown(f"**Acknowledged** by {plain(found.acknowledged_by)}{at}{note}")


def _said(moment: datetime) -> str:
    return f"{moment:%a %d %b %H:%M} UTC"


def _facts(content: Content) -> None:
    facts = {label: text for label, text in content.facts.items() if label != TAKEN}
    st.markdown("  \n".join(f"**{plain(label)}:** {plain(text)}" for label, text in facts.items()))


def _where(found: Incident, members: list[Alert]) -> None:
    shown = shown_in(members)
    st.markdown(
        " &nbsp;·&nbsp; ".join(
            f"{part} {badge(severity, 'quiet' if severity is Severity.NONE else severity.word)}".replace(" ", "&nbsp;")
            for part, severity in shown.items()
        )
    )
    sentence = model_or_world(shown)
    if sentence:
        st.markdown(f"**Model or world?** {sentence}")
    features = sorted({a.subject.feature for a in members if a.subject.feature})[:_LINKED]
    with st.container(horizontal=True):
        for feature in features:
            st.page_link(
                PAGES_FOLDER / "feature.py", label=f"Feature {plain(feature)} →",
                query_params={"model": found.model, "f": feature},
            )  # fmt: skip
        pages = (("Service", "service", "Service →"), ("Jobs", "service", "Batch jobs →"))
        for part, page, label in (*pages, ("Outcomes", "outcomes", "Outcomes →")):
            if shown[part] > Severity.NONE:
                st.page_link(PAGES_FOLDER / f"{page}.py", label=label, query_params={"model": found.model})
        if shown["Score"] > Severity.NONE:
            query = {"model": found.model, "f": queries.SCORE}
            st.page_link(PAGES_FOLDER / "feature.py", label="The score →", query_params=query)


def _chart(found: Incident, members: list[Alert]) -> None:
    story = story_of(world(), place(), found, members)
    if story is None:
        return
    feature = queries.SCORE if story.metric == "drift.overall_psi" else story.feature
    metric = "drift.psi" if story.metric == "drift.overall_psi" else story.metric
    table = queries.series(world(), story.scope, metric, grain=story.grain, feature=feature)
    if not len(table.dropna(subset=["value"])):
        return
    version = f", version {plain(story.scope.version)}" if story.scope.version else ""
    title = story.title[:1].upper() + story.title[1:]
    st.markdown(f"**{plain(title)} by {story.grain.value}{version}**")
    marks = pd.DataFrame(
        [(found.opened_at, "opened", found.peak.word)]
        + ([(found.resolved_at, "resolved", "info")] if found.resolved_at else []),
        columns=["time", "words", "severity"],
    )
    is_late = story.metric.startswith(queries.OUTCOMES)
    # A line of cohorts ends where the newest ones were scored: the incident is marked at the cohort that opened it.
    late = story.scope.model.outcomes.mature_after if is_late else timedelta(0)
    marks["time"] = pd.to_datetime(marks["time"], utc=True) - late
    write, form = basis.write_of(story.metric), ".2~%" if basis.is_share(story.metric) else ""
    chart = charts.metric_line(
        table, title="", form=form, limits=story.limits, marks=marks, height=170, write=write
    )  # fmt: skip
    said = [basis.window_words(story.scope.window), basis.newest_words(table, story.grain.value)]
    if story.metric.startswith(("drift.", "features.")):
        said.append(basis.newest_baseline_words(world(), story.scope, table))
    said.append(", ".join(f"{word} {write(limit)}" for word, limit in story.limits.items()) or "its rule is gone")
    st.altair_chart(chart, width="stretch", alt=f"{story.title} over the incident: {said[-1]}")
    what = "the cohort with which the incident opened" if is_late else "the incident opened"
    said.append(f"dotted red: {what}" + (", and was resolved" if found.resolved_at else ""))
    st.caption(" · ".join(said))


def _alerts(found: Incident, members: list[Alert]) -> None:
    st.markdown("**Alerts**")
    table = pd.DataFrame(
        {
            "severity": [f"{ICONS[a.severity]} {a.severity.word}" for a in members],
            "state": [str(a.state) + (", no fresh data" if a.stale else "") for a in members],
            "rule": [a.rule for a in members],
            "subject": [_subject(a.subject) for a in members],
            "value": [_worded(a, a.value) for a in members],
            "peak": [_worded(a, a.peak) for a in members],
            "since": pd.to_datetime([a.since or found.opened_at for a in members], utc=True),
        }
    )
    st.dataframe(
        table, hide_index=True, width="stretch", placeholder="–", alt="Alerts of this incident, worst first",
        column_config={
            "severity": "Severity", "state": "State", "rule": "Rule", "subject": "Subject",
            "value": "Value", "peak": "Worst",
            "since": st.column_config.DatetimeColumn("Since (UTC)", format="ddd DD MMM HH:mm", timezone="UTC"),
        },
    )  # fmt: skip


def _worded(alert: Alert, value: float | None) -> str | None:
    """The number as messages write it: `PSI 6.45`, `out of range 7.8 %`."""
    if value is None:
        return None
    measure = measure_of(alert, alert.metric.name if alert.metric is not None else "")
    return f"{measure.label} {measure.value(value)}"


def _events(found: Incident, members: list[Alert]) -> None:
    named = {a.fingerprint: a for a in members}
    names = {fingerprint: f"{a.rule}: {_subject(a.subject)}" for fingerprint, a in named.items()}
    # Messages have a table of their own beside: what is left is what happened and what people did.
    events = [e for e in world().state.events(incident=found.id) if not e.kind.startswith("message_")]
    st.markdown("**What happened, in order**")
    st.dataframe(
        pd.DataFrame(
            {
                "window": pd.to_datetime([e.window_end for e in events], utc=True),
                "event": [e.kind.replace("_", " ") for e in events],
                "severity": [f"{ICONS[e.severity]} {e.severity.word}" for e in events],
                "alert": [names.get(e.fingerprint) for e in events],
                "value": [_worded(named[e.fingerprint], e.value) if e.fingerprint in named else None for e in events],
                "detail": [_detail(e.detail) for e in events],
            }
        ),
        hide_index=True, width="stretch", height="auto" if len(events) < 10 else 390, placeholder="–",
        alt="Events of this incident in order",
        column_config={
            "window": st.column_config.DatetimeColumn("Window end (UTC)", format="DD MMM HH:mm", timezone="UTC"),
            "event": "Event", "severity": "Severity", "alert": "Alert",
            "value": "Value", "detail": st.column_config.TextColumn("Detail", width="medium"),
        },
    )  # fmt: skip


_TECHNICAL = ("delivery_id", "attempt", "episode", "model", "rule", "model_version", "feature")
# Details that stand in other columns, or that nobody reads at three in the morning.


def _detail(detail: Mapping[str, str | float | int | None]) -> str | None:
    said = {key: value for key, value in detail.items() if key not in _TECHNICAL and value not in (None, "")}
    return ", ".join(f"{key} {reason_in_words(str(value))}" for key, value in said.items()) or None


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
    heard, unheard = who_heard(sent)
    st.caption(plain(heard_words(heard, unheard) if heard else f"Nobody so far; {heard_words((), unheard)}"))
    table = pd.DataFrame(
        {
            "channel": [d.message.channel for d in sent],
            "status": [STATUS_WORDS[d.status] for d in sent],
            "at": pd.to_datetime([d.sent_at or d.due_at for d in sent], utc=True),
            "error": [d.last_error for d in sent],
        }
    )
    by_channel = table.groupby(["channel", "status"], as_index=False).agg(
        messages=("at", "size"), first=("at", "min"), last=("at", "max"), error=("error", "last")
    )
    st.dataframe(
        by_channel[["channel", "status", "messages", "first", "last", "error"]].sort_values("first"),
        hide_index=True, width="stretch", placeholder="–", alt="Messages by channel",
        column_config={
            "channel": "Channel", "status": "Status", "messages": "Messages",
            "first": st.column_config.DatetimeColumn("First (UTC)", format="DD MMM HH:mm", timezone="UTC"),
            "last": st.column_config.DatetimeColumn("Last (UTC)", format="DD MMM HH:mm", timezone="UTC"),
            "error": "Error",
        },
    )  # fmt: skip


def _actions(found: Incident, visitor: Visitor, content: Content) -> None:
    st.markdown("**What to do**")
    if found.resolved_at is not None:
        st.caption("It is resolved: nothing is left to do.")
        return
    if content.actions:
        st.markdown("\n".join(f"{place}. {plain(text)}" for place, text in enumerate(content.actions, start=1)))
    runbook = content.links.get("Runbook", "")
    if runbook.startswith(("https://", "http://")):
        st.link_button("Open the runbook", runbook)
    configuration = installation().configuration
    can = visitor.right is Right.OPERATE and bool(actions.service_address(configuration))
    if not can:
        why = "No service runs on this home." if visitor.right is Right.OPERATE else "Your key may read only."
        st.caption(f"{why} On the machine of the service:")
        st.code(f"tiltmeter alerts ack {found.id}", language=None, wrap_lines=True)
        silence = f'tiltmeter alerts silence incident={found.id} --for 4h --reason "…"'
        st.code(silence, language=None, wrap_lines=True)
        return
    known = visitor.name or st.session_state.get("my-name", "")
    with st.form("acknowledge", border=True):
        by = st.text_input("Your name", known, max_chars=100, key="acknowledge-by")
        note = st.text_input("Note", max_chars=1000)
        if st.form_submit_button("Acknowledge", type="primary"):
            st.session_state["my-name"] = by
            _say(actions.acknowledge(configuration, visitor, found.id, by=by, note=note))
    with st.form("silence", border=True):
        length = st.selectbox("Silent for", list(MINUTES))
        by = st.text_input("Your name", known, max_chars=100, key="silence-by")
        reason = st.text_input("Reason", max_chars=500)
        if st.form_submit_button("Silence"):
            st.session_state["my-name"] = by
            if reason.strip():
                minutes = MINUTES[length]
                _say(actions.silence(configuration, visitor, found.id, minutes=minutes, by=by, reason=reason))
            else:
                st.warning("A silence needs a reason.")


def _say(answer: actions.Answer) -> None:
    if answer.is_done:
        st.toast(answer.words)
        st.rerun()
    st.error(plain(answer.words))


_page()
