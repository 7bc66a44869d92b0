"""Service: are users served, and do the batch jobs run?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.domain.window import Grain
from tiltmeter.views.dashboard import charts, jobs, queries, traffic
from tiltmeter.views.dashboard.frame import header, world

if TYPE_CHECKING:
    import pandas as pd


def _page() -> None:
    scope = header("Service", "Are users served, and do the jobs run?")
    if scope is None:
        return
    service = traffic.service_series(world(), scope)
    _live(scope)
    if not len(service):
        st.info("No request log connected: latency, throughput and errors appear with captured requests.")
    else:
        marks = queries.alerts_fired(world(), scope, metrics="serving.")
        left, right = st.columns(2, gap="medium")
        with left:
            _latency(scope, service, marks)
            _within(scope, service)
        with right:
            _throughput(service, marks)
            _heat(scope)
        _routes(scope)
    _jobs(scope)


@st.fragment(run_every="10s")  # type: ignore[untyped-decorator]
def _live(scope: queries.Scope) -> None:
    now = traffic.live_numbers(world(), scope)
    newest = {
        m.name: m for m in queries.newest(world(), scope, "serving.", grain=Grain.HOUR) if not m.subject.segment_key
    }
    capacity, share = newest.get("serving.capacity_rps"), newest.get("serving.share_of_capacity")
    grid = st.grid(5, min_column_width=150)
    numbers = [
        ("Requests now", f"{now.rate:,.1f} / s", f"n = {now.requests:,} in 5 minutes"),
        (
            "P95 now",
            "–" if now.p95 is None else f"{now.p95:,.0f} ms",
            "no requests" if now.p95 is None else "5 minutes",
        ),
        ("Failed now", "–" if now.errors is None else f"{now.errors:.2%}", f"{now.at:%H:%M:%S} UTC, every 10 s"),
        _stored("Capacity seen", capacity.value if capacity else None, "{:,.1f} / s", "best minute, 30 days"),
        _stored("Of capacity", share.value if share else None, "{:.0%}", "last hour"),
    ]
    for title, value, note in numbers:
        grid.metric(title, value, delta=note, delta_color="off", delta_arrow="off", border=True, height="stretch")


def _stored(title: str, value: float | None, form: str, note: str) -> tuple[str, str, str]:
    return (title, "–", "no busy minute yet") if value is None else (title, form.format(value), note)


def _latency(scope: queries.Scope, service: pd.DataFrame, marks: pd.DataFrame) -> None:
    st.markdown("**Latency**")
    target = scope.model.latency_target.total_seconds() * 1000
    st.altair_chart(
        charts.latency(service, target_ms=target, marks=marks), width="stretch",
        alt="Latency percentiles over time with target and threshold",
    )  # fmt: skip


def _throughput(service: pd.DataFrame, marks: pd.DataFrame) -> None:
    st.markdown("**Throughput and errors**")
    chart = charts.throughput(service, marks=marks)
    st.altair_chart(chart, width="stretch", alt="Requests per second and failed requests over time")


def _within(scope: queries.Scope, service: pd.DataFrame) -> None:
    target = scope.model.latency_target.total_seconds() * 1000
    st.markdown(f"**Answered within {target:g} ms**")
    table = service.rename(columns={"within": "value", "requests": "rows"})[["time", "value", "rows"]]
    table = table.assign(status="ok").dropna(subset=["value"])
    if not len(table):
        st.caption("No requests in this span.")
        return
    chart = charts.metric_line(table, title="share of requests", form=".1%", height=210)
    st.altair_chart(chart, width="stretch", alt="Share of requests answered within the target")


def _heat(scope: queries.Scope) -> None:
    st.markdown("**Latency by half hour, newest 24 hours**")
    table = traffic.latency_heat(world(), scope)
    if len(table):
        chart = charts.latency_heat(table, traffic.latency_bands())
        st.altair_chart(chart, width="stretch", alt="Requests by half hour and latency class")
    else:
        st.caption("No requests in the newest 24 hours.")


def _routes(scope: queries.Scope) -> None:
    table = traffic.routes(world(), scope)
    if not len(table):
        return
    st.markdown("**Routes**")
    st.dataframe(
        table, hide_index=True, width="stretch",
        column_config={
            "route": "Route",
            "requests": st.column_config.NumberColumn("Requests", format="localized"),
            "errors": st.column_config.NumberColumn("Failed (5xx)", format="percent"),
            "client_errors": st.column_config.NumberColumn("Refused (4xx)", format="percent"),
            "worst_p95": st.column_config.NumberColumn("P95 of the worst hour, ms", format="%.0f"),
        },
    )  # fmt: skip


def _jobs(scope: queries.Scope) -> None:
    jobs.strip(world(), scope)
    table = jobs.runs(world(), scope)
    if not len(table):
        return
    st.dataframe(
        table.sort_values("start", ascending=False), hide_index=True, width="stretch", height=260,
        column_config={
            "job": "Job",
            "run": "Run",
            "start": st.column_config.DatetimeColumn("Start (UTC)", format="ddd DD MMM HH:mm", timezone="UTC"),
            "end": st.column_config.DatetimeColumn("End (UTC)", format="HH:mm:ss", timezone="UTC"),
            "state": "State",
            "minutes": st.column_config.NumberColumn("Minutes", format="%.1f"),
            "records_in": st.column_config.NumberColumn("Records in", format="localized"),
            "scored": st.column_config.NumberColumn("Scored", format="localized"),
            "failed": st.column_config.NumberColumn("Not scored", format="localized"),
            "message": "Message",
        },
    )  # fmt: skip


_page()
