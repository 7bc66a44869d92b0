"""Errors of the service for the pages: what answers of 4xx and 5xx were, by route, status and exception."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.domain.request import answer_name, method_name
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.traffic import ERROR_ANSWERS, error_kinds_kept
from tiltmeter.ports import MetricQuery
from tiltmeter.views.dashboard.charts import FINE_PERCENT
from tiltmeter.views.dashboard.frame import choice
from tiltmeter.views.dashboard.installed import world
from tiltmeter.views.dashboard.queries import Scope, reach, read_span, remembered, whole
from tiltmeter.views.dashboard.rows import sample_button
from tiltmeter.views.dashboard.traffic import SHORT_SPAN, service_series

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiltmeter.domain.traffic import ErrorKind
    from tiltmeter.ports import World

ANSWERS = {"all": (400, 600), "failed (5xx)": (500, 600), "refused (4xx)": (400, 500)}
"""What the selector shows: least status, and the one it stays below."""

COLUMNS = ["answer", "exception", "route", "requests", "share", "last", "trend", "status", "words"]
_BARS = 30
_LEAST_BAR = timedelta(minutes=10)
_LIVE_STEP = timedelta(seconds=10)


def error_table(world: World, scope: Scope, requests: float) -> pd.DataFrame:
    """One row an error, the most frequent first.

    Args:
        world: what is read.
        scope: what is shown; a span over 25 hours shows all versions together.
        requests: all requests of the span, of which `share` is a share.

    Returns:
        `answer` (status in words), `exception` (None without one), `route`, `requests`, `share`, `last` (end of the
        newest step with one), `trend` (requests in each of up to 30 equal parts of the span), `status`, and `words`
        that name the error.
    """
    return _table(world, scope, requests, reach(world, scope))


@remembered
def _table(_world: World, scope: Scope, requests: float, until: datetime) -> pd.DataFrame:
    found: dict[tuple[str, ErrorKind], _Seen] = defaultdict(_Seen)
    bars = min(_BARS, max(1, ceil((until - scope.start) / _LEAST_BAR)))
    part = (until - scope.start) / bars
    for route, at, kinds in _steps(_world, scope, until):
        for kind, number in kinds.items():
            found[route, kind].add(number, at, min(bars - 1, int((at - scope.start - timedelta(seconds=1)) / part)))
    rows = [
        (
            answer_name(kind.status), kind.exception or None, route, seen.requests, seen.requests / max(requests, 1.0),
            seen.last, [seen.parts[place] for place in range(bars)], kind.status,
            f"{f'{kind.status} {kind.exception}' if kind.exception else answer_name(kind.status)} · {route}",
        )
        for (route, kind), seen in sorted(found.items(), key=lambda item: (-item[1].requests, item[0]))
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(last=pd.to_datetime(table["last"], utc=True))


@dataclass(slots=True)
class _Seen:
    """One error added up over the span."""

    requests: int = 0
    last: datetime | None = None
    parts: Counter[int] = field(default_factory=Counter)

    def add(self, requests: int, at: datetime, part: int) -> None:
        self.requests += requests
        self.last = at if self.last is None else max(self.last, at)
        self.parts[max(part, 0)] += requests


def _steps(world: World, scope: Scope, until: datetime) -> Iterator[tuple[str, datetime, Mapping[ErrorKind, int]]]:
    """Route, end of a step, and its errors by kind: of ten seconds in a short span, of hours in a long one.

    Of a long one, what came after its newest judged hour is read by ten seconds too.
    """
    is_short = scope.end - scope.start <= SHORT_SPAN
    since = scope.start if is_short else scope.end
    if not is_short:
        query = MetricQuery(
            model=scope.model.name, metric=ERROR_ANSWERS, since=scope.start, until=scope.end, grain=Grain.HOUR,
            version="",
        )  # fmt: skip
        for metric in world.state.metrics(query):
            yield metric.subject.segment_value, metric.window.end, error_kinds_kept(metric)
    if until <= since:
        return
    for state in world.log.traffic(scope.model.name, Window(since, until, Grain.LIVE)):
        if state.error_kinds and (not scope.version or state.model_version == scope.version):
            yield state.http_route, state.window_start + _LIVE_STEP, state.error_kinds


def draw(scope: Scope) -> None:
    """The table with its filters, and the rows of one error on a click."""
    # Hours keep the kinds of errors of all versions together.
    is_whole = bool(scope.version) and scope.end - scope.start > SHORT_SPAN
    scope = whole(scope) if is_whole else scope
    st.markdown("**Errors by route and exception**" + (" of all versions" if is_whole else ""))
    service = service_series(world(), scope)
    of_steps = service["requests"].fillna(0.0)
    requests = float(of_steps.sum())
    table = error_table(world(), scope, requests)
    untold = round(float((of_steps * service[["errors", "client_errors"]].fillna(0.0).sum(axis=1)).sum()))
    untold -= int(table["requests"].sum())
    if not len(table) and untold <= 0:
        st.caption(f"○ No errors in this span: {requests:,.0f} requests, none was answered with 4xx or 5xx.")
        return
    shown = _filtered(table) if len(table) else table
    if len(shown):
        _draw_table(shown)
    if untold > 0:
        st.caption(f"{untold:,} further errors were counted without their kind, which older hours do not know.")
    if len(shown) == 1:
        sample_button(
            scope,
            read_span(world(), scope),
            _row_filter(shown.iloc[0]),
            label="Show 20 of these requests",
            key="failed",
        )
    elif len(shown):
        st.caption("Choose one error above to look at its requests.")


def _filtered(table: pd.DataFrame) -> pd.DataFrame:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        least, below = ANSWERS[choice("Answers", "answers", list(ANSWERS), default="all", width=150)]
        shown = table[(table["status"] >= least) & (table["status"] < below)]
        chosen = choice("Error", "error", ["all", *shown["words"]], default="all", width=420)
    if not len(shown):
        st.caption("No such errors in this span.")
    return shown if chosen == "all" else shown[shown["words"] == chosen]


def _draw_table(shown: pd.DataFrame) -> None:
    st.dataframe(
        shown.assign(share=100.0 * shown["share"]).drop(columns=["status", "words"]),
        hide_index=True, width="stretch", placeholder="–",
        alt="Errors by status, exception and route, the most frequent first",
        column_config={
            "answer": "Answer",
            "exception": "Exception",
            "route": "Route",
            "requests": st.column_config.NumberColumn("Requests", format="localized"),
            "share": st.column_config.NumberColumn("Of all requests", format=FINE_PERCENT),
            "last": st.column_config.DatetimeColumn("Last seen (UTC)", format="ddd DD MMM HH:mm", timezone="UTC"),
            "trend": st.column_config.BarChartColumn("Over the span", y_min=0),
        },
    )  # fmt: skip


def _row_filter(row: pd.Series) -> dict[str, object]:
    """Columns of the log that the requests of an error have; a route is kept there as method and template."""
    wanted: dict[str, object] = {"status_code": int(row["status"]), "error_type": row["exception"]}
    method, _, template = str(row["route"]).partition(" ")
    if template and method_name(method) == method:
        return {**wanted, "http_method": method, "http_route": template}
    return {**wanted, "http_route": str(row["route"])}
