"""The nightly batch job: scores the leads of the last day again and says so to Tiltmeter."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from tiltmeter.capture.batch import batch_job
from tiltmeter.demo.columns import to_arrow
from tiltmeter.demo.features import FEATURES
from tiltmeter.demo.log_rows import entity_ids
from tiltmeter.demo.world import (
    BATCH_LEADS,
    JOB_EVERY,
    JOB_HOUR,
    JOB_NAME,
    MODEL_NAME,
    Period,
    arrival_times,
    draw_leads,
    generator,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from tiltmeter.demo.scoring import LeadModel

_NIGHTLY_NUMBERS = 90_000_000


def next_night(now: datetime) -> datetime:
    """When the job starts next."""
    tonight = now.replace(hour=JOB_HOUR, minute=0, second=0, microsecond=0)
    return tonight if tonight > now else tonight + JOB_EVERY


def run_nightly(model: LeadModel, seed: int, *, spool: Path, now: Callable[[], datetime]) -> int:
    """One run over the leads of the last day.

    Args:
        model: in production.
        seed: of the world.
        spool: of the service.
        now: gives the present, aware UTC.

    Returns:
        Leads scored.
    """
    start = now()
    rng = generator(seed, f"nightly {start:%Y-%m-%d}")
    times = arrival_times(rng, Period(start - timedelta(days=1), start), BATCH_LEADS)
    leads = draw_leads(rng, times, _NIGHTLY_NUMBERS + start.toordinal() % 1000 * 10_000)
    frame = pa.table(
        {"lead_id": entity_ids(leads), "score": pa.array(model.score(leads.columns))}
        | {name: to_arrow(column) for name, column in leads.columns.items()}
    )
    with batch_job(
        model=MODEL_NAME,
        job=JOB_NAME,
        run_id=f"{JOB_NAME}-{start:%Y-%m-%d}",
        model_version=model.version,
        spool=spool,
        now=now,
    ) as job:
        job.log(frame, score="score", entity_id="lead_id", features=FEATURES)
    return len(leads)
