"""Batch runs from the spool: Parquet parts behind a manifest become rows of `predictions`, the run one of `batch_runs`.

`spool/batch/<run>/` appears by one rename when it is complete. A commit carries (`job/<model>/<job>/<run>`, rows of the
run that are in the table with it) as its application transaction; so a run that is repeated under the same id, shipped
by two shippers, or in part before a crash, is in the tables once.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.frames import finite_scores
from tiltmeter.capture.run_folder import discard
from tiltmeter.domain.batch_run import (
    FAILED_MARK,
    MANIFEST_FILE,
    REMOVED,
    WRITING,
    BatchManifest,
    RunState,
    decode_manifest,
)
from tiltmeter.ingest.aside import set_aside
from tiltmeter.ingest.columns import LATEST_US
from tiltmeter.ingest.earlier_runs import application_of
from tiltmeter.ingest.killed_runs import end_killed_runs, forget_marks
from tiltmeter.ingest.live_predictions import PredictionCounts
from tiltmeter.ingest.private import private_columns
from tiltmeter.store.schema import BATCH_RUNS, FEATURE_PREFIX, PREDICTIONS
from tiltmeter.store.table import ConcurrentCommitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiltmeter.capture.privacy import Privacy
    from tiltmeter.ingest.columns import FeatureTypes
    from tiltmeter.store.delta import DeltaLog

BATCH_ROWS = 20_000
"""Rows of one commit: with 100,000 a part of 1,000,000 rows and 28 columns takes 200 MiB more (ADR 32)."""

RIVAL_TRIES = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAMAGED = (OSError, ValueError, pa.ArrowException)

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class BatchShipper:
    """Ships complete runs of a spool.

    Args:
        spool: root; runs lie in its folder `batch`.
        log: the tables.
        types: of feature columns, shared with the segments.
        damaged: where runs go that cannot be read.
        counters: what did not fit, by reason.
        privacy: rules by model, which hold again here.
        predictions: counts the rows that are new.
    """

    spool: Path
    log: DeltaLog
    types: FeatureTypes
    damaged: Path
    counters: Counter[str] = field(default_factory=Counter)
    privacy: Mapping[str, Privacy] = field(default_factory=dict)
    predictions: PredictionCounts = field(default_factory=PredictionCounts)

    def ship(self, now: datetime) -> int:
        """Every complete run; the number of rows that are new.

        Raises:
            StoreError: a table is away; the runs stay in the spool.
        """
        rows = 0
        batch = self.spool / "batch"
        end_killed_runs(batch, now, self.damaged, self.counters)
        for folder in waiting_runs(batch):
            try:
                manifest = decode_manifest((folder / MANIFEST_FILE).read_bytes())
                _verify(folder, manifest)
            except _DAMAGED as error:
                self._set_aside(folder, error)
                continue
            try:
                rows += self._ship_run(folder, manifest, now)
            except (FileNotFoundError, ValueError, pa.ArrowException) as error:
                self._set_aside(folder, error)
        forget_marks(batch, now)
        return rows

    def _set_aside(self, folder: Path, error: Exception) -> None:
        if not folder.exists():
            return  # another shipper was faster
        why = (
            f"{Path(error.filename or 'a file').name} is missing"
            if isinstance(error, FileNotFoundError)
            else str(error)
        )
        set_aside(folder, self.damaged, f"batch-{folder.name}", why, self.counters)

    def _ship_run(self, folder: Path, manifest: BatchManifest, now: datetime) -> int:
        application = application_of(manifest, self.log)
        rows = 0
        if application is not None:
            transaction = _Transaction(application, by_rows=application == manifest.run.application)
            committed = self.log.for_writing(PREDICTIONS.name).committed(application)
            for part, sequence in _slices(folder, manifest, transaction):
                if committed is None or sequence > committed:
                    rows += self._append(part, sequence, manifest, transaction, now)
            row = run_row(manifest, now) | {"workspace": manifest.run.workspace if transaction.by_rows else ""}
            run = pa.Table.from_pylist([row], schema=BATCH_RUNS.columns)
            self.log.append(BATCH_RUNS.name, run, {application: len(manifest.parts)})
            if manifest.state is RunState.FAILED and self._stands_failed(row):
                folder.with_name(folder.name + FAILED_MARK).touch()
                LOCAL_FILES.sync_folder(folder.parent)
        discard(folder)
        self.counters["batch_rows_shipped"] += rows
        _log.info("job_run_seen", job=manifest.job, run=manifest.run_id, rows=rows, state=str(manifest.state))
        return rows

    def _stands_failed(self, row: dict[str, Any]) -> bool:
        """Whether the run is kept as failed; a twin of it may have succeeded and been shipped before."""
        return any(
            known["result_state"] == str(RunState.FAILED)
            for known in self.log.stored_runs(datetime.min.replace(tzinfo=UTC), workspace=row["workspace"])
            if all(known[column] == row[column] for column in BATCH_RUNS.key)
        )

    def _append(
        self,
        batches: list[pa.RecordBatch],
        sequence: int,
        manifest: BatchManifest,
        transaction: _Transaction,
        now: datetime,
    ) -> int:
        """What of a slice is new, in one commit, so that its transaction says everything about it."""
        for _ in range(RIVAL_TRIES):
            handle = self.log.for_writing(PREDICTIONS.name)
            fresh = transaction.fresh(batches, sequence, handle.committed(transaction.application))
            if not fresh:
                return 0
            self.types.learn(handle.schema())
            rows = pa.concat_tables([self._conform(batch, manifest, now) for batch in fresh], promote_options="default")
            rows = transaction.named(rows, manifest)
            try:
                handle.append(rows, {transaction.application: sequence})
            except ConcurrentCommitError:
                self.counters["rival_commits"] += 1
                continue
            self.predictions.count(rows)
            return int(rows.num_rows)
        raise ConcurrentCommitError(PREDICTIONS.name, f"{RIVAL_TRIES} times in a row")

    def _conform(self, batch: pa.RecordBatch, manifest: BatchManifest, now: datetime) -> pa.Table:
        """The part's columns under the table's names and types; what does not fit is rescued."""
        rules = self.privacy.get(manifest.model)
        given = private_columns({name: batch.column(name) for name in batch.schema.names}, rules)
        rescued: dict[int, dict[str, Any]] = {}
        filled = _filled(manifest, now)
        columns: dict[str, pa.Array] = {}
        for column in PREDICTIONS.columns:
            stored = given.get(column.name)
            if stored is None:
                columns[column.name] = pa.repeat(pa.scalar(filled.get(column.name), column.type), batch.num_rows)
            else:
                columns[column.name] = stored.cast(column.type, safe=False)
        columns["prediction"] = finite_scores(columns["prediction"], rescued)
        columns["request_time"] = self._sane_times(columns["request_time"], filled["request_time"], rescued)
        columns["request_date"] = pc.cast(columns["request_time"], pa.date32())
        for name, values in given.items():
            if name.startswith(FEATURE_PREFIX):
                typed = self._feature(name, values, rescued)
                if typed is not None:
                    columns[name] = typed
        if rescued:
            columns["_rescued_data"] = _with_rescued(columns["_rescued_data"], rescued)
        return pa.table(columns)

    def _sane_times(self, times: pa.Array, start: datetime, rescued: dict[int, dict[str, Any]]) -> pa.Array:
        """The start of the run instead of a time that is missing, or before 1970 or after 2100."""
        numbers = times.cast(pa.int64())
        sane = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, LATEST_US))
        odd = pc.invert(pc.fill_null(sane, fill_value=False))
        if not pc.any(odd).as_py():
            return times
        for place in pc.indices_nonzero(odd).to_pylist():
            self.counters["times_replaced"] += 1
            if numbers[place].is_valid:
                rescued.setdefault(place, {})["request_time"] = str(numbers[place].as_py())
        return pc.if_else(odd, pa.scalar(start, times.type), times)

    def _feature(self, name: str, values: pa.Array, rescued: dict[int, dict[str, Any]]) -> pa.Array | None:
        """A feature under the type of its column, None when it may not be a column; what does not fit is rescued."""
        plain = _plain(values)
        wanted = self.types.type_of(name, plain.drop_null().slice(0, 1).to_pylist())
        if plain.type == wanted:
            return plain
        reason = "columns_refused" if wanted is None else "type_clashes"
        for place, value in enumerate(plain.to_pylist()):
            if value is not None:
                is_json = not isinstance(value, float) or isfinite(value)
                rescued.setdefault(place, {})[name.removeprefix(FEATURE_PREFIX)] = value if is_json else str(value)
                self.counters[reason] += 1
        return None if wanted is None else pa.nulls(len(plain), wanted)


@dataclass(frozen=True, slots=True)
class _Transaction:
    """How the commits of a run are numbered.

    Args:
        application: id.
        by_rows: by the rows of the run that are in the table; else, as earlier releases did, by parts.
    """

    application: str
    by_rows: bool

    def fresh(self, batches: list[pa.RecordBatch], sequence: int, committed: int | None) -> list[pa.RecordBatch]:
        """What is not in the table yet; with rows as numbers that may be the end of a slice."""
        if not self.by_rows:
            return batches if committed is None or committed < sequence else []
        known = (committed or 0) - (sequence - sum(batch.num_rows for batch in batches))
        found = []
        for batch in batches:
            if known < batch.num_rows:
                found.append(batch.slice(max(known, 0)))
            known -= batch.num_rows
        return found

    def named(self, rows: pa.Table, manifest: BatchManifest) -> pa.Table:
        """The rows under ids that no other run has: those of an earlier release may be another job's as well."""
        if not (self.by_rows and manifest.is_first_form):
            return rows
        place = rows.schema.get_field_index("event_id")
        names = pc.replace_substring(
            rows.column(place), manifest.run.first_application, self.application, max_replacements=1
        )
        return rows.set_column(place, "event_id", names)


