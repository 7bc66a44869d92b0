"""The few file operations that the spool needs, behind a seam, so that power loss and sick disks can be simulated."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class Files(Protocol):
    """What the spool asks of a file system. Everything may raise OSError."""

    def make_folder(self, path: Path) -> None:
        """Create it with its parents; the entry of each new folder is durable on return."""
        ...

    def names(self, path: Path) -> list[str]:
        """Names in a folder, sorted."""
        ...

    def open(self, path: Path, *, create: bool = False, append: bool = True) -> int:
        """Open for reading and writing, by default at the end."""
        ...

    def write(self, fd: int, data: bytes, /) -> int:
        """Append; may write less than asked."""
        ...

    def overwrite(self, fd: int, data: bytes, /) -> None:
        """Replace the first bytes of a file that was opened without `append`."""
        ...

    def truncate(self, fd: int, size: int, /) -> None:
        """Cut to a size."""
        ...

    def sync(self, fd: int, /) -> None:
        """Return when content and size are on the disk."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Return when the entries of the folder are on the disk."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Atomic."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove; fine if it is gone already."""
        ...

    def read(self, path: Path) -> bytes:
        """All of a file."""
        ...

    def head(self, path: Path, size: int) -> bytes:
        """The first bytes of a file."""
        ...

    def size(self, path: Path) -> int:
        """Bytes in a file."""
        ...

    def lock(self, fd: int, /) -> bool:
        """Take the file for this process until it is closed or the process ends; False when another one has it."""
        ...

    def close(self, fd: int, /) -> None:
        """Close; gives the lock back."""
        ...

    def space(self, path: Path) -> tuple[int, int]:
        """Free bytes and all bytes of the file system."""
        ...


class LocalFiles:
    """The operating system's files."""

    write = staticmethod(os.write)
    truncate = staticmethod(os.ftruncate)
    sync = staticmethod(os.fdatasync)
    close = staticmethod(os.close)

    def make_folder(self, path: Path) -> None:
        """Create it with its parents; each new entry is synced."""
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            self.sync_folder(folder.parent)

    def names(self, path: Path) -> list[str]:
        """Names in a folder, sorted; none when it does not exist."""
        try:
            return sorted(entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open(self, path: Path, *, create: bool = False, append: bool = True) -> int:
        """Open for reading and writing, readable by nobody else; symbolic links are not followed."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        flags |= (os.O_CREAT if create else 0) | (os.O_APPEND if append else 0)
        return os.open(path, flags, 0o600)

    def overwrite(self, fd: int, data: bytes, /) -> None:
        """One write at the start of the file."""
        os.pwrite(fd, data, 0)

    def sync_folder(self, path: Path) -> None:
        """Sync the entries of a folder."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Atomic."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove; fine if it is gone already."""
        path.unlink(missing_ok=True)

    def read(self, path: Path) -> bytes:
        """All of a file."""
        return path.read_bytes()

    def head(self, path: Path, size: int) -> bytes:
        """The first bytes of a file."""
        with path.open("rb") as file:
            return file.read(size)

    def size(self, path: Path) -> int:
        """Bytes in a file."""
        return path.stat().st_size

    def lock(self, fd: int, /) -> bool:
        """An flock: it belongs to the open file, ends with the process, and is not tied to a path."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def space(self, path: Path) -> tuple[int, int]:
        """Free bytes for this user and all bytes."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


LOCAL_FILES = LocalFiles()
