"""A slot: one folder of segments, owned by one worker at a time, taken over when its owner dies.

    spool/<host>/slot-0001/id            slot id, mark; carries the owner's lock
                          /000041.seg    sealed, waits for the shipper
                          /000042.open   appended to

Invariant: the newest segment of a slot is never removed, so numbers go on where they stood. A slot without segments has
lost its numbers and gets a new identity: a reused identity with numbers from 1 would be taken for already shipped.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltmeter.capture.segment import (
    HEADER_BYTES,
    NO_LIMIT,
    Scan,
    SegmentHeader,
    SlotIdentity,
    decode_header,
    encode_closing,
    frame_seed,
    scan_frames,
)
from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiltmeter.capture.files import Files

IDENTITY_FILE = "id"
MOST_SLOTS = 9_999
"""More workers than that on one host is a mistake in the configuration."""

_SEGMENT = re.compile(r"(\d{6,20})\.(open|seg)")
_SLOT = re.compile(r"slot-\d{4}")


@dataclass(frozen=True, slots=True)
class OwnedSlot:
    """A slot whose lock this process holds.

    Args:
        folder: of the slot.
        lock: descriptor of the `id` file; closing it gives the slot back.
        identity: slot id and mark.
        number: of the open segment.
        fd: descriptor of the open segment.
        size: bytes in it.
    """

    folder: Path
    lock: int
    identity: SlotIdentity
    number: int
    fd: int
    size: int


def segment_path(folder: Path, number: int, kind: str) -> Path:
    """`000042.open` or `000042.seg`."""
    return folder / f"{number:06d}.{kind}"


def segments_in(files: Files, folder: Path) -> list[tuple[int, str]]:
    """(number, "open" or "seg") of each segment of a slot, in order."""
    found = [_SEGMENT.fullmatch(name) for name in files.names(folder)]
    return sorted((int(match[1]), match[2]) for match in found if match)


def slot_folders(files: Files, spool: Path) -> list[Path]:
    """Folders of all slots of all hosts."""
    hosts = [spool / name for name in files.names(spool) if name != "batch"]
    return [host / name for host in hosts for name in files.names(host) if _SLOT.fullmatch(name)]


def read_identity(files: Files, folder: Path) -> SlotIdentity | None:
    """Identity from the `id` file, else from the first segment with an intact header, else None."""
    candidates = [folder / IDENTITY_FILE, *(segment_path(folder, *found) for found in segments_in(files, folder))]
    for path in candidates:
        with suppress(OSError):
            header = decode_header(files.head(path, HEADER_BYTES))
            if header:
                return header.identity
    return None


def claim_slot(files: Files, host_folder: Path, *, random: Callable[[int], bytes] = os.urandom) -> OwnedSlot:
    """Own the first free slot of a host, with an open segment that holds no record.

    Raises:
        StoreError: every slot is taken.
        OSError: the folder cannot be written.
    """
    files.make_folder(host_folder)
    for position in range(1, MOST_SLOTS + 1):
        folder = host_folder / f"slot-{position:04d}"
        files.make_folder(folder)
        lock = _locked(files, folder)
        if lock is not None:
            try:
                return recover_slot(files, folder, lock, random=random)
            except BaseException:
                files.close(lock)
                raise
    raise StoreError(f"all {MOST_SLOTS} slots of {host_folder} are taken", hint="are workers started in a loop?")


def _locked(files: Files, folder: Path, *, create: bool = True) -> int | None:
    try:
        fd = files.open(folder / IDENTITY_FILE, create=create)
    except FileNotFoundError:
        return None
    if files.lock(fd):
        return fd
    files.close(fd)
    return None


def recover_slot(files: Files, folder: Path, lock: int, *, random: Callable[[int], bytes] = os.urandom) -> OwnedSlot:
    """Bring a slot whose lock is held into order: what its last owner left open is sealed, a fresh segment is open.

    The fresh segment exists on the disk before anything is sealed: at no point can the shipper empty the slot.
    """
    found = segments_in(files, folder)
    identity = read_identity(files, folder) if found else None
    if identity is None:
        identity = SlotIdentity(random(16), random(8))
    _write_identity(files, folder, lock, identity)
    last = found[-1] if found else (0, "seg")
    scan = _scan(files, folder, last[0], identity) if last[1] == "open" else None
    if scan is None or scan.frames or scan.lost_bytes:
        number, count = last[0] + 1, _count(scan)
        fd, size = open_segment(files, folder, SegmentHeader(identity, number), previous_count=count)
    else:
        number = last[0]
        fd = files.open(segment_path(folder, number, "open"))
        size = files.size(segment_path(folder, number, "open"))
    for left, kind in found:
        if kind == "open" and left != number:
            seal_segment(files, folder, left)
    return OwnedSlot(folder, lock, identity, number, fd, size)


def _count(scan: Scan | None) -> int | None:
    if scan is None:
        return None
    return scan.frames[-1][0] + 1 if scan.frames else 0


def _scan(files: Files, folder: Path, number: int, identity: SlotIdentity) -> Scan | None:
    data = files.read(segment_path(folder, number, "open"))
    header = decode_header(data)
    if header is None or header.identity != identity:
        return None
    return scan_frames(data, identity, number)


def _write_identity(files: Files, folder: Path, lock: int, identity: SlotIdentity) -> None:
    wanted = SegmentHeader(identity, 0).encode()
    if files.head(folder / IDENTITY_FILE, HEADER_BYTES + 1) == wanted:
        return
    files.truncate(lock, 0)
    write_all(files, lock, wanted)
    files.sync(lock)
    files.sync_folder(folder)


def write_all(files: Files, fd: int, data: bytes) -> None:
    """Write everything or raise."""
    if files.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def open_segment(
    files: Files, folder: Path, header: SegmentHeader, *, previous_count: int | None = None
) -> tuple[int, int]:
    """Create a segment; its entry and its header are on the disk on return.

    Returns:
        Descriptor and size.
    """
    path = segment_path(folder, header.number, "open")
    fd = files.open(path, create=True)
    try:
        data = header.encode()
        if previous_count is not None:
            seed = frame_seed(header.identity, header.number)
            data += encode_closing(previous_count, mark=header.identity.mark, seed=seed)
        files.truncate(fd, 0)
        write_all(files, fd, data)
        files.sync(fd)
        files.sync_folder(folder)
    except BaseException:
        files.close(fd)
        raise
    return fd, len(data)


def seal_segment(files: Files, folder: Path, number: int) -> None:
    """Give a segment that nobody writes any more to the shipper; its content is on the disk before."""
    fd = files.open(segment_path(folder, number, "open"))
    try:
        files.sync(fd)
    finally:
        files.close(fd)
    files.rename(segment_path(folder, number, "open"), segment_path(folder, number, "seg"))
    files.sync_folder(folder)


def limit_of(files: Files, folder: Path, number: int) -> tuple[int, int | None]:
    """Bytes of a segment that count, and its number of records, as the segment after it says."""
    for kind in ("open", "seg", "open"):  # it may be sealed while we look
        with suppress(OSError):
            data = files.head(segment_path(folder, number + 1, kind), HEADER_BYTES + 64)
            header = decode_header(data)
            if header is None:
                continue
            return header.previous_bytes, scan_frames(data, header.identity, number + 1).previous_count
    return NO_LIMIT, None


def take_over(files: Files, folder: Path) -> bool:
    """Seal what a dead owner left in its slot; False when the owner lives or nothing is left."""
    if not any(kind == "open" for _, kind in segments_in(files, folder)):
        return False
    lock = _locked(files, folder, create=False)
    if lock is None:
        return False
    try:
        before = segments_in(files, folder)
        files.close(recover_slot(files, folder, lock).fd)
        return segments_in(files, folder) != before
    finally:
        files.close(lock)
