"""Batch runs whose process was killed: what they wrote is kept, and the run ends as failed.

A folder that is being written has a `running.json` that its process holds a lock on. Without a holder its process is
dead: with a manifest the run is complete and only lacks its name, with whole parts it becomes a failed run, with
nothing it is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from tiltmeter.capture.run_folder import discard, name_folder, write_manifest
from tiltmeter.capture.slot import host_name
from tiltmeter.domain.batch_run import (
    FAILED_MARK,
    MANIFEST_FILE,
    REMOVED,
    RUNNING_FILE,
    WRITING,
    BatchManifest,
    BatchPart,
    decode_manifest,
)
from tiltmeter.ingest.aside import set_aside

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

MARKS_KEPT = timedelta(days=30)
"""A scheduler that tries a run again after a month gets a new attempt only if it says so."""

ABANDONED_AFTER = timedelta(days=2)
"""A run of another host, whose lock may not be seen here, is dead when nothing of it was written for so long."""

_BEGUN_WITHIN = timedelta(hours=1)
"""So long a folder without a name of its own may belong to a process that has just made it."""

_log = structlog.get_logger(__name__)


def end_killed_runs(batch: Path, now: datetime, damaged: Path, counters: Counter[str]) -> int:
    """Complete the folders that no process writes any more; the number of runs.

    Args:
        batch: folder of runs in the spool.
        now: aware UTC.
        damaged: where rows go of which nothing tells whose they are.
        counters: of the shipper.
    """
    ended = 0
    for folder in sorted(batch.iterdir()) if batch.is_dir() else ():
        if REMOVED in folder.name:
            shutil.rmtree(folder, ignore_errors=True)
        elif WRITING in folder.name:
            ended += _ended(folder, now, damaged, counters)
    return ended


def _ended(folder: Path, now: datetime, damaged: Path, counters: Counter[str]) -> bool:
    try:
        with _opened(folder / RUNNING_FILE) as running:
            if running is not None:
                fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _end(folder, running.read() if running is not None else b"", now, damaged, counters)
    except OSError:
        return False  # still written, ended by another shipper, or no room for a manifest: the next turn tries again


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        yield file


def _end(folder: Path, running: bytes, now: datetime, damaged: Path, counters: Counter[str]) -> bool:
    with _opened(folder / MANIFEST_FILE) as file:
        complete = _manifest(file.read() if file is not None else b"")
    if complete is not None:
        return name_folder(folder, complete)
    started = _manifest(running)
    silent = now.timestamp() - _newest(folder)
    if started is None:
        if silent > _BEGUN_WITHIN.total_seconds():
            _clear(folder, damaged, counters)
        return False
    if started.host != host_name() and silent < ABANDONED_AFTER.total_seconds():
        return False
    write_manifest(folder, _as_found(folder, started))
    _log.warning("job_run_killed", job=started.job, run=started.run_id)
    return name_folder(folder, started)


def _manifest(data: bytes) -> BatchManifest | None:
    try:
        return decode_manifest(data)
    except ValueError:
        return None  # killed before it was whole


def _newest(folder: Path) -> float:
    """Seconds since 1970 at which something in the folder was written last."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


def _clear(folder: Path, damaged: Path, counters: Counter[str]) -> None:
    if any(folder.glob("part-*.parquet")):
        set_aside(folder, damaged, f"batch-{folder.name}", f"it has no readable {RUNNING_FILE}", counters)
    else:
        discard(folder)  # killed before it had rows


def _as_found(folder: Path, started: BatchManifest) -> BatchManifest:
    """The manifest that the process would have written: whole parts count, a torn last one does not."""
    parts, scored, ended_us = [], 0, started.started_us
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            predictions = pq.read_table(path, columns=["prediction"])
        except (OSError, pa.ArrowException):
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        parts.append(BatchPart(file=path.name, rows=predictions.num_rows, bytes=path.stat().st_size, sha256=digest))
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
