"""Reading the spool: which segments wait, what they hold, and removing them once their rows are in the table.

The shipper reads a segment, commits its rows with (slot id, segment number) as the table's transaction, and removes it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.segment import HEADER_BYTES, decode_header, scan_frames
from tiltmeter.capture.slot import limit_of, read_identity, segment_path, segments_in, slot_folders, take_over
from tiltmeter.capture.writer import SpoolRefused, SpoolWriter
from tiltmeter.domain.errors import UnreadableData

if TYPE_CHECKING:
    from tiltmeter.capture.files import Files
    from tiltmeter.capture.segment import SlotIdentity

__all__ = [
    "Segment",
    "SegmentContents",
    "SpoolRefused",
    "SpoolWriter",
    "begun_segments",
    "read_segment",
    "records_in",
    "remove_segment",
    "sealed_segments",
    "take_over_abandoned",
]


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment that waits.

    Args:
        slot_id: application id of the table's transactions, 32 hex digits; empty when no trace of it is left.
        seq: its number, the version of the transaction; grows by one, never restarts within a slot id.
        path: of the file.
        bytes: its size.
        host: whose API wrote it.
    """

    slot_id: str
    seq: int
    path: Path
    bytes: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """What could be read of a segment.

    Args:
        slot_id: as in `Segment`.
        seq: as in `Segment`.
        records: (index within the segment, payload) of every undamaged record, in order.
            `(slot_id, seq, index)` names a record for ever.
        damaged: records or bytes in the middle are lost; the file should be set aside, its records are good.
        lost_records: how many are missing.
        lost_exact: whether that is the exact number; False when nothing says how many the segment held.
        lost_bytes: bytes that are no records.
        torn_bytes: those of them behind the last record: what a killed writer left; nobody was told it was kept.
    """

    slot_id: str
    seq: int
    records: list[tuple[int, bytes]]
    damaged: bool
    lost_records: int
    lost_exact: bool
    lost_bytes: int
    torn_bytes: int


def sealed_segments(spool: Path | str, *, host: str | None = None, files: Files = LOCAL_FILES) -> list[Segment]:
    """Segments that wait for the shipper, ordered by slot and number.

    Args:
        spool: root of the spool, which holds a folder a host.
        host: only of this host.
        files: the file system.
    """
    found: list[Segment] = []
    for folder in slot_folders(files, Path(spool)):
        if host is not None and folder.parent.name != host:
            continue
        for number, kind in segments_in(files, folder):
            path = segment_path(folder, number, kind)
            if kind != "seg":
                break  # segments are shipped in order, so what comes behind an open one waits
            with suppress(FileNotFoundError):  # another shipper was faster
                size = files.size(path)
                identity = _identity_of(files, path)
                found.append(Segment(identity.slot_id if identity else "", number, path, size, folder.parent.name))
    return found


def _identity_of(files: Files, path: Path) -> SlotIdentity | None:
    try:
        header = decode_header(files.head(path, HEADER_BYTES))
    except FileNotFoundError:
        raise
    except OSError:  # a sick disk: listed all the same, whoever reads it will say so
        header = None
    return header.identity if header else read_identity(files, path.parent)


def begun_segments(spool: Path | str, *, files: Files = LOCAL_FILES) -> list[Path]:
    """Segments with records that a worker has not sealed yet: it does so within a second or two."""
    found = []
    for folder in slot_folders(files, Path(spool)):
        for number, kind in segments_in(files, folder):
            path = segment_path(folder, number, kind)
            with suppress(FileNotFoundError):  # sealed or shipped while we looked
                if kind == "open" and read_segment(path, files=files).records:
                    found.append(path)
    return found


def read_segment(path: Path | str, *, files: Files = LOCAL_FILES) -> SegmentContents:
    """Every undamaged record of a segment, in its slot's folder.

    Raises:
        UnreadableData: neither the segment nor its slot says who wrote it.
        OSError: the file cannot be read.
    """
    path = Path(path)
    number = int(path.name.partition(".")[0])
    data = files.read(path)
    header = decode_header(data)
    identity = header.identity if header else read_identity(files, path.parent)
    if identity is None:
        raise UnreadableData("a spool segment has lost its header and its slot its id", at=str(path))
    limit, count = limit_of(files, path.parent, number)
    scan = scan_frames(data[:limit], identity, number)
    seen = scan.frames[-1][0] + 1 if scan.frames else 0
    lost = max(seen, count or 0) - len(scan.frames)
    middle = scan.lost_bytes - scan.tail_bytes
    return SegmentContents(
        slot_id=identity.slot_id,
        seq=number,
        records=scan.frames,
        damaged=header is None or lost > 0 or middle > 0,
        lost_records=lost,
        lost_exact=count is not None or scan.lost_bytes == 0,
        lost_bytes=scan.lost_bytes,
        torn_bytes=scan.tail_bytes,
    )


def records_in(path: Path | str, *, files: Files = LOCAL_FILES) -> int:
    """Records of a sealed segment: as the segments behind it say, else counted.

    Raises:
        UnreadableData: nothing says who wrote the segment.
        OSError: the file cannot be read.
    """
    path = Path(path)
    _, count = limit_of(files, path.parent, int(path.name.partition(".")[0]))
    return len(read_segment(path, files=files).records) if count is None else count


def remove_segment(path: Path | str, *, files: Files = LOCAL_FILES) -> None:
    """Remove a segment whose rows are in the table; one that is gone already is fine.

    Not synced: a file that comes back after a power loss is recognised by its transaction and removed again.
    """
    files.unlink(Path(path))


def take_over_abandoned(spool: Path | str, *, files: Files = LOCAL_FILES) -> list[Path]:
    """Seal what dead workers left open.

    Returns:
        Folders of the slots that were taken over.
    """
    taken = []
    for folder in slot_folders(files, Path(spool)):
        with suppress(OSError):
            if take_over(files, folder):
                taken.append(folder)
    return taken
