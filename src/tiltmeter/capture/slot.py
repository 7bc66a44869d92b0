"""A slot: one folder of segments, owned by one worker at a time, taken over when its owner dies.

    spool/<host>/slot-0001/id            slot id, mark; carries the owner's lock
                          /in_flight     requests in the owner's hands; gone with it
                          /000041.seg    sealed, waits for the shipper
                          /000042.open   appended to

Invariant: the newest segment of a slot is never removed, so numbers go on where they stood. A slot without segments has
lost its numbers and gets a new identity: a reused identity with numbers from 1 would be taken for already shipped.
"""

from __future__ import annotations

import errno
import os
import re
import socket
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
    encode_frame,
    frame_seed,
    scan_frames,
)
from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tiltmeter.capture.files import Files

IDENTITY_FILE = "id"
IN_FLIGHT_FILE = "in_flight"
MOST_SLOTS = 9_999
"""More workers than that on one host is a mistake in the configuration."""

_SEGMENT = re.compile(r"(\d{6,20})\.(open|seg)")
_SLOT = re.compile(r"slot-\d{4}")
_UNFINISHED = ".new"


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
    for name in files.names(folder):
        if name.endswith(_UNFINISHED):
            files.unlink(folder / name)
    found = segments_in(files, folder)
    identity = read_identity(files, folder) if found else None
    if identity is None:
        identity = SlotIdentity(random(16), random(8))
    _write_identity(files, folder, lock, identity)
    number, kind = found[-1] if found else (0, "seg")
    scan = _scan(files, folder, number, identity) if kind == "open" else None
    if scan is None or scan.frames or scan.lost_bytes:
        closing = {number: scan.frames[-1][0] + 1} if scan and scan.frames else {}
        number += 1
        fd, size = open_segment(files, folder, SegmentHeader(identity, number), closing=closing)
    else:
        files.sync_folder(folder)  # whoever began it may have come no further than its name
        fd = files.open(segment_path(folder, number, "open"))
        size = files.size(segment_path(folder, number, "open"))
    try:
        for left in [left for left, state in found if state == "open" and left != number]:
            _sync_left(files, folder, left)
            seal_segment(files, folder, left)
    except BaseException:
        files.close(fd)
        raise
    return OwnedSlot(folder, lock, identity, number, fd, size)


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
    files: Files,
    folder: Path,
    header: SegmentHeader,
    *,
    closing: Mapping[int, int] | None = None,
    payloads: Sequence[bytes] = (),
) -> tuple[int, int]:
    """Create a segment. It appears at once with its header and first records, and all of it is on the disk on return.

    Args:
        files: the file system.
        folder: of the slot.
        header: of the new segment.
        closing: number of an earlier segment -> records it holds.
        payloads: first records.

    Returns:
        Descriptor and size.
    """
    mark, seed = header.identity.mark, frame_seed(header.identity, header.number)
    frames = [encode_closing(number, count, mark=mark, seed=seed) for number, count in (closing or {}).items()]
    frames += [encode_frame(payload, index, mark=mark, seed=seed) for index, payload in enumerate(payloads)]
    data = header.encode() + b"".join(frames)
    path = segment_path(folder, header.number, "open")
    unfinished = path.with_suffix(_UNFINISHED)
    files.unlink(unfinished)  # one whose sync failed is not written again: nobody knows what of it reaches the disk
    fd = files.open(unfinished, create=True)
    try:
        write_all(files, fd, data)
        files.sync(fd)
        files.rename(unfinished, path)
        files.sync_folder(folder)
    except BaseException:
        files.close(fd)
        raise
    return fd, len(data)


def seal_segment(files: Files, folder: Path, number: int) -> None:
    """Give a segment that nobody writes any more to the shipper.

    Segments of a slot must be sealed in order: the shipper takes a number below the last one it shipped for done.
    """
    with suppress(FileNotFoundError):  # renamed by an earlier try, which could not sync the folder
        files.rename(segment_path(folder, number, "open"), segment_path(folder, number, "seg"))
    files.sync_folder(folder)


def _sync_left(files: Files, folder: Path, number: int) -> None:
    # What a dead owner left is read as it is: a disk that refuses the sync must not keep the worker from starting.
    with suppress(OSError):
        fd = files.open(segment_path(folder, number, "open"))
        try:
            files.sync(fd)
        finally:
            files.close(fd)


def limit_of(files: Files, folder: Path, number: int) -> tuple[int, int | None]:
    """Bytes of a segment that count, and its number of records, as the two segments after it say."""
    limit, count = NO_LIMIT, None
    for later in (number + 1, number + 2):  # one more may have been begun when a sync failed
        data = _head_of(files, folder, later)
        header = decode_header(data)
        if header is not None:
            if header.limited == number:
                limit = header.limit
            count = scan_frames(data, header.identity, later).closed.get(number, count)
    return limit, count


def _head_of(files: Files, folder: Path, number: int) -> bytes:
    for kind in ("open", "seg", "open"):  # it may be sealed while we look
        with suppress(OSError):
            return files.head(segment_path(folder, number, kind), HEADER_BYTES + 64)
    return b""


def take_over(files: Files, folder: Path) -> bool:
    """Seal what a dead owner left in its slot; False when the owner lives or nothing is left."""
    if not any(kind == "open" for _, kind in segments_in(files, folder)):
        return False
    lock = _locked(files, folder, create=False)
    if lock is None:
        return False
    try:
        files.unlink(folder / IN_FLIGHT_FILE)
        before = segments_in(files, folder)
        files.close(recover_slot(files, folder, lock).fd)
        return segments_in(files, folder) != before
    finally:
        files.close(lock)


def host_name(given: str | None = None) -> str:
    """Folder name of this host: its name, with what no folder may hold replaced."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", given or socket.gethostname()).strip(".") or "host"
    return f"{name}-host" if name == "batch" else name
