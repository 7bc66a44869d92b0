"""One run of a batch job, and the manifest by which its predictions wait for the shipper."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, unquote

import msgspec

MANIFEST_FORMAT = "tiltmeter.batch/2"
FIRST_FORMAT = "tiltmeter.batch/1"
"""Runs of the releases that named a run by its id alone; what waits in that form is still shipped."""

MANIFEST_FILE = "manifest.json"
WRITING = ".writing-"
"""In the name of a folder that is still being written."""

REMOVED = ".removed-"
"""In the name of a folder that was shipped, or not needed, and is being removed."""

RUNNING_FILE = "running.json"
"""Manifest of a run that has not ended; its process holds a lock on it."""

FAILED_MARK = ".failed"
"""Behind the name of a folder: the failed run was shipped, so the next one of its id is another attempt."""

KILLED = "the process was killed"
"""Message of a run whose process ended without a word."""

_OWN_WORKSPACE = "batch_job:"
"""No host name has an underscore, so no Databricks workspace begins with it."""

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_READABLE = 60


class RunState(StrEnum):
    """How a run ended; the words of Databricks job runs."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class BatchPart(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a run.

    Args:
        file: name beside the manifest.
        rows: in it.
        bytes: of it.
        sha256: of its content.
    """

    file: str
    rows: int
    bytes: int
    sha256: str


class BatchManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run wrote: `spool/batch/<run>/manifest.json`, written last; the folder appears by one rename.

    Args:
        format: MANIFEST_FORMAT, or FIRST_FORMAT.
        run_id: as given, or random.
        job: name of the job.
        model: model name.
        host: where it ran.
        started_us: microseconds since 1970 UTC.
        ended_us: likewise.
        state: how it ended.
        message: class of the exception that ended it.
        records_in: rows the job read.
        records_scored: rows with a score.
        records_failed: rows without one.
        bytes_written: of all parts.
        columns_ignored: columns that no table column can hold (lists, structs).
        parts: in order.
        task_key: task of a job with several.
        attempt: repetition, from 0.
    """

    format: str
    run_id: str
    job: str
    model: str
    host: str
    started_us: int
    ended_us: int
    state: RunState
    message: str = ""
    records_in: int = 0
    records_scored: int = 0
    records_failed: int = 0
    bytes_written: int = 0
    columns_ignored: tuple[str, ...] = ()
    parts: tuple[BatchPart, ...] = ()
    task_key: str = ""
    attempt: int = 0

    @property
    def run(self) -> BatchRun:
        """Which run it is."""
        return BatchRun(self.model, self.job, self.run_id, self.task_key, self.attempt)

    @property
    def is_first_form(self) -> bool:
        """Whether a release wrote it that named runs by their id alone."""
        return self.format == FIRST_FORMAT

    @property
    def folder(self) -> str:
        """Name of its folder in the spool."""
        return self.run.first_folder if self.is_first_form else self.run.folder


@dataclass(frozen=True, slots=True)
class BatchRun:
    """Which run it is. Schedulers give one run id to many jobs (Airflow: the date), so job and model belong to it.

    Args:
        model: model name.
        job: name of the job.
        run_id: of the scheduler.
        task_key: task of a job with several.
        attempt: repetition, from 0.
    """

    model: str
    job: str
    run_id: str
    task_key: str = ""
    attempt: int = 0

    @property
    def application(self) -> str:
        """Application id of its transactions and beginning of its event ids: `job/<model>/<job>/<run>`."""
        parts = [self.model, self.job, self.run_id]
        if self.task_key or self.attempt:
            parts += [self.task_key, str(self.attempt)]
        return "/".join(["job", *(quote(part, safe="", errors="surrogatepass") for part in parts)])

    @property
    def folder(self) -> str:
        """Name of its folder in the spool: readable, and a hash that no other run has."""
        return _readable_and_hashed(f"{self.model}-{self.job}-{self.run_id}-{self.task_key}", self.application)

    @property
    def workspace(self) -> str:
        """What stands for a workspace in `batch_runs`, where the run id alone would make two jobs one."""
        return f"{_OWN_WORKSPACE}{quote(self.model, safe='')}/{quote(self.job, safe='')}"

    @property
    def first_application(self) -> str:
        """Application id, and beginning of event ids, in FIRST_FORMAT: the same for every job with this run id."""
        return f"batch/{self._first_identity}"

    @property
    def first_folder(self) -> str:
        """Name of the folder in FIRST_FORMAT."""
        identity = self._first_identity
        if _FOLDER.fullmatch(identity) and WRITING not in identity:
            return identity
        return _readable_and_hashed(identity, identity, 40)

    @property
    def _first_identity(self) -> str:
        is_plain = not self.task_key and not self.attempt
        return self.run_id if is_plain else json.dumps([self.run_id, self.task_key, self.attempt])


def _readable_and_hashed(text: str, identity: str, length: int = _READABLE) -> str:
    rest = re.sub(r"[^A-Za-z0-9]+", "-", text)[:length].strip("-") or "run"
    return f"{rest}-{hashlib.blake2b(identity.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


def is_own_report(workspace: str | None) -> bool:
    """Whether a row of `batch_runs` came from `batch_job` and not from a workspace; "" in FIRST_FORMAT."""
    return not workspace or workspace.startswith(_OWN_WORKSPACE)


def model_of(workspace: str | None) -> str:
    """The model that a run named, by what stands for its workspace; empty where a workspace or FIRST_FORMAT told it."""
    if not workspace or not workspace.startswith(_OWN_WORKSPACE):
        return ""
    return unquote(workspace.removeprefix(_OWN_WORKSPACE).partition("/")[0])


def decode_manifest(data: bytes) -> BatchManifest:
    """A manifest from its file.

    Raises:
        ValueError: it is no manifest, or one of a newer release.
    """
    manifest = msgspec.json.decode(data, type=BatchManifest)
    if manifest.format not in {MANIFEST_FORMAT, FIRST_FORMAT}:
        raise ValueError(f"the manifest has the format {manifest.format}, known is {MANIFEST_FORMAT}")
    return manifest
