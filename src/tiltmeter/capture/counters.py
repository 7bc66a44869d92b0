"""What capture could not keep, counted exactly and kept in one small file of the slot, with the form that counted.

The file has a fixed size and is overwritten in place: it survives `kill -9`, and it can be written when the disk is
full. A power loss may cost its last second. Counts go on over restarts of the worker, like any counter that is scraped.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.slot import slot_folders
from tiltmeter.capture.swift import FORM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tiltmeter.capture.files import Files

COUNTERS_FILE = "counters"
_SIZE = 1024
_FORM = "form"
_encode = msgspec.json.Encoder().encode

NAMES = {
    "dropped_full": "records not kept because the spool's byte budget or the free-space floor was reached",
    "dropped_disk": "records not kept because the disk refused the write",
    "refused_requests": "requests answered 503 because their record could not be kept (`on_full: fail_request`)",
    "unsynced_records": "records whose sync failed and that could not be written again",
    "capture_errors": "errors inside capture itself; the answer went out all the same",
    "cut_bodies": "request or answer bodies longer than the cap, kept in part",
    "unreadable_bodies": "bodies of privacy routes that were no JSON and were therefore not kept",
    "logs_outside_requests": "calls of tiltmeter.log outside of a request",
    "failed_segments": "segments abandoned after a failed sync",
}
"""Counter -> what it means."""


class Counters:
    """Counts of one process; kept in the slot's file as soon as it owns one."""

    def __init__(self, files: Files = LOCAL_FILES) -> None:
        self._files = files
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._fd: int | None = None

    def attach(self, folder: Path) -> None:
        """Go on with the counts of the slot's last owner, and keep them there."""
        self.detach()
        path = folder / COUNTERS_FILE
        before = _counts(_parsed(self._files, path))
        fd = self._files.open(path, create=True, append=False)
        with self._lock:
            self._counts.update(before)
            self._fd = fd
            self._keep()

    def detach(self) -> None:
        """Stop keeping; what was kept stays in the file and is no longer counted here."""
        with self._lock:
            if self._fd is not None:
                self._files.close(self._fd)
                self._fd = None
                self._counts.clear()

    def forget_after_fork(self) -> None:
        """The child starts from nothing: the counts belong to the parent."""
        self._lock = threading.Lock()
        self.detach()
        self._counts.clear()

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        with self._lock:
            self._counts[name] += number
            self._keep()

    def values(self) -> dict[str, int]:
        """All counts so far; none after the slot was given back, where they stay in its file."""
        with self._lock:
            return dict(self._counts)

    def _keep(self) -> None:
        if self._fd is not None:
            with suppress(OSError):  # the next count writes the sum again
                self._files.overwrite(self._fd, _encode({**self._counts, _FORM: FORM}).ljust(_SIZE))


def read_counters(spool: Path | str, *, files: Files = LOCAL_FILES) -> dict[Path, dict[str, int]]:
    """Counters by slot folder, for `doctor` and `/metrics`."""
    found = {folder: _counts(kept) for folder, kept in _kept(spool, files)}
    return {folder: counts for folder, counts in found.items() if counts}


def read_forms(spool: Path | str, *, files: Files = LOCAL_FILES) -> dict[Path, str]:
    """Form of capture in the last owner of each slot, "compiled" or "pure Python", by slot folder."""
    found = {folder: kept.get(_FORM) for folder, kept in _kept(spool, files)}
    return {folder: form for folder, form in found.items() if isinstance(form, str)}


def _kept(spool: Path | str, files: Files) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in slot_folders(files, Path(spool)):
        yield folder, _parsed(files, folder / COUNTERS_FILE)


def _parsed(files: Files, path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(files.read(path))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _counts(kept: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in kept.items() if isinstance(number, int)}