def _slices(
    folder: Path, manifest: BatchManifest, transaction: _Transaction
) -> Iterator[tuple[list[pa.RecordBatch], int]]:
    """Rows of one commit each, and its sequence."""
    rows = 0
    for position, part in enumerate(manifest.parts):
        with pq.ParquetFile(folder / part.file, pre_buffer=False) as parquet:  # read ahead is kept to the end
            batches = parquet.iter_batches(BATCH_ROWS)
            if not transaction.by_rows:
                yield list(batches), position
                continue
            for batch in batches:
                rows += batch.num_rows
                yield [batch], rows


def _verify(folder: Path, manifest: BatchManifest) -> None:
    """Every part is there as it was written, and is a name beside the manifest.

    Raises:
        ValueError: a part was changed or cut.
    """
    for part in manifest.parts:
        if Path(part.file).name != part.file:
            raise ValueError(f"part {part.file!r} is no file beside the manifest")
        with (folder / part.file).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != part.sha256:
                raise ValueError(f"part {part.file} is not as it was written")


def waiting_runs(batch: Path) -> list[Path]:
    """Folders of runs that ended and are in the spool still."""
    if not batch.is_dir():
        return []
    return sorted(f for f in batch.iterdir() if WRITING not in f.name and REMOVED not in f.name and f.is_dir())


