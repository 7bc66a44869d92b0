"""Brings the history into the tables, by the code that imports batches and outcomes for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from tiltmeter.capture.batch import batch_job
from tiltmeter.demo.clock import SimulatedClock
from tiltmeter.demo.features import FEATURES
from tiltmeter.demo.log_rows import days_of, outcome_rows, prediction_rows
from tiltmeter.demo.request_log import traffic_rows
from tiltmeter.demo.world import JOB_NAME, MODEL_NAME
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.ingest.outcomes import ImportOptions, import_outcomes
from tiltmeter.store.schema import TRAFFIC
from tiltmeter.store.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path
    from zoneinfo import ZoneInfo

    import pyarrow as pa

    from tiltmeter.capture.batch import BatchJob
    from tiltmeter.demo.build import DemoWorld
    from tiltmeter.ingest.shipper import Shipper
    from tiltmeter.store.delta import DeltaLog

HOST = "history"
IMPORT_JOB = "history-import"
_REQUEST_COLUMNS = (
    "request_id", "threshold", "status_code", "execution_duration_ms", "http_route", "http_method", "error_type",
)  # fmt: skip


def import_history(
    world: DemoWorld,
    *,
    spool: Path,
    shipper: Shipper,
    log: DeltaLog,
    zone: ZoneInfo,
    tell: Callable[[datetime], None],
) -> dict[str, int]:
    """Import every day of the API, every nightly run, the requests and the outcomes.

    Args:
        world: the company.
        spool: where runs are left for the shipper.
        shipper: brings them into the tables.
        log: the tables.
        zone: business time zone.
        tell: hears of each day.

    Returns:
        Rows per table.
    """
    rows = prediction_rows(world.history)
    of_api = pc.equal(rows["source"], "api")
    clock = SimulatedClock(world.period.end)
    with batch_job(
        model=MODEL_NAME, job=IMPORT_JOB, run_id=f"{IMPORT_JOB}-{world.seed}", source="api", spool=spool, now=clock.now
    ) as job:
        for day, part in days_of(rows.filter(of_api), world.period):
            _log(job, part, _REQUEST_COLUMNS)
            tell(day)
    nightly = rows.filter(pc.invert(of_api))
    for run in world.history.runs:
        clock.shown = run.start
        with batch_job(
            model=MODEL_NAME, job=JOB_NAME, run_id=f"{JOB_NAME}-{run.start:%Y-%m-%d}", spool=spool, now=clock.now
        ) as job:
            _log(job, nightly.filter(pc.equal(nightly["run_id"], f"{JOB_NAME}-{run.number:08d}")), ("threshold",))
            clock.shown = run.end
    shipped = shipper.ship_once(world.period.end, flush=True)
    log.append(TRAFFIC.name, traffic_rows(world.history.scored, HOST))
    known = outcome_rows(world.history.leads, world.period.end)
    outcomes = import_outcomes(TableRows(known, "outcomes"), log, now=world.period.end, options=ImportOptions(zone))
    return {
        "predictions": shipped.predictions, "outcomes": outcomes.written, "batch_runs": len(world.history.runs),
    }  # fmt: skip


def traffic_batches(log: DeltaLog) -> Iterator[pa.RecordBatch]:
    """Rows of the `traffic` table, as they were stored."""
    stored = snapshot(log.table(TRAFFIC.name))
    if stored is not None:
        yield from stored.rows().batches()


def _log(job: BatchJob, rows: pa.Table, columns: tuple[str, ...]) -> None:
    names = {name.removeprefix("f_") if name.startswith("f_") else f"log.{name}": name for name in rows.column_names}
    job.log(
        rows.rename_columns(list(names)),
        score="log.prediction",
        entity_id="log.entity_id",
        time="log.request_time",
        model_version="log.model_version",
        columns={name: f"log.{name}" for name in columns},
        features=FEATURES,
    )
