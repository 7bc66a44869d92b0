"""Batch jobs: late, failed, slow, short of records."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.job_state import is_failed, is_good, is_of_model
from tiltmeter.domain.metric import Metric, Status, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tiltmeter.domain.model import JobExpectation
    from tiltmeter.domain.window import Window

JOB = "job"
"""Segment key of one job's metrics."""

GOOD_RUNS = 10
"""Runs whose median is "usual" (statistics.md section 5)."""


def job_metrics(
    jobs: Sequence[JobExpectation],
    runs: Sequence[dict[str, Any]],
    *,
    model: str,
    window: Window,
    watched_since: datetime | None,
) -> list[Metric]:
    """Metrics of every expected job as it was known at the end of the window.

    Args:
        jobs: what should run.
        runs: rows of `batch_runs` by start time; later ones than the window are left out here.
        model: model name.
        window: failures are counted in it; lateness is judged at its end.
        watched_since: since when a job that never ran could have been seen; None when unknown.
    """
    metrics: list[Metric] = []
    for job in jobs:
        known = [
            run
            for run in runs
            if run["job_name"] == job.name
            and run["start_time"] < window.end
            and not run.get("task_key")
            # Two models may each have a job of one name.
            and is_of_model(run, model)
        ]
        known.sort(key=lambda run: run["start_time"])
        metrics.extend(
            _one_job(job, known, Subject(model, segment_key=JOB, segment_value=job.name), window, watched_since)
        )
    return metrics


def _one_job(
    job: JobExpectation, runs: list[dict[str, Any]], subject: Subject, window: Window, watched_since: datetime | None
) -> list[Metric]:
    started = runs[-1]["start_time"] if runs else watched_since
    metrics = []
    if started is None:
        metrics.append(Metric("batch.overdue", subject, window, None, Status.NO_DATA, "never seen", n_current=0))
    else:
        due = started + job.expect_every + job.grace
        overdue = max(0.0, (window.end - due).total_seconds())
        details: dict[str, str | float | int | list[str]] = {
            "expected": due.isoformat(),
            "last_run": started.isoformat(),
        }
        metrics.append(Metric("batch.overdue", subject, window, overdue, n_current=len(runs), details=details))
    failed = [run for run in runs if is_failed(run) and _ended(run) in window]
    details = (
        {"message": str(failed[-1].get("message") or "")[:200], "run_id": str(failed[-1]["run_id"])} if failed else {}
    )
    metrics.append(Metric("batch.failed", subject, window, float(len(failed)), n_current=len(runs), details=details))
    metrics.extend(_ratios(job, runs, subject, window))
    return metrics


def _ended(run: dict[str, Any]) -> datetime:
    """When it is known that the run failed: of a run of tasks, when the first of them did."""
    ended: datetime = run.get("failed_time") or run["end_time"] or run["start_time"]
    return ended


def good_runs(job: JobExpectation, runs: Iterable[dict[str, Any]], until: datetime) -> list[dict[str, Any]]:
    """Runs of a job, by start time, that succeeded and are complete at a moment."""
    good = [run for run in runs if is_good(run) and run["end_time"] is not None and run["end_time"] < until]
    if len(good) > 1 and not set(good[-2].get("tasks", ())) <= set(good[-1].get("tasks", ())):
        # Tasks of it may not have ended yet; after the allowed lateness they count as missing.
        is_due = until >= good[-1]["end_time"] + job.grace
        good = good if is_due else good[:-1]
    return good


def usual(good: Sequence[dict[str, Any]], field: str) -> float | None:
    """What the newest good run is held against: the median of the `GOOD_RUNS` before it; None without a number."""
    before = [run[field] for run in good[-1 - GOOD_RUNS : -1] if run.get(field) is not None]
    return median(before) if before else None


def _ratios(job: JobExpectation, runs: list[dict[str, Any]], subject: Subject, window: Window) -> list[Metric]:
    good = good_runs(job, runs, window.end)
    if len(good) < 2:
        why = "needs two good runs"
        return [
            Metric(name, subject, window, None, Status.TOO_LITTLE_HISTORY, why, n_current=len(good))
            for name in ("batch.duration_ratio", "batch.records_ratio")
        ]
    last = good[-1]
    ratios = []
    for name, field in (("batch.duration_ratio", "run_ms"), ("batch.records_ratio", "records_scored")):
        now, middle = last.get(field), usual(good, field) or 0
        value = now / middle if middle and now is not None else None
        status = Status.OK if value is not None else Status.TOO_LITTLE_HISTORY
        details: dict[str, str | float | int | list[str]] = {"last": now or 0, "usual": middle}
        ratios.append(Metric(name, subject, window, value, status, n_current=len(good), details=details))
    return ratios
