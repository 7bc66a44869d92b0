"""A file system that loses power: what was not synced vanishes, tears at 512 bytes, or comes back.

Rules, as POSIX allows and ext4, XFS and btrfs between them do:

- written bytes are durable after a sync of the file; before, each 512-byte block may survive, vanish or be zero;
- entries of a folder (create, rename, unlink) are durable after a sync of the folder; before, a prefix of them may be;
- after a failed sync the dirty bytes are lost for the disk, although they can still be read, and the next sync is fine;
  what is written over them later is lost too: stricter than Linux, for a writer that never trusts such a file again;
- after a failed sync of a folder its changes can be seen, and are durable only after one that succeeds.
"""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 512


@dataclass(eq=False)
class Inode:
    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    poisoned: list = field(default_factory=list)  # ranges whose sync failed


@dataclass
class Folder:
    entries: dict = field(default_factory=dict)
    durable: dict = field(default_factory=dict)
    pending: list = field(default_factory=list)

    def do(self, operation):
        operation(self.entries)
        self.pending.append(operation)


class SimulatedFiles:
    def __init__(self):
        self.folders = {}
        self.open_files = {}
        self.locks = {}
        self.next_fd = 100
        self.failing = {"sync": 0, "write": 0, "short": 0, "truncate": 0, "rename": 0, "folder": 0}
        self.passing = dict.fromkeys(self.failing, 0)  # calls that succeed before the first failure

    def _fails(self, name, number=errno.EIO):
        if self.passing[name]:
            self.passing[name] -= 1
        elif self.failing[name]:
            self.failing[name] -= 1
            raise OSError(number, os.strerror(number))

    def _folder(self, path):
        if path not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        return self.folders[path]

    def _inode(self, path):
        folder = self._folder(path.parent)
        if path.name not in folder.entries or folder.entries[path.name] is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return folder.entries[path.name]

    def make_folder(self, path):
        # Folders are durable at once: `LocalFiles.make_folder` syncs each of them, and has a test of its own.
        for one in [*reversed(path.parents), path]:
            if one not in self.folders:
                self.folders[one] = Folder()
                if one.parent in self.folders and one != one.parent:
                    parent = self.folders[one.parent]
                    parent.entries[one.name] = parent.durable[one.name] = None

    def names(self, path):
        return sorted(self.folders[path].entries) if path in self.folders else []

    def open(self, path, *, create=False, append=True):
        folder = self._folder(path.parent)
        if path.name not in folder.entries:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
            inode = Inode()
            folder.do(lambda entries, name=path.name, inode=inode: entries.__setitem__(name, inode))
        self.next_fd += 1
        self.open_files[self.next_fd] = folder.entries[path.name]
        return self.next_fd

    def write(self, fd, data):
        self._fails("write", errno.ENOSPC)
        if self.failing["short"]:
            self.failing["short"] -= 1
            data = data[: len(data) // 2]
        self.open_files[fd].content += data
        return len(data)

    def overwrite(self, fd, data):
        self.open_files[fd].content[: len(data)] = data

    def truncate(self, fd, size):
        self._fails("truncate")
        inode = self.open_files[fd]
        del inode.content[size:]

    def sync(self, fd):
        inode = self.open_files[fd]
        if self.failing["sync"]:
            self.failing["sync"] -= 1
            inode.poisoned.append((len(inode.durable), len(inode.content)))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        durable = bytearray(inode.content)
        for start, end in inode.poisoned:
            durable[start:end] = bytes(len(durable[start:end]))
        inode.durable = bytes(durable)

    def sync_folder(self, path):
        self._fails("folder")
        folder = self._folder(path)
        folder.durable, folder.pending = dict(folder.entries), []

    def rename(self, source, target):
        self._fails("rename")
        inode = self._inode(source)

        def move(entries):
            entries.pop(source.name, None)
            entries[target.name] = inode

        self._folder(source.parent).do(move)

    def unlink(self, path):
        folder = self._folder(path.parent)
        if path.name in folder.entries:
            folder.do(lambda entries: entries.pop(path.name, None))

    def read(self, path):
        return bytes(self._inode(path).content)

    def head(self, path, size):
        return self.read(path)[:size]

    def size(self, path):
        return len(self._inode(path).content)

    def lock(self, fd):
        inode = self.open_files[fd]
        if self.locks.get(inode, fd) != fd:
            return False
        self.locks[inode] = fd
        return True

    def close(self, fd):
        inode = self.open_files.pop(fd, None)
        if self.locks.get(inode) == fd:
            del self.locks[inode]

    def space(self, path):
        return 10**12, 10**12

    def kill(self, fds):
        """The process that holds these descriptors dies; the files stay as they are."""
        for fd in list(fds):
            self.close(fd)

    def lose_power(self, random):
        """Every process dies, and the disk holds what a disk may hold then."""
        self.open_files.clear()
        self.locks.clear()
        self.failing = dict.fromkeys(self.failing, 0)
        inodes = set()
        for folder in self.folders.values():
            kept = folder.pending[: random.randint(0, len(folder.pending))]
            for operation in kept:
                operation(folder.durable)
            folder.entries, folder.pending = dict(folder.durable), []
            inodes.update(inode for inode in folder.entries.values() if inode is not None)
        for inode in inodes:
            inode.durable = _torn(inode, random)
            inode.content = bytearray(inode.durable)
            inode.poisoned = []


def _torn(inode, random):
    durable, written = inode.durable, bytes(inode.content)
    if written == durable or random.random() < 0.3:
        return durable
    lost = bytearray(written)
    for start, end in inode.poisoned:
        lost[start:end] = bytes(len(lost[start:end]))
    size = random.randint(min(len(durable), len(lost)), max(len(durable), len(lost)))
    result = bytearray(size)
    for block in range(0, size, BLOCK):
        end = min(block + BLOCK, size)
        old = durable[block:end].ljust(end - block, b"\0")
        new = bytes(lost[block:end]).ljust(end - block, b"\0")
        result[block:end] = random.choice((old, new)) if random.random() < 0.9 else _mixed(old, new, random)
    # What was synced and not changed since is on the disk, whatever happens to the rest.
    pairs = zip(durable, written, strict=False)
    same = next((at for at, (old, new) in enumerate(pairs) if old != new), min(len(durable), len(written)))
    result[: min(same, size)] = durable[: min(same, size)]
    return bytes(result) if size >= same else durable[:same]


def _mixed(old, new, random):
    cut = random.randint(0, len(new))
    return new[:cut] + old[cut:]


class NoLuck:
    """Everything that may vanish does."""

    def randint(self, low, high):
        return low

    def random(self):
        return 0.0

    def choice(self, options):
        return options[0]


def path(*parts):
    return Path("/", *parts)
