"""Folder of a batch run in the spool: begun, ended, and whether an attempt was there before."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.domain.batch_run import FAILED_MARK, MANIFEST_FILE, RUNNING_FILE, RunState, decode_manifest
from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiltmeter.domain.batch_run import BatchManifest, BatchRun


@contextmanager
def running(folder: Path, manifest: BatchManifest) -> Iterator[None]:
    """Hold a lock while the run goes on: a shipper that gets it knows that the process was killed."""
    try:
        file = (folder / RUNNING_FILE).open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(msgspec.json.encode(manifest))
        file.flush()
    except OSError as error:
        raise StoreError(f"the spool cannot be written ({error.strerror})", at=str(folder), retryable=True) from error
    with file:
        yield


def next_attempt(root: Path, run: BatchRun) -> BatchRun:
    """The first attempt at a run that did not fail before, as far as this spool knows."""
    while _failed(root, run):
        run = replace(run, attempt=run.attempt + 1)
    return run


def _failed(root: Path, run: BatchRun) -> bool:
    # A mark of the first form does not say of which job; an attempt more does no harm, one too few loses its rows.
    if any((root / (name + FAILED_MARK)).exists() for name in (run.folder, run.first_folder)):
        return True  # and shipped
    recorded = _waiting(root, run)
    return recorded is not None and recorded.state is RunState.FAILED


def _waiting(root: Path, run: BatchRun) -> BatchManifest | None:
    """The run if it was recorded before and not shipped yet, in either form."""
    for name in (run.folder, run.first_folder):
        try:
            found = decode_manifest((root / name / MANIFEST_FILE).read_bytes())
        except (OSError, ValueError):
            continue
        if found.run == run:
            return found
    return None


def publish(manifest: BatchManifest, folder: Path, final: Path) -> None:
    """Complete a folder and give it its name, unless the run was recorded before.

    Raises:
        StoreError: the spool cannot be written.
    """
    try:
        with (folder / MANIFEST_FILE).open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
            file.flush()
            os.fsync(file.fileno())
        LOCAL_FILES.sync_folder(folder)
        if final.exists() or _waiting(final.parent, manifest.run) is not None:
            shutil.rmtree(folder)  # the run was recorded before, and the first one stands
            return
        (folder / RUNNING_FILE).unlink(missing_ok=True)
        folder.rename(final)
        LOCAL_FILES.sync_folder(final.parent)
    except OSError as error:
        if final.exists():  # another process with the same id was faster
            shutil.rmtree(folder, ignore_errors=True)
            return
        raise StoreError(
            f"the run cannot be kept ({error.strerror or error})", at=str(final), retryable=True
        ) from error
