"""One run of the Jobs API as rows of `batch_runs`: the run itself, and one row for each task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 4_102_444_800_000  # 2100-01-01
_MESSAGE = 1_000
_RESULTS = {
    "SUCCESS": "SUCCESS",
    "SUCCESS_WITH_FAILURES": "SUCCESS_WITH_FAILURES",
    "CANCELED": "CANCELED",
    "USER_CANCELED": "CANCELED",
    "SKIPPED": None,
}
"""Result of a run by its termination code; every other code tells of a failure."""
_PHASES = ("setup", "execution", "cleanup", "queue")


def run_rows(run: Any, *, workspace: str, jobs: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:  # noqa: ANN401
    """Rows of a run, the run first.

    Args:
        run: `BaseRun` or `Run` of databricks-sdk.
        workspace: host name.
        jobs: job id -> name of the expected job.
        now: time of ingestion.

    Returns:
        No rows for a run that has no start yet (queued runs get one when they are created).
    """
    start = moment(run.start_time)
    if start is None or run.run_id is None:
        return []
    job_id = str(run.job_id) if run.job_id is not None else None
    shared = {
        "workspace": workspace,
        "job_id": job_id,
        "job_name": _text(jobs.get(job_id or "", run.run_name or job_id or "")),
        "run_id": str(run.run_id),
        "trigger": _word(run.trigger),
        "ingest_time": now,
    }
    tasks = list(run.tasks or ())
    whole = shared | _facts(run, start) | {"task_key": "", "url": _word(run.run_page_url)}
    # A job with several tasks tells its phases on the tasks alone; the run has only its whole duration.
    for phase in _PHASES:
        if not whole[f"{phase}_ms"]:
            told = [getattr(task, f"{phase}_duration", None) for task in tasks]
            whole[f"{phase}_ms"] = sum(ms for ms in told if ms) if any(told) else whole[f"{phase}_ms"]
    rows = [whole]
    for task in tasks:
        begun = moment(task.start_time)
        if begun is not None and task.task_key:
            rows.append(shared | _facts(task, begun) | {"task_key": task.task_key, "url": task.run_page_url})
    return rows


def _facts(part: Any, start: datetime) -> dict[str, Any]:  # noqa: ANN401 - a run or a task
    phases = {f"{phase}_ms": _whole(getattr(part, f"{phase}_duration", None)) for phase in _PHASES}
    end = moment(part.end_time)
    run_ms = _whole(getattr(part, "run_duration", None))
    if not run_ms and end is not None:
        run_ms = (end - start) // timedelta(milliseconds=1)
    life, result, code, message = _states(part)
    return phases | {
        "attempt": int(part.attempt_number or 0),
        "start_date": start.date(),
        "start_time": start,
        "end_time": end,
        "run_ms": run_ms,
        "result_state": result,
        "life_cycle_state": life,
        "termination_code": code,
        "message": _text(message)[:_MESSAGE] if message else None,
    }


def _states(part: Any) -> tuple[str | None, str | None, str | None, str | None]:  # noqa: ANN401
    """Life cycle, result, termination code and message, from the older `state` and the newer `status`."""
    state, status = part.state, part.status
    details = status.termination_details if status is not None else None
    life = _word(state.life_cycle_state) if state is not None else _word(status.state) if status is not None else None
    result = _word(state.result_state) if state is not None else None
    code = _word(details.code) if details is not None else None
    message = (state.state_message if state is not None else None) or (details.message if details is not None else None)
    if result is None and life == "INTERNAL_ERROR":
        result = "INTERNAL_ERROR"
    if result is None and life == "TERMINATED" and code is not None:
        result = _RESULTS.get(code, "FAILED")
    return life, result, code, message


def moment(milliseconds: Any) -> datetime | None:  # noqa: ANN401 - what an API sent
    """Aware UTC from milliseconds since 1970; None for 0 ("not yet") and for what is no time."""
    if not isinstance(milliseconds, int) or not 0 < milliseconds < _LATEST_MS:
        return None
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _whole(value: Any) -> int | None:  # noqa: ANN401 - what an API sent
    return int(value) if isinstance(value, int | float) and abs(value) < _LATEST_MS else None


def _word(value: Any) -> str | None:  # noqa: ANN401 - an enum of the client, or text it does not know
    return None if value is None else _text(getattr(value, "value", value))


def _text(value: object) -> str:
    """Text that any table takes: half a surrogate pair has no bytes."""
    return str(value).encode("utf-8", "replace").decode("utf-8")
