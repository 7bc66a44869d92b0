"""Batch runs of releases that named a run by its id alone: none is shipped twice, none is taken for another job's.

Then two jobs with one run id had one application id. What such a release shipped is still recognised by it, if it was
this job's; a run that waits in that form goes on under it, unless another job has taken it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tiltmeter.domain.batch_run import RunState
from tiltmeter.store.parquet_rows import RowFilter
from tiltmeter.store.schema import BATCH_RUNS, PREDICTIONS
from tiltmeter.store.snapshot import snapshot

if TYPE_CHECKING:
    from tiltmeter.domain.batch_run import BatchManifest, BatchRun
    from tiltmeter.store.delta import DeltaLog


def application_of(manifest: BatchManifest, log: DeltaLog) -> str | None:
    """The application id of the run's transactions; None when an earlier release has shipped the run.

    Args:
        manifest: in either form.
        log: the tables.

    Raises:
        StoreError: a table is away.
    """
    run = manifest.run
    if not any(
        log.for_writing(name).contains(run.first_application, 0) for name in (PREDICTIONS.name, BATCH_RUNS.name)
    ):
        return run.first_application if manifest.is_first_form else run.application
    is_own = _belongs_to(run, log)
    if manifest.is_first_form:
        return run.first_application if is_own else run.application
    return None if is_own and _succeeded(run, log) else run.application


def _belongs_to(run: BatchRun, log: DeltaLog) -> bool:
    """Whether what was shipped in the first form is this job's."""
    owners = set()
    snap = snapshot(log.table(PREDICTIONS.name))
    if snap is not None:
        rows = snap.rows(RowFilter({"run_id": run.run_id}))
        for batch in rows.batches(["event_id", "model_name", "job_id"]):
            owners |= {
                (row["model_name"], row["job_id"])
                for row in batch.to_pylist()
                if (row["event_id"] or "").startswith(f"{run.first_application}-")
            }
    # A run without rows is known by its own row alone, and that does not tell the model.
    return (run.model, run.job) in owners if owners else run.job in {name for name, _ in _first_rows(run, log)}


def _succeeded(run: BatchRun, log: DeltaLog) -> bool:
    """Whether it ended well; after a failure the run may be tried again under the same id."""
    return (run.job, str(RunState.SUCCESS)) in _first_rows(run, log)


def _first_rows(run: BatchRun, log: DeltaLog) -> set[tuple[str, str]]:
    """Job and state of the run's rows in `batch_runs` in the first form."""
    return {
        (row["job_name"], row["result_state"])
        for row in log.stored_runs(datetime.min.replace(tzinfo=UTC), workspace="")
        if (row["run_id"], row["attempt"], row["task_key"]) == (run.run_id, run.attempt, run.task_key)
    }