def age_of_oldest_run(batch: Path, now: datetime) -> float:
    """Seconds since the oldest of them ended; 0 when none waits."""
    ended = []
    for folder in waiting_runs(batch):
        with suppress(OSError):  # shipped while we looked
            ended.append((folder / MANIFEST_FILE).stat().st_mtime)
    return max(now.timestamp() - min(ended), 0.0) if ended else 0.0


def _filled(manifest: BatchManifest, now: datetime) -> dict[str, Any]:
    return {
        "request_time": _moment(manifest.started_us, now),
        "source": "batch",
        "model_name": manifest.model,
        "run_id": manifest.run_id,
        "job_id": manifest.job,
        "task_key": manifest.task_key or None,
        "ingest_time": now,
    }


def _plain(values: pa.Array) -> pa.Array:
    """Features have three types: every number is a double, true and false are booleans, the rest is text."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _plain(values.dictionary_decode())
    if pa.types.is_boolean(kind):
        return values
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64(), safe=False)
    return values.cast(pa.string())


def _with_rescued(before: pa.Array, rescued: Mapping[int, dict[str, Any]]) -> pa.Array:
    texts = before.to_pylist()
    for place, values in rescued.items():
        known = json.loads(texts[place]) if texts[place] else {}
        texts[place] = json.dumps(known | values, ensure_ascii=False, sort_keys=True, default=str)
    return pa.array(texts, pa.string())


def run_row(manifest: BatchManifest, now: datetime) -> dict[str, Any]:
    """The run as a row of `batch_runs`."""
    started, ended = _moment(manifest.started_us, now), _moment(manifest.ended_us, now)
    run_ms = max(0, manifest.ended_us - manifest.started_us) // 1000  # of earlier releases after a clock was set back
    return {
        "workspace": manifest.run.workspace,
        "job_id": manifest.job,
        "job_name": manifest.job,
        "run_id": manifest.run_id,
        "attempt": manifest.attempt,
        "task_key": manifest.task_key,
        "start_date": started.date(),
        "start_time": started,
        "end_time": ended,
        "run_ms": run_ms,
        "execution_ms": run_ms,
        "result_state": str(manifest.state),
        "life_cycle_state": "TERMINATED",
        "message": manifest.message or None,
        "records_in": manifest.records_in,
        "records_scored": manifest.records_scored,
        "records_failed": manifest.records_failed,
        "bytes_written": manifest.bytes_written,
        "ingest_time": now,
    }


def _moment(time_us: int, now: datetime) -> datetime:
    """A time of the run; the present where the clock of its host is broken."""
    return _EPOCH + timedelta(microseconds=time_us) if 0 <= time_us < LATEST_US else now
