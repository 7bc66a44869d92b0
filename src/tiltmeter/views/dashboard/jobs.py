"""Batch jobs on the pages: one square an expected run, and the table of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from tiltmeter.domain.job_state import is_failed, is_good, is_of_model
from tiltmeter.monitors.jobs import good_runs, usual
from tiltmeter.monitors.serving import JOB_HORIZON
from tiltmeter.views.dashboard.frame import plain
from tiltmeter.views.dashboard.queries import Scope, reach, remembered

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.model import JobExpectation
    from tiltmeter.ports import World

SHOWN_RUNS = 30
"""Squares of a strip: a month of nightly runs."""

COLOURS = {
    "done": "#64748b", "failed": "#b91c1c", "absent": "#f59e0b", "running": "#56B4E9", "skipped": "#cbd5e1",
}  # fmt: skip
"""Of each state; a skipped run neither failed nor did anything."""

USUAL = "usual"
"""Attribute of the table of runs: by job and column, what the alert holds the newest run against."""

_USUAL_OF = {"minutes": ("run_ms", 60_000), "scored": ("records_scored", 1)}


def runs(world: World, scope: Scope) -> pd.DataFrame:
    """Runs of the span, newest last, with state, minutes and records; `USUAL` as the alerts measure it."""
    return _runs(world, scope, reach(world, scope))


@remembered
def _runs(_world: World, scope: Scope, until: datetime) -> pd.DataFrame:
    names = {job.name for job in scope.model.jobs}
    known = [
        run
        for run in _world.log.batch_runs(min(scope.start, until - JOB_HORIZON))
        if not run.get("task_key") and run["start_time"] <= until and (not names or run["job_name"] in names)
        if is_of_model(run, scope.model.name)
    ]
    known.sort(key=lambda run: run["start_time"])
    found = [run for run in known if run["start_time"] >= scope.start]
    table = pd.DataFrame(
        {
            "job": [run["job_name"] for run in found],
            "run": [run["run_id"] for run in found],
            "start": pd.to_datetime([run["start_time"] for run in found], utc=True),
            "end": pd.to_datetime([run["end_time"] for run in found], utc=True),
            "state": [state_of(run) for run in found],
            "minutes": pd.Series([_minutes(run) for run in found], dtype=float),
            "records_in": [run.get("records_in") for run in found],
            "scored": [run.get("records_scored") for run in found],
            "failed": [run.get("records_failed") for run in found],
            "message": [str(run.get("message") or "") for run in found],
        }
    )
    table.attrs[USUAL] = _usual(known, scope, until)
    return table


def _minutes(run: dict[str, Any]) -> float | None:
    return None if run.get("end_time") is None or run.get("run_ms") is None else run["run_ms"] / 60_000


def _usual(known: list[dict[str, Any]], scope: Scope, until: datetime) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for job in scope.model.jobs:
        good = good_runs(job, (run for run in known if run["job_name"] == job.name), until)
        numbers = {column: (usual(good, field), unit) for column, (field, unit) in _USUAL_OF.items()}
        found[job.name] = {column: value / unit for column, (value, unit) in numbers.items() if value is not None}
    return found


def state_of(run: dict[str, Any]) -> str:
    """`done`, `failed`, `running`, or `skipped`: it has a result that is neither success nor failure."""
    if is_failed(run):
        return "failed"
    if is_good(run):
        return "done"
    return "skipped" if run.get("result_state") or run.get("end_time") is not None else "running"


def expected(table: pd.DataFrame, job: JobExpectation, until: datetime) -> list[tuple[datetime, str]]:
    """Moments and states of the newest runs, with one `absent` for every period in which none began."""
    mine = table[table["job"] == job.name]
    known = [(start.to_pydatetime(), str(state)) for start, state in zip(mine["start"], mine["state"], strict=True)]
    if not known:
        return []
    cells: list[tuple[datetime, str]] = []
    for (start, state), following in zip(known, [*(s for s, _ in known[1:]), until], strict=True):
        cells.append((start, state))
        due = start + job.expect_every
        while due + job.grace < following and following - due > job.expect_every / 2:
            cells.append((due, "absent"))
            due += job.expect_every
    return cells[-SHOWN_RUNS:]


def strip(here: World, scope: Scope) -> None:
    """One line of squares a job: did it run?"""
    if not scope.model.jobs:
        return
    st.markdown("**Batch jobs**")
    table = runs(here, scope)
    for job in scope.model.jobs:
        cells = expected(table, job, reach(here, scope))
        if not cells:
            st.caption(f"{plain(job.name)}: no run in this span.")
            continue
        squares = "".join(
            f'<span title="{start:%a %d %b %H:%M} UTC: {state}" style="display:inline-block;width:.8rem;height:.8rem;'
            f'margin:1px;border-radius:2px;background:{COLOURS[state]}{_HATCH if state == "absent" else ""}"></span>'
            for start, state in cells
        )
        counts = {state: sum(s == state for _, s in cells) for state in COLOURS}
        said = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
        # Only our own words and times go into this markup; the job's name is written as plain text beside it.
        last = cells[-1]
        with st.container(gap=None):
            st.html(f'<div role="img" aria-label="{said}" style="line-height:1">{squares}</div>')
            st.caption(f"{plain(job.name)}: {said}; newest {last[1]} {last[0]:%a %d %b %H:%M} UTC")


_HATCH = ";background-image:repeating-linear-gradient(45deg,rgba(255,255,255,.55) 0 2px,transparent 2px 4px)"
