"""Brings the history into the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.demo.log_rows import days_of, outcome_rows, prediction_rows
from tiltmeter.demo.world import JOB_NAME
from tiltmeter.store.schema import BATCH_RUNS, OUTCOMES, PREDICTIONS, TRAFFIC
from tiltmeter.store.traffic import derive, traffic_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tiltmeter.demo.build import DemoWorld
    from tiltmeter.store.delta import DeltaLog

HOST = "demo-history"


def import_history(world: DemoWorld, log: DeltaLog, tell: Callable[[datetime], None]) -> dict[str, int]:
    """Append every day of the history, its traffic, its outcomes and its batch runs.

    Returns:
        Rows per table.
    """
    rows = prediction_rows(world.history)
    rows = rows.append_column("request_date", pc.cast(rows["request_time"], pa.date32()))
    for day, part in days_of(rows, world.period):
        log.append(PREDICTIONS.name, part)
        log.append(TRAFFIC.name, traffic_table(derive(part.to_batches(), HOST).states()))
        tell(day)
    outcomes = outcome_rows(world.history.leads, world.period.end)
    known = outcomes["outcome_time"]
    log.append(
        OUTCOMES.name,
        outcomes.append_column("ingest_date", pc.cast(known, pa.date32()))
        .append_column("ingest_time", known)
        .append_column("recorded_time", known)
        .append_column("position", pa.array(range(outcomes.num_rows), pa.int64())),
    )
    log.append(BATCH_RUNS.name, _runs(world))
    return {"predictions": rows.num_rows, "outcomes": outcomes.num_rows, "batch_runs": len(world.history.runs)}


def _runs(world: DemoWorld) -> pa.Table:
    rows = [
        {
            "workspace": "", "job_id": JOB_NAME, "job_name": JOB_NAME, "run_id": f"{JOB_NAME}-{run.number}",
            "attempt": 0, "task_key": "", "start_date": run.start.date(), "start_time": run.start,
            "end_time": run.end, "run_ms": int((run.end - run.start).total_seconds() * 1000),
            "result_state": "SUCCESS", "records_in": run.records, "records_scored": run.records, "records_failed": 0,
            "ingest_time": run.end,
        }
        for run in world.history.runs
    ]  # fmt: skip
    names = list(rows[0])
    return pa.Table.from_pylist(rows, schema=pa.schema([BATCH_RUNS.columns.field(name) for name in names]))
