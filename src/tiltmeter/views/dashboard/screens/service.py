"""Service: are users served, and do the batch jobs run?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.alerting.limits import ERROR_RATE, P95, limit_words, named, reading
from tiltmeter.api.summary import percent
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.jobs import GOOD_RUNS
from tiltmeter.views.dashboard import basis, cards, charts, errors, jobs, pictures, queries, traffic
from tiltmeter.views.dashboard.frame import header, live, plain
from tiltmeter.views.dashboard.installed import world

if TYPE_CHECKING:
    import pandas as pd

    from tiltmeter.alerting.limits import Reading
    from tiltmeter.domain.metric import Metric

WITHIN = "serving.share_within_target"
_RUNS_SEEN, _RUNS_HEIGHT = 8, 281
"""Runs that the table shows at once, and its pixels: none of them is cut in two."""


def _page() -> None:
    scope = header("Service", "Are users served, and do the jobs run?", selectors=("version", "span"))
    if scope is None:
        return
    service = traffic.service_series(world(), scope)
    if scope.model.source is None or len(service):  # a table that is read in place has no requests to count
        _live(scope)
    if scope.version and service.attrs.get(traffic.OF_ALL):
        st.caption(
            f"Version {plain(scope.version)} answered nothing in this span: the charts show all versions together."
        )
    if not len(service):
        st.info("No request log connected: latency, throughput and errors appear with captured requests.")
    else:
        marks = queries.marks(world(), scope, metrics="serving.")
        left, right = st.columns(2, gap="medium")
        with left:
            _latency(scope, service, marks)
            _within(scope, service)
        with right:
            _throughput(scope, service, marks)
            _heat(queries.whole(scope) if service.attrs.get(traffic.OF_ALL) else scope)
        _routes(scope)
        errors.draw(scope)
    _jobs(scope)


@live
def _live(scope: queries.Scope) -> None:
    now = traffic.live_numbers(world(), scope)
    newest = {
        m.name: m
        for m in queries.newest(world(), queries.whole(scope), "serving.", grain=Grain.HOUR)
        if not m.subject.segment_key
    }
    grid = st.grid(5, min_column_width=150)
    target = scope.model.latency_target.total_seconds() * 1000
    slow, failing = (
        cards.service_reading(world(), scope, name, value, requests=now.requests, version=scope.version)
        for name, value in ((P95, now.p95), (ERROR_RATE, now.errors))
    )
    failures = queries.limits_for(world(), scope, ERROR_RATE)
    shown = (
        cards.Card("Requests now", cards.rate_words(now.rate), f"5 minutes to {now.at:%H:%M:%S} UTC", Severity.NONE),
        cards.Card(
            "P95 now", "–" if now.p95 is None else f"{now.p95:,.0f} ms", f"{_n(now, slow)}, target {target:g} ms",
            slow.severity,
        ),
        cards.Card(
            "Failed now", "–" if now.errors is None else f"{now.errors:.2%}",
            f"{_n(now, failing)}, {limit_words(failures, write=percent)}", failing.severity,
        ),
        _stored("Capacity seen", newest.get("serving.capacity_rps"), "best minute of 30 days"),
        _stored("Of capacity", newest.get("serving.share_of_capacity"), "last hour"),
    )  # fmt: skip
    for card in shown:
        cards.draw(grid, card)


def _n(now: traffic.LiveNumbers, read: Reading) -> str:
    if not now.requests:
        return "no requests"
    return f"n = {now.requests:,}" + ("" if read.is_judged or not read.is_ruled else ", not judged")


def _stored(title: str, metric: Metric | None, note: str) -> cards.Card:
    if metric is None or metric.value is None:
        return cards.Card(title, "–", "not known yet", Severity.NONE, reason=metric.why_missing if metric else "")
    is_share = metric.name.endswith("share_of_capacity")
    words = f"{metric.value:.0%}" if is_share else cards.rate_words(metric.value)
    return cards.Card(title, words, note, reading(metric, world().rules.rules).severity)


def _latency(scope: queries.Scope, service: pd.DataFrame, marks: pd.DataFrame) -> None:
    st.markdown("**Latency**")
    target = scope.model.latency_target.total_seconds() * 1000
    said = basis.latency_words(world(), scope, service)
    st.altair_chart(
        charts.latency(service, target_ms=target, limits=traffic.latency_limits(world(), scope, service), marks=marks),
        width="stretch",
        alt=f"Latency percentiles over time: {said}",
    )  # fmt: skip
    st.caption(said)


def _throughput(scope: queries.Scope, service: pd.DataFrame, marks: pd.DataFrame) -> None:
    st.markdown("**Throughput and errors**")
    chart = charts.throughput(service, marks=marks)
    said = basis.failure_words(world(), scope, service)
    st.altair_chart(chart, width="stretch", alt=f"Requests per second and failed requests over time: {said}")
    st.caption(said)


def _within(scope: queries.Scope, service: pd.DataFrame) -> None:
    target = scope.model.latency_target.total_seconds() * 1000
    st.markdown(f"**Answered within {target:g} ms**")
    table = service.rename(columns={"within": "value", "requests": "rows"})[["time", "value", "rows"]]
    table = table.assign(status="ok").dropna(subset=["value"])
    if not len(table):
        st.caption("No requests in this span.")
        return
    limits = named(queries.limits_for(world(), scope, WITHIN))
    chart = charts.metric_line(
        table, title="share of requests", form=".1%", height=190, limits=limits, write=basis.write_of(WITHIN)
    )
    said = (
        f"{basis.window_words(queries.read_span(world(), scope))} · {basis.requests_words(service)} · "
        f"{basis.rule_words(world(), scope, WITHIN, write=percent)}"
    )
    st.altair_chart(chart, width="stretch", alt=f"Share of requests answered within {target:g} ms: {said}")
    st.caption(said)


def _heat(scope: queries.Scope) -> None:
    st.markdown("**Latency by half hour, newest 24 hours (stronger: more requests)**")
    table = traffic.latency_heat(world(), scope)
    whose = f"version {plain(scope.version)}" if scope.version else "all versions"
    if len(table):
        chart = pictures.latency_heat(table, traffic.latency_bands())
        until = queries.reach(world(), scope)
        said = f"n = {int(table['requests'].sum()):,} requests, {whose}, to {until:%d %b %H:%M} UTC"
        st.altair_chart(chart, width="stretch", alt=f"Requests by half hour and latency class: {said}")
        st.caption(said)
    else:
        st.caption("No requests in the newest 24 hours.")


def _routes(scope: queries.Scope) -> None:
    table = traffic.routes(world(), scope)
    if not len(table):
        return
    st.markdown("**Routes**" + (" of all versions" if scope.version else ""))
    shares = table[["errors", "client_errors"]]
    st.dataframe(
        table.assign(**(100.0 * shares)), hide_index=True, width="stretch",
        alt="Requests, failures and slowest hour by route",
        column_config={
            "route": "Route",
            "requests": st.column_config.NumberColumn("Requests", format="localized"),
            "errors": st.column_config.NumberColumn("Failed (5xx)", format=charts.FINE_PERCENT),
            "client_errors": st.column_config.NumberColumn("Refused (4xx)", format=charts.FINE_PERCENT),
            "worst_p95": st.column_config.NumberColumn("P95 of the worst hour, ms", format="%.0f"),
        },
    )  # fmt: skip


def _jobs(scope: queries.Scope) -> None:
    jobs.strip(world(), scope)
    table = jobs.runs(world(), scope)
    if not len(table):
        return
    left, right = st.columns(2, gap="medium")
    span = basis.window_words(queries.read_span(world(), scope))
    for column, name, title in ((left, "minutes", "Minutes a run"), (right, "scored", "Records scored a run")):
        with column:
            st.markdown(f"**{title}**")
            if not table[name].notna().any():
                st.caption("No run of this span told it.")
                continue
            lines = {job: numbers[name] for job, numbers in table.attrs[jobs.USUAL].items() if name in numbers}
            chart = pictures.job_runs(table, column=name, usual=lines)
            said = f"n = {int(table[name].notna().sum()):,} runs, {span}"
            if lines:
                named_lines = ", ".join(f"{plain(job)} {_amount(amount)}" for job, amount in lines.items())
                said += f" · dashed: usual, the median of up to {GOOD_RUNS} good runs before the newest: {named_lines}"
            st.altair_chart(chart, width="stretch", alt=f"{title}: {said}")
            st.caption(said)
    height = _RUNS_HEIGHT if len(table) > _RUNS_SEEN else "auto"
    st.dataframe(
        table.sort_values("start", ascending=False), hide_index=True, width="stretch", height=height,
        placeholder="–", alt="Runs of batch jobs, newest first",
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


def _amount(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


_page()
