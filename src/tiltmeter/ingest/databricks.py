"""Job runs of a Databricks workspace: polled, kept as they change, filled back from the system tables where granted.

Runs change after they start, so every poll asks again for the last day, and a run that still goes on is read until it
ends. A row is appended only when something about the run is new; the newest row of a run wins.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa
import structlog

from tiltmeter.domain.errors import ConfigError, StoreError
from tiltmeter.ingest.databricks_history import run_counts
from tiltmeter.ingest.databricks_runs import run_rows
from tiltmeter.ingest.databricks_timeline import timeline_rows
from tiltmeter.store.schema import BATCH_RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from threading import Event

    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import Clock
    from tiltmeter.store.delta import DeltaLog

OVERLAP = timedelta(hours=24)
"""Runs that started this long before the newest known one are asked for again: they change after they start."""

FIRST_LOOK = timedelta(days=30)
"""How far back the first poll of a workspace looks."""

OPEN_HORIZON = timedelta(days=60)
"""Runs that never ended are asked for until this age; Databricks keeps runs for 60 days."""

MOST_RUNS = 10_000
PAGE_RUNS = 25
RETRY_SECONDS = 30
HTTP_SECONDS = 10
_LONGEST_WAIT = 600.0
_TERMINAL = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
_IGNORED = {"ingest_time"}

_NONSENSE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What answers of the wrong shape raise where the client, or we, take them apart; a time that ran out is an OSError."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class JobPoller:
    """Follows the job runs of one workspace.

    Args:
        workspace: host name; part of every row's key.
        connect: makes a client of the workspace; called again after an error.
        log: the tables.
        clock: time.
        jobs: Databricks job id -> name of the expected job; other jobs keep the name of the run.
        targets: name of a job -> Delta table that it writes, whose history tells how many rows.
        every: time between two polls.
        most_runs: runs of one list at most; beyond, each expected job is asked for by itself.
    """

    workspace: str
    connect: Callable[[], Any]
    log: DeltaLog
    clock: Clock
    jobs: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    every: timedelta = timedelta(seconds=60)
    most_runs: int = MOST_RUNS
    failures: int = 0
    last_poll: datetime | None = None
    _client: Any = None
    _gone: set[int] = field(default_factory=set)

    def poll(self) -> int:
        """Ask once; the number of rows that are new or changed.

        Raises:
            StoreError: the workspace does not answer, refuses, or answers what it should not; or a table is away.
        """
        now = self.clock.now()
        known = self._known(now - OPEN_HORIZON)
        newest = max((row["start_time"] for row in known.values()), default=now - FIRST_LOOK + OVERLAP)
        with _workspace_errors(self):
            since = int((newest - OVERLAP).timestamp() * 1000)
            runs = {run.run_id: run for run in self._runs(since)}
            for run_id in self._open_runs(known) - set(runs) - self._gone:
                found = self._one_run(run_id)
                if found is not None:
                    runs[run_id] = found
            rows = [row for run in runs.values() for row in self._rows(run, now)]
            changed = _table_of(row for row in rows if _differs(row, known.get(_key(row))))
        self.last_poll = now
        return self._keep(changed)

    def backfill(self, warehouse_id: str, since: datetime) -> int:
        """Runs of the system table `system.lakeflow.job_run_timeline`; the number of rows that are new.

        Args:
            warehouse_id: SQL warehouse that runs the query.
            since: aware; the table holds 365 days.

        Raises:
            StoreError: as `poll`; also when the table was not granted.
        """
        now = self.clock.now()
        known = self._known(since)
        with _workspace_errors(self):
            rows = timeline_rows(self._ask(), warehouse_id, since, workspace=self.workspace, jobs=self.jobs, now=now)
        # The table lacks durations of phases: what a poll has told is never replaced by it.
        polled = {key[:2] for key in known}
        return self._keep(_table_of(row for row in rows if (row["workspace"], row["run_id"]) not in polled))

    def run(self, stop: Event) -> None:
        """Poll until told to stop; after a failure wait longer, at most ten minutes."""
        wait = 0.0
        while not stop.wait(wait):
            try:
                changed = self.poll()
            except StoreError as error:
                self.failures += 1
                wait = min(max(wait * 2, self.every.total_seconds()), _LONGEST_WAIT)
                _log.warning("job_poll_failed", error=str(error), next_try_seconds=wait)
            else:
                wait = self.every.total_seconds()
                if changed:
                    _log.info("job_run_seen", workspace=self.workspace, rows=changed)

    def _ask(self) -> Any:  # noqa: ANN401 - the client of databricks-sdk
        if self._client is None:
            self._client = self.connect()
        return self._client

    def _runs(self, since_ms: int) -> Iterator[Any]:
        for place, run in enumerate(self._listed(since_ms)):
            if place == self.most_runs:
                _log.warning("job_runs_cut", workspace=self.workspace, limit=self.most_runs)
                break
            yield run
        else:
            return
        # A busy workspace: the jobs that somebody waits for must not be hidden behind those of others.
        for job_id in self.jobs:
            yield from islice(self._listed(since_ms, int(job_id)), self.most_runs)

    def _listed(self, since_ms: int, job_id: int | None = None) -> Iterator[Any]:
        for run in self._ask().jobs.list_runs(
            start_time_from=since_ms, expand_tasks=True, limit=PAGE_RUNS, job_id=job_id
        ):
            # More tasks than a page holds are only in runs/get.
            yield (self._one_run(run.run_id) or run) if run.has_more else run

    def _one_run(self, run_id: int) -> Any:  # noqa: ANN401 - a run of databricks-sdk
        """A run; None when it was deleted or may no longer be seen, which must not stop the others."""
        from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied

        try:
            return self._ask().jobs.get_run(run_id)
        except (NotFound, PermissionDenied, InvalidParameterValue) as error:
            self._gone.add(run_id)
            _log.warning("job_run_gone", workspace=self.workspace, run_id=run_id, error=type(error).__name__)
            return None

    def _rows(self, run: Any, now: datetime) -> list[dict[str, Any]]:  # noqa: ANN401
        rows = run_rows(run, workspace=self.workspace, jobs=self.jobs, now=now)
        target = self.targets.get(rows[0]["job_name"]) if rows else None
        if target and rows[0]["life_cycle_state"] in _TERMINAL:
            rows[0].update(self._counts(target, rows[0]))
        return rows

    def _counts(self, target: str, row: Mapping[str, Any]) -> Mapping[str, int]:
        try:
            return run_counts(target, row)
        except StoreError as error:
            # The runs themselves are known; the next polls of the day ask for the counts again.
            _log.warning("job_counts_unread", job=row["job_name"], error=str(error))
            return {}

    def _known(self, since: datetime) -> dict[tuple[Any, ...], dict[str, Any]]:
        rows = self.log.stored_runs(since, self.workspace)
        return {_key(row): row for row in rows}

    def _open_runs(self, known: Mapping[tuple[Any, ...], Mapping[str, Any]]) -> set[int]:
        return {
            int(row["run_id"])
            for row in known.values()
            if row["life_cycle_state"] not in _TERMINAL and not row["task_key"] and str(row["run_id"]).isdigit()
        }

    def _keep(self, changed: pa.Table) -> int:
        if changed.num_rows:
            self.log.append(BATCH_RUNS.name, changed)
        return int(changed.num_rows)


class _workspace_errors:  # noqa: N801 - reads as what it does: `with _workspace_errors(...)`
    """Errors of the client, its transport and its parsing as one StoreError; the client is made anew afterwards."""

    def __init__(self, poller: JobPoller) -> None:
        self._poller = poller

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate.

        Raises:
            StoreError: whatever went wrong on the way to the workspace.
        """
        from databricks.sdk.errors.base import DatabricksError

        expected = (DatabricksError, *_NONSENSE)
        if isinstance(error, expected) and not isinstance(error, StoreError):
            self._poller._client = None  # noqa: SLF001 - its own error handling
            text = (str(error).splitlines() or [""])[0][:200]
            raise StoreError(
                f"job runs cannot be read ({type(error).__name__}: {text})",
                at=self._poller.workspace,
                hint="check `databricks.host`, the token and its right to view jobs",
                retryable=True,
            ) from error


