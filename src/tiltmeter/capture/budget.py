"""How many more bytes a worker may spool: the byte budget of the whole spool and the free-space floor of its disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltmeter.capture.slot import slot_folders

if TYPE_CHECKING:
    from pathlib import Path

    from tiltmeter.capture.files import Files


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a spool.

    Args:
        max_bytes: of all segments of all workers together. Batch parts have no share in it: a back-fill that waits must
            not stop the log of requests.
        min_free: share of the file system that must stay free, in [0, 1).
    """

    max_bytes: int = 2_000_000_000
    min_free: float = 0.10

    def room(self, files: Files, spool: Path) -> int:
        """Bytes that may still be written; zero or less when there is no room.

        Raises:
            OSError: the spool is gone.
        """
        free, total = files.space(spool)
        return min(self.max_bytes - used_bytes(files, spool), free - int(self.min_free * total))


def used_bytes(files: Files, spool: Path) -> int:
    """Bytes of all segments in a spool."""
    return sum(_size(files, folder / name) for folder in slot_folders(files, spool) for name in files.names(folder))


def _size(files: Files, path: Path) -> int:
    try:
        return files.size(path)
    except FileNotFoundError:  # shipped while we counted
        return 0
