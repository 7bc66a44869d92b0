"""Runs of the last year from `system.lakeflow.job_run_timeline`, through a SQL warehouse: back-fill, never alerts.

The table has one row a slice of a run, is hours behind, covers the region and needs a grant of an administrator.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

QUERY = """
SELECT job_id, run_id, MIN(period_start_time) AS start_time, MAX(period_end_time) AS end_time,
       MAX_BY(result_state, period_end_time) AS result_state,
       MAX_BY(termination_code, period_end_time) AS termination_code,
       MAX(run_name) AS run_name, MAX(trigger_type) AS trigger_type
FROM system.lakeflow.job_run_timeline
WHERE workspace_id = :workspace_id AND period_start_time >= :since
GROUP BY job_id, run_id
ORDER BY start_time
"""
_COLUMNS = (
    "job_id",
    "run_id",
    "start_time",
    "end_time",
    "result_state",
    "termination_code",
    "run_name",
    "trigger_type",
)
_STATES = {"SUCCEEDED": "SUCCESS", "CANCELLED": "CANCELED", "TIMED_OUT": "TIMEDOUT", "ERROR": "INTERNAL_ERROR"}
_PATIENCE_SECONDS = 120.0
_RUNNING = {"PENDING", "RUNNING"}


def timeline_rows(
    client: Any,  # noqa: ANN401 - a WorkspaceClient
    warehouse_id: str,
    since: datetime,
    *,
    workspace: str,
    jobs: Mapping[str, str],
    now: datetime,
    wait: Callable[[float], object] = time.sleep,
) -> list[dict[str, Any]]:
    """Rows of `batch_runs` for every run that has ended.

    Args:
        client: of databricks-sdk.
        warehouse_id: runs the query.
        since: aware.
        workspace: host name for the keys.
        jobs: job id -> name of the expected job.
        now: time of ingestion.
        wait: pauses between two looks at a slow query.

    Raises:
        StoreError: the query failed, most often because the table was not granted.
    """
    from databricks.sdk.service.sql import StatementParameterListItem

    parameters = [
        StatementParameterListItem(name="workspace_id", value=str(client.get_workspace_id()), type="STRING"),
        StatementParameterListItem(
            name="since", value=since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"), type="TIMESTAMP"
        ),
    ]
    answer = client.statement_execution.execute_statement(
        statement=QUERY, warehouse_id=warehouse_id, parameters=parameters, wait_timeout="30s"
    )
    answer = _finished(client, answer, wait)
    rows = []
    for values in _data(client, answer):
        row = _row(dict(zip(_COLUMNS, values, strict=True)), workspace, jobs, now)
        if row is not None:
            rows.append(row)
    return rows


def _finished(client: Any, answer: Any, wait: Callable[[float], object]) -> Any:  # noqa: ANN401
    waited = 0.0
    while str(answer.status.state.value) in _RUNNING and waited < _PATIENCE_SECONDS:
        wait(2.0)
        waited += 2.0
        answer = client.statement_execution.get_statement(answer.statement_id)
    if answer.status.state.value != "SUCCEEDED":
        reason = answer.status.error.message if answer.status.error is not None else answer.status.state.value
        raise StoreError(
            f"the job history cannot be queried ({str(reason)[:200]})",
            at="system.lakeflow.job_run_timeline",
            hint="an administrator grants SELECT on system.lakeflow to the token's user",
        )
    return answer


def _data(client: Any, answer: Any) -> Iterator[list[str | None]]:  # noqa: ANN401
    chunk = answer.result
    while chunk is not None:
        yield from chunk.data_array or ()
        if chunk.next_chunk_index is None:
            return
        chunk = client.statement_execution.get_statement_result_chunk_n(answer.statement_id, chunk.next_chunk_index)


def _row(
    found: Mapping[str, str | None], workspace: str, jobs: Mapping[str, str], now: datetime
) -> dict[str, Any] | None:
    start, end = _moment(found["start_time"]), _moment(found["end_time"])
    if start is None or end is None or found["result_state"] is None:
        return None  # still running: the poller follows it
    job_id = found["job_id"]
    return {
        "workspace": workspace,
        "job_id": job_id,
        "job_name": jobs.get(job_id or "", found["run_name"] or job_id or ""),
        "run_id": str(found["run_id"]),
        "attempt": 0,
        "task_key": "",
        "start_date": start.date(),
        "start_time": start,
        "end_time": end,
        "run_ms": (end - start) // timedelta(milliseconds=1),
        "result_state": _STATES.get(found["result_state"], found["result_state"]),
        "life_cycle_state": "TERMINATED",
        "termination_code": found["termination_code"],
        "trigger": found["trigger_type"],
        "ingest_time": now,
    }


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
