"""One run of a batch job, and the manifest by which its predictions wait for the shipper."""

from __future__ import annotations

import hashlib
import json
import re
from enum import StrEnum

import msgspec

MANIFEST_FORMAT = "tiltmeter.batch/1"
MANIFEST_FILE = "manifest.json"
WRITING = ".writing-"
"""In the name of a folder that is still being written."""

RUNNING_FILE = "running.json"
"""Manifest of a run that has not ended; its process holds a lock on it."""

FAILED_MARK = ".failed"
"""Behind the name of a folder: the failed run was shipped, so the next one of its id is another attempt."""

KILLED = "the process was killed"
"""Message of a run whose process ended without a word."""

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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

    (`batch/` + `identity`, position of the part) is the application transaction of a part, so a run that is repeated
    with the same id, task and attempt changes nothing.

    Args:
        format: MANIFEST_FORMAT.
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
    def identity(self) -> str:
        """Names the run among all."""
        return run_identity(self.run_id, self.task_key, self.attempt)


def run_identity(run_id: str, task_key: str, attempt: int) -> str:
    """One name of a run, a task of it and an attempt at it."""
    return json.dumps([run_id, task_key, attempt]) if task_key or attempt else run_id


def run_folder_name(identity: str) -> str:
    """Folder of a run: its name where that is a harmless name, else a readable rest and a hash."""
    if _FOLDER.fullmatch(identity) and WRITING not in identity:
        return identity
    rest = re.sub(r"[^A-Za-z0-9]+", "-", identity)[:40].strip("-") or "run"
    return f"{rest}-{hashlib.blake2b(identity.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


def decode_manifest(data: bytes) -> BatchManifest:
    """A manifest from its file.

    Raises:
        ValueError: it is no manifest, or one of a newer release.
    """
    manifest = msgspec.json.decode(data, type=BatchManifest)
    if manifest.format != MANIFEST_FORMAT:
        raise ValueError(f"the manifest has the format {manifest.format}, known is {MANIFEST_FORMAT}")
    return manifest