def poller_of(configuration: Configuration, log: DeltaLog, clock: Clock) -> JobPoller:
    """The poller of the configured workspace.

    Raises:
        ConfigError: no workspace is configured, or a secret is missing.
    """
    settings = configuration.settings.databricks
    if settings is None:
        raise ConfigError(
            "no Databricks workspace is configured",
            hint="add `databricks: {host: env:DATABRICKS_HOST, token: env:DATABRICKS_TOKEN}`",
        )
    folder = configuration.home
    host, token = settings.host.value(folder), settings.token.value(folder)
    models = configuration.models.values()
    jobs = {str(j.databricks_job_id): j.name for m in models for j in m.jobs if j.databricks_job_id is not None}
    targets = {j.name: m.source.table for m in models if m.source is not None for j in m.jobs}
    return JobPoller(
        workspace=workspace_name(host),
        connect=lambda: connect(host, token),
        log=log,
        clock=clock,
        jobs=jobs,
        targets=targets,
        every=settings.poll,
    )


def workspace_name(host: str) -> str:
    """Host name of a workspace address."""
    return urlsplit(host if "//" in host else f"https://{host}").netloc or host


def connect(host: str, token: str, *, retry_seconds: int = RETRY_SECONDS, http_seconds: int = HTTP_SECONDS) -> Any:  # noqa: ANN401
    """A client with bounded patience: by default the library retries for minutes.

    Raises:
        ConfigError: databricks-sdk is not installed.
    """
    try:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.core import Config
    except ImportError as error:
        raise ConfigError("job runs need databricks-sdk", hint='pip install "tiltmeter[databricks]"') from error
    # It warns on every start where a host keeps no metadata page; errors of calls are raised and reported anyway.
    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)
    return WorkspaceClient(
        config=Config(
            host=host,
            token=token,
            auth_type="pat",
            retry_timeout_seconds=retry_seconds,
            http_timeout_seconds=http_seconds,
        )
    )


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in BATCH_RUNS.key)


def _table_of(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=BATCH_RUNS.columns)


def _differs(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    if before is None:
        return True
    return any(row.get(name) != before.get(name) for name in BATCH_RUNS.columns.names if _counts(name, row))


def _counts(name: str, row: Mapping[str, Any]) -> bool:
    # Counts that this source does not know are no news.
    return name not in _IGNORED and not (row.get(name) is None and name.startswith(("records_", "bytes_")))
