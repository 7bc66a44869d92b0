"""Batch runs whose process was killed: what they wrote is kept, and the run ends as failed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from tiltmeter.capture.slot import host_name
from tiltmeter.domain.batch_run import (
    FAILED_MARK,
    MANIFEST_FILE,
    RUNNING_FILE,
    WRITING,
    BatchManifest,
    BatchPart,
    decode_manifest,
)

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

MARKS_KEPT = timedelta(days=30)
"""A scheduler that tries a run again after a month gets a new attempt only if it says so."""

_log = structlog.get_logger(__name__)


def end_killed_runs(batch: Path) -> int:
    """Complete the folders that no process writes any more; the number of runs.

    Args:
        batch: folder of runs in the spool.
    """
    ended = 0
    for folder in sorted(batch.glob(f"*{WRITING}*")) if batch.is_dir() else ():
        try:
            with (folder / RUNNING_FILE).open("rb") as running:
                fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
                manifest = decode_manifest(running.read())
                # A lock of another host may not be seen here.
                if manifest.host == host_name():
                    _end(folder, manifest)
                    ended += 1
        except (OSError, ValueError):
            continue  # still written, or ended by another shipper
    return ended


def _end(folder: Path, started: BatchManifest) -> None:
    final = folder.with_name(started.folder)
    if final.exists():
        shutil.rmtree(folder, ignore_errors=True)
        return
    if not (folder / MANIFEST_FILE).exists():
        (folder / MANIFEST_FILE).write_bytes(msgspec.json.encode(_as_found(folder, started)))
    (folder / RUNNING_FILE).unlink()
    os.rename(folder, final)  # noqa: PTH104 - fails when another one was faster, as it should
    _log.warning("job_run_killed", job=started.job, run=started.run_id)


def _as_found(folder: Path, started: BatchManifest) -> BatchManifest:
    """The manifest that the process would have written: whole parts count, a torn last one does not."""
    parts, scored, ended_us = [], 0, started.started_us
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            predictions = pq.read_table(path, columns=["prediction"])
        except (OSError, pa.ArrowException):
            continue
        data = path.read_bytes()
        parts.append(
            BatchPart(
                file=path.name, rows=predictions.num_rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
            )
        )
        scored += predictions.num_rows - predictions.column(0).null_count
        ended_us = max(ended_us, path.stat().st_mtime_ns // 1000)
    rows = sum(part.rows for part in parts)
    return msgspec.structs.replace(
        started, ended_us=ended_us, parts=tuple(parts), records_in=rows, records_scored=scored,
        records_failed=rows - scored, bytes_written=sum(part.bytes for part in parts),
    )  # fmt: skip


def forget_marks(batch: Path, now: datetime) -> None:
    """Remove marks of failed runs that are older than anybody tries again."""
    for mark in batch.glob(f"*{FAILED_MARK}"):
        if mark.is_file() and now.timestamp() - mark.stat().st_mtime > MARKS_KEPT.total_seconds():
            mark.unlink(missing_ok=True)
