"""Requests that a worker handles at this moment: counted in memory, told to a small file of the slot twice a second.

A request pays for two set operations, which no thread can tear apart. The file is written by the thread beside the
spool and never mapped into memory: a store into a mapped page ends the customer's process where the disk has no block
for it. The file is removed when the slot is given back, and when the shipper takes over the slot of a dead worker: a
count does not outlive its worker.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.slot import IN_FLIGHT_FILE, slot_folders

if TYPE_CHECKING:
    from tiltmeter.capture.files import Files

TOLD_EVERY_SECONDS = 0.5
_DIGITS = 10


class InFlight:
    """Requests in the hands of this process.

    Args:
        files: the file system.
    """

    def __init__(self, files: Files = LOCAL_FILES) -> None:
        self.requests: set[int] = set()
        self._files = files
        self._path: Path | None = None
        self._fd: int | None = None
        self._told = 0
        self._due = 0.0

    def attach(self, folder: Path) -> None:
        """Tell the slot's file from now on; where it cannot be opened, the number is not told."""
        self.detach()
        with suppress(OSError):
            path = folder / IN_FLIGHT_FILE
            self._fd = self._files.open(path, create=True, append=False)
            self._path = path
            self._write()

    def detach(self) -> None:
        """Stop telling: the slot has no worker any more."""
        with suppress(OSError):
            if self._path is not None:
                self._files.unlink(self._path)
        self._close()

    def forget_after_fork(self) -> None:
        """The child has none of its parent's requests, and the file stays the parent's."""
        self.requests.clear()
        self._close()

    def tell(self, now: float) -> None:
        """Write the number when it is due and has changed.

        Args:
            now: seconds that never jump.
        """
        if now >= self._due and self._fd is not None:
            self._due = now + TOLD_EVERY_SECONDS
            if len(self.requests) != self._told:
                with suppress(OSError):  # the next turn writes it
                    self._write()

    def _write(self) -> None:
        if self._fd is not None:
            number = len(self.requests)
            self._files.overwrite(self._fd, b"%-*d" % (_DIGITS, number))
            self._told = number

    def _close(self) -> None:
        with suppress(OSError):
            if self._fd is not None:
                self._files.close(self._fd)
        self._fd = self._path = None


def read_in_flight(spool: Path | str, *, host: str | None = None, files: Files = LOCAL_FILES) -> dict[Path, int]:
    """Requests in flight by slot folder, as their workers told at most half a second ago.

    Args:
        spool: root of the spool.
        host: only workers of this host.
        files: the file system.
    """
    found: dict[Path, int] = {}
    for folder in slot_folders(files, Path(spool)):
        if host is None or folder.parent.name == host:
            with suppress(OSError, ValueError):
                found[folder] = max(0, int(files.head(folder / IN_FLIGHT_FILE, _DIGITS)))
    return found
