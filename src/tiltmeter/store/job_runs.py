"""Stored rows of `batch_runs` as runs: each run has one row of its own beside those of its tasks.

A job tells what it did task by task, a workspace tells a run and its tasks without the records. Here the two are
joined, and tasks whose run nobody told become one; every reader that looks at whole runs then finds every job.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.batch_run import is_own_report, model_of
from tiltmeter.domain.job_state import is_failed, is_good

if TYPE_CHECKING:
    from collections.abc import Iterable

REPORTED = ("records_in", "records_scored", "records_failed", "bytes_written")
"""What a job tells of itself, and a workspace does not know."""

LONGEST_RUN = timedelta(days=2)
"""Tasks that began so long before a span are read too: their run may have begun before it."""

_ADDED = (*REPORTED, "queue_ms", "setup_ms", "execution_ms", "cleanup_ms")
_MESSAGE = 1_000
_Row = dict[str, Any]


def whole_runs(rows: Iterable[_Row]) -> list[_Row]:
    """Rows of runs and tasks in the order of their start.

    - A run or task that both a job and a workspace told is the workspace's row, with the job's counts.
    - The row of a run without counts has those of its tasks together.
    - Tasks without a run make one: failed if one of them failed, from the first start to the last end, with `tasks`,
      their keys, and `failed_time`, when the first of them failed. Of a task that was tried again the newest attempt
      counts.

    Each row has a `model_name`: the model that the job named in its own report, empty where it named none or several.
    """
    told: list[_Row] = []
    own: list[_Row] = []
    for row in rows:
        row["model_name"] = model_of(row["workspace"])
        (own if is_own_report(row["workspace"]) else told).append(row)
    reports: dict[tuple[str, str], list[_Row]] = defaultdict(list)
    for row in _newest(own):
        reports[row["run_id"], row["task_key"]].append(row)
    for row in told:
        _fill(row, reports.get((row["run_id"], row["task_key"]), []))
    known = {(row["run_id"], row["task_key"]) for row in told}
    alone = [row for row in own if (row["run_id"], row["task_key"]) not in known]
    tasks = _tasks([*told, *alone])
    for row in told:
        if not row["task_key"]:
            mine = tasks.get((row["workspace"], row["run_id"]), [])
            _fill(row, [*mine, *(task for task in _newest(alone) if task["run_id"] == row["run_id"])])
    runs = {(row["workspace"], row["run_id"]) for row in [*told, *alone] if not row["task_key"]}
    of_workspaces = {run_id for run_id, task_key in known if not task_key}
    made = [
        _run_of(mine)
        for (workspace, run_id), mine in tasks.items()
        if (workspace, run_id) not in runs and run_id not in of_workspaces
    ]
    return sorted([*told, *alone, *made], key=lambda row: row["start_time"])


def _newest(rows: Iterable[_Row]) -> list[_Row]:
    """Of each run or task the newest attempt."""
    found: dict[tuple[str, str, str], _Row] = {}
    for row in rows:
        key = (row["workspace"], row["run_id"], row["task_key"])
        if key not in found or (row["attempt"] or 0) >= (found[key]["attempt"] or 0):
            found[key] = row
    return list(found.values())


def _tasks(rows: Iterable[_Row]) -> dict[tuple[str, str], list[_Row]]:
    found: dict[tuple[str, str], list[_Row]] = defaultdict(list)
    for row in _newest(rows):
        if row["task_key"]:
            found[row["workspace"], row["run_id"]].append(row)
    return found


def _fill(row: _Row, parts: list[_Row]) -> None:
    row.update({column: _sum(parts, column) for column in REPORTED if row[column] is None})
    models = {part["model_name"] for part in parts}
    if not row["model_name"] and len(models) == 1:
        row["model_name"] = models.pop()


def _sum(rows: Iterable[_Row], column: str) -> int | None:
    numbers = [row[column] for row in rows if row.get(column) is not None]
    return sum(numbers) if numbers else None


def _run_of(tasks: list[_Row]) -> _Row:
    """One row of a run that only its tasks told."""
    tasks = sorted(tasks, key=lambda row: row["start_time"])
    first, failed = tasks[0], [row for row in tasks if is_failed(row)]
    ends = [row["end_time"] for row in tasks]
    end = None if None in ends else max(ends)
    good = next((row for row in tasks if is_good(row)), first)
    words = [f"{row['task_key']}: {row['message'] or row['result_state']}" for row in failed]
    return {
        **first,
        **{column: _sum(tasks, column) for column in _ADDED},
        "task_key": "",
        "attempt": 0,  # the run is one, whichever attempt its tasks are at
        "end_time": end,
        "run_ms": None if end is None else (end - first["start_time"]) // timedelta(milliseconds=1),
        "result_state": failed[0]["result_state"] if failed else None if end is None else good["result_state"],
        "life_cycle_state": "RUNNING" if end is None else "TERMINATED",
        "termination_code": failed[0]["termination_code"] if failed else None,
        "message": "; ".join(words)[:_MESSAGE] or None,
        "ingest_time": max(row["ingest_time"] for row in tasks),
        "tasks": sorted(row["task_key"] for row in tasks),
        "failed_time": min((row["end_time"] or row["start_time"] for row in failed), default=None),
    }
