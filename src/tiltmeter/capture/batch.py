"""`batch_job(...)`: the predictions and the counts of a batch job, kept as one run.

    spool/batch/<run>/part-00000.parquet …     rows with the columns of `predictions`, features as `f_<name>`
                      manifest.json            `domain.batch_run.BatchManifest`, written last

Everything is written into `<run>.writing-<random>/`, synced, and appears by one rename (`run_folder`). When the run is
there already, or was shipped before, the first one stands; a failed run may be tried again under the same id and is
another attempt. A killed process leaves its folder, and the shipper ends the run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.options import spool_folder
from tiltmeter.capture.privacy import HASH_KEY, Privacy
from tiltmeter.capture.record import micros
from tiltmeter.capture.run_folder import next_attempt, publish, running
from tiltmeter.capture.slot import host_name
from tiltmeter.domain.batch_run import (
    KILLED,
    MANIFEST_FORMAT,
    WRITING,
    BatchManifest,
    BatchPart,
    BatchRun,
    RunState,
)
from tiltmeter.domain.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

BATCH_FOLDER = "batch"
PART_ROWS = 1_000_000
"""Rows of one file."""

GROUP_ROWS = 20_000
"""Rows of one row group: the shipper holds one of them in memory."""

_log = logging.getLogger(__name__)
_READ_BYTES = 1_048_576
_UNIQUE_COLUMNS = ("event_id", "entity_id", "request_id", "client_request_id")


class BatchJob:
    """One run that is being recorded; made by `batch_job`."""

    def __init__(
        self,
        folder: Path,
        *,
        run: BatchRun,
        model_version: str,
        source: str,
        privacy: Privacy,
        now: Callable[[], datetime] | None,
    ) -> None:
        self.run_id = run.run_id
        self.records_in = self.records_scored = self.records_failed = 0
        self._folder = folder
        self._run = run
        self._model_version = model_version
        self._source = source
        self._privacy = privacy
        self._now = now or _wall_clock
        self._started = self._now()
        self._begun = time.monotonic() if now is None else None
        self._rows = 0
        self._parts: list[BatchPart] = []
        self._ignored: dict[str, None] = {}

    def log(
        self,
        frame: Any,  # noqa: ANN401 - a data frame of any library
        *,
        score: str,
        entity_id: str | None = None,
        time: str | None = None,
        model_version: str | None = None,
        columns: Mapping[str, str] | None = None,
        features: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        """Keep scored rows. May be called for each chunk of a large job.

        Rows without a finite score count as failed and are kept without a prediction.

        Args:
            frame: pandas, Polars, Spark or Arrow.
            score: column of the score.
            entity_id: column of the lead's id.
            time: column of the time of the prediction, with a zone; the present by default.
            model_version: column of the version.
            columns: column of `predictions` -> column of the frame, for `execution_duration_ms`, `status_code` and
                others that a history of an API brings.
            features: columns that are features; by default every other one.
            ignore: columns that are left out.

        Raises:
            UsageError: a column does not exist or does not fit.
            StoreError: the spool cannot be written.
        """
        from tiltmeter.capture.frames import FrameColumns, frame_rows

        roles = {"prediction": score, **(columns or {})}
        given = {"entity_id": entity_id, "request_time": time, "model_version": model_version}
        roles.update({role: name for role, name in given.items() if name is not None})
        chosen = None if features is None else tuple(features)
        rows = frame_rows(frame, FrameColumns(roles, chosen, tuple(ignore)), self._privacy)
        for start in range(0, rows.table.num_rows, PART_ROWS):
            self._write_part(rows.table.slice(start, PART_ROWS))
        self._ignored.update(dict.fromkeys(rows.ignored))
        self.add(rows_in=rows.table.num_rows, rows_scored=rows.scored, rows_failed=rows.table.num_rows - rows.scored)

    def add(self, *, rows_in: int = 0, rows_scored: int = 0, rows_failed: int = 0) -> None:
        """Count rows that `log` does not see, such as those that could not be read or were scored elsewhere."""
        self.records_in += rows_in
        self.records_scored += rows_scored
        self.records_failed += rows_failed

    def _write_part(self, table: Any) -> None:  # noqa: ANN401 - a pyarrow.Table; loaded with the frames
        import pyarrow.parquet as pq

        path = self._folder / f"part-{len(self._parts):05d}.parquet"
        try:
            with path.open("xb") as file:
                completed = self._completed(table)
                # Dictionaries for text alone, and a light codec: the shipper reads the file once and writes it anew.
                words = [name for name in completed.column_names if completed.schema.field(name).type == "string"]
                pq.write_table(
                    completed,
                    file,
                    compression="lz4",
                    use_dictionary=[w for w in words if w not in _UNIQUE_COLUMNS],
                    row_group_size=GROUP_ROWS,
                )
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                path.unlink()  # torn: a job that goes on writes it again
            raise StoreError(
                f"the rows of the job cannot be kept ({error.strerror or error})", at=str(path), retryable=True
            ) from error
        self._parts.append(
            BatchPart(file=path.name, rows=table.num_rows, bytes=path.stat().st_size, sha256=_hash(path))
        )
        self._rows += table.num_rows

    def _completed(self, table: Any) -> Any:  # noqa: ANN401 - as _write_part
        """The rows with the columns that are the same for the whole run, metadata first."""
        import pyarrow as pa

        from tiltmeter.capture.frames import constant, row_ids

        count = table.num_rows
        run = self._run
        arrays = {
            "event_id": row_ids(run.application, self._rows, count),
            "source": constant(self._source, count),
            "model_name": constant(run.model, count),
            "job_id": constant(run.job, count),
            "run_id": constant(run.run_id, count),
            "task_key": constant(run.task_key, count),
        }
        if "request_time" not in table.column_names:
            arrays["request_time"] = pa.repeat(pa.scalar(self._now(), pa.timestamp("us", tz="UTC")), count)
        if "model_version" not in table.column_names:
            arrays["model_version"] = constant(self._model_version, count)
        arrays.update({name: table.column(name) for name in table.column_names})
        return pa.table(arrays)

    def _ended(self) -> datetime:
        """The present by the clock of the start: the wall clock may jump while the job runs."""
        if self._begun is None:
            return max(self._now(), self._started)
        return self._started + timedelta(seconds=time.monotonic() - self._begun)

    def manifest(self, state: RunState, message: str) -> BatchManifest:
        """What the run wrote so far."""
        return BatchManifest(
            format=MANIFEST_FORMAT,
            run_id=self._run.run_id,
            job=self._run.job,
            model=self._run.model,
            host=host_name(),
            started_us=micros(self._started),
            ended_us=micros(self._ended()),
            state=state,
            message=message,
            records_in=self.records_in,
            records_scored=self.records_scored,
            records_failed=self.records_failed,
            bytes_written=sum(part.bytes for part in self._parts),
            columns_ignored=tuple(self._ignored),
            parts=tuple(self._parts),
            task_key=self._run.task_key,
            attempt=self._run.attempt,
        )


@contextmanager
def batch_job(
    *,
    model: str,
    job: str,
    run_id: str | None = None,
    model_version: str = "",
    task_key: str = "",
    attempt: int | None = None,
    spool: Path | str | None = None,
    drop: Sequence[str] = (),
    hash: Sequence[str] = (),  # noqa: A002 - the word of the configuration
    truncate: Mapping[str, int] | None = None,
    hash_key: str = HASH_KEY,
    source: str = "batch",
    now: Callable[[], datetime] | None = None,
) -> Iterator[BatchJob]:
    """Record one run of a batch job; also when it raises, with the rows and counts it had until then.

    Args:
        model: model name.
        job: name of the job, as in the configuration.
        run_id: of the scheduler; a repetition by the same model and job with the same id changes nothing. Random by
            default.
        model_version: of every row without a version column.
        task_key: task of a job with several.
        attempt: repetition of the run, from 0. By default the one after the failed attempts that this spool knows; a
            job whose attempts run on several machines tells it.
        spool: folder; by default `$TILTMETER_SPOOL`, else `./tiltmeter-home/spool`.
        drop: columns that are never stored.
        hash: columns that are stored as a keyed hash.
        truncate: column -> characters that are stored.
        hash_key: `env:NAME` or `file:PATH`.
        source: `batch`, or `api` for the history of a service.
        now: gives the present, aware UTC; by default the clock, and the duration does not follow its jumps.

    Raises:
        UsageError: there is no model or job name.
        StoreError: the spool cannot be written.
    """
    if not model or not job:
        raise UsageError("a batch job needs a model and a job name")
    run = BatchRun(model, job, run_id or uuid.uuid4().hex, task_key, attempt or 0)
    root = spool_folder(spool) / BATCH_FOLDER
    if attempt is None:
        run = next_attempt(root, run)
    folder = root / f"{run.folder}{WRITING}{uuid.uuid4().hex[:8]}"
    try:
        LOCAL_FILES.make_folder(folder)
    except OSError as error:
        raise StoreError(f"the spool cannot be written ({error.strerror})", at=str(root), retryable=True) from error
    recorded = BatchJob(
        folder,
        run=run,
        model_version=model_version,
        source=source,
        privacy=Privacy(drop=drop, hash=hash, truncate=truncate, key=hash_key),
        now=now,
    )
    with running(folder, recorded.manifest(RunState.FAILED, KILLED)):
        try:
            yield recorded
        except BaseException as error:
            _publish_failed(recorded.manifest(RunState.FAILED, type(error).__name__), folder, error)
            raise
        publish(recorded.manifest(RunState.SUCCESS, ""), folder)


def _wall_clock() -> datetime:
    return datetime.now(UTC)


def _publish_failed(manifest: BatchManifest, folder: Path, error: BaseException) -> None:
    """The user's own error is what they need to see, also when the run cannot be kept, say on a full disk."""
    try:
        publish(manifest, folder)
    except StoreError as lost:
        note = f"tiltmeter: {lost}; the shipper ends the run with the rows that were kept until then"
        error.add_note(note)
        _log.error("the failed run of a batch job: %s", note)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
