"""Folder of a batch run in the spool: begun, ended, and whether an attempt was there before.

    <run>.writing-<random>/   running.json, locked by its process; parts; at the end manifest.json, by a rename
    <run>/                    by one rename of the folder; running.json goes afterwards, and means nothing here
    <run>.removed-<random>/   shipped, or a twin of a run that stands; whoever meets it removes it

So a kill at any step leaves a folder of which one can tell whether it is being written, complete, dead or done with.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.domain.batch_run import (
    FAILED_MARK,
    MANIFEST_FILE,
    REMOVED,
    RUNNING_FILE,
    WRITING,
    RunState,
    decode_manifest,
)
from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiltmeter.domain.batch_run import BatchManifest, BatchRun

_UNFINISHED = ".new"


@contextmanager
def running(folder: Path, manifest: BatchManifest) -> Iterator[None]:
    """Hold a lock while the run goes on: a shipper that gets it knows that the process was killed.

    Raises:
        StoreError: the spool cannot be written.
    """
    try:
        file = (folder / RUNNING_FILE).open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(msgspec.json.encode(manifest))
        file.flush()
        os.fsync(file.fileno())  # after a power loss it says whose the parts are
        LOCAL_FILES.sync_folder(folder)
    except OSError as error:
        raise StoreError(f"the spool cannot be written ({error.strerror})", at=str(folder), retryable=True) from error
    with file:
        yield


def is_held(folder: Path) -> bool:
    """Whether a process of this host is writing the run."""
    try:
        with (folder / RUNNING_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def next_attempt(root: Path, run: BatchRun) -> BatchRun:
    """The first attempt at a run that did not fail before, as far as this spool knows."""
    while _failed(root, run):
        run = replace(run, attempt=run.attempt + 1)
    return run


def _failed(root: Path, run: BatchRun) -> bool:
    # A mark of the first form does not say of which job; an attempt more does no harm, one too few loses its rows.
    if any((root / (name + FAILED_MARK)).exists() for name in (run.folder, run.first_folder)):
        return True  # and shipped
    recorded = waiting(root, run)
    return recorded is not None and recorded.state is RunState.FAILED


def waiting(root: Path, run: BatchRun) -> BatchManifest | None:
    """The run if it was recorded before and not shipped yet, in either form."""
    for name in (run.folder, run.first_folder):
        try:
            found = decode_manifest((root / name / MANIFEST_FILE).read_bytes())
        except (OSError, ValueError):
            continue
        if found.run == run:
            return found
    return None


def publish(manifest: BatchManifest, folder: Path) -> None:
    """Complete a folder and give it its name, unless the run was recorded before.

    Raises:
        StoreError: the spool cannot be written.
    """
    try:
        write_manifest(folder, manifest)
        name_folder(folder, manifest)
    except OSError as error:
        if (folder.parent / manifest.folder).exists():
            discard(folder)  # another process with the same id was faster
        elif folder.exists():
            raise StoreError(
                f"the run cannot be kept ({error.strerror or error})", at=str(folder), retryable=True
            ) from error
        # Otherwise a shipper that does not see the lock of this host has completed the folder.


def write_manifest(folder: Path, manifest: BatchManifest) -> None:
    """Whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / (MANIFEST_FILE + _UNFINISHED)
    with path.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        file.flush()
        os.fsync(file.fileno())
    path.replace(folder / MANIFEST_FILE)
    LOCAL_FILES.sync_folder(folder)


def name_folder(folder: Path, manifest: BatchManifest) -> bool:
    """Give a folder with a manifest the name under which it is shipped; False when the run was recorded before.

    Raises:
        OSError: it cannot be renamed, or is gone.
    """
    final = folder.with_name(manifest.folder)
    if final.exists() or waiting(folder.parent, manifest.run) is not None:
        discard(folder)  # the first one stands
        return False
    folder.rename(final)
    LOCAL_FILES.sync_folder(final.parent)
    (final / RUNNING_FILE).unlink(missing_ok=True)
    return True


def discard(folder: Path) -> None:
    """Remove a folder that nobody needs; a kill in the middle leaves nothing that could be taken for a run."""
    aside = folder.with_name(f"{folder.name.partition(WRITING)[0]}{REMOVED}{uuid.uuid4().hex[:8]}")
    try:
        folder.rename(aside)
    except OSError:
        aside = folder  # gone already, or not ours to rename
    shutil.rmtree(aside, ignore_errors=True)
