"""The format of a spool segment, and reading one that may be damaged.

    segment = header frame*
    header  = "TILTSEG1" slot(16) mark(8) number(u64) limited(u64) limit(u64) crc(u32)
    frame   = mark(8) crc(u32) length(u32) index(u32) payload(length)

Little-endian. `mark` is random for each slot and never leaves the spool, so nothing that a client sends can look like
the start of a frame. The checksum of a frame starts from slot and segment number: a block of an older segment that the
file system brings back does not pass. Slot and mark also stand in the slot's `id` file, so a lost header costs nothing.

A header may limit an earlier segment: "of segment `limited` only the first `limit` bytes count". A writer whose sync
failed abandons the segment and writes its unsynced frames again, together with that limit, in one new file; what lies
behind the limit in the old one must not be read a second time.

A frame with index CLOSING tells how many records an earlier segment holds, so that a reader who finds that one cut off
knows what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error
from typing import NamedTuple
from zlib import crc32

MAGIC = b"TILTSEG1"
_HEADER = Struct("<8s16s8sQQQ")
_CRC = Struct("<I")
_HEAD = Struct("<II")
_FRAME = Struct("<8sIII")
_pack_crc, _pack_head = _CRC.pack, _HEAD.pack
HEADER_BYTES = _HEADER.size + _CRC.size
FRAME_BYTES = _FRAME.size
"""Of a frame, before its payload."""
NO_LIMIT = 2**64 - 1
CLOSING = 2**32 - 1
_COUNT = Struct("<QI")
MAX_PAYLOAD = 64 * 1024 * 1024
"""A frame that claims more than this is damage: bodies are capped far below."""


class SlotIdentity(NamedTuple):
    """Who wrote a segment.

    Args:
        slot: 16 random bytes; as hex the application id of the table's transactions.
        mark: 8 random bytes at the start of every frame.
    """

    slot: bytes
    mark: bytes

    @property
    def slot_id(self) -> str:
        """32 hex digits."""
        return self.slot.hex()


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Head of a segment: who wrote it, its number, and of which earlier segment only the first `limit` bytes count."""

    identity: SlotIdentity
    number: int
    limited: int = 0
    limit: int = NO_LIMIT

    def encode(self) -> bytes:
        """Bytes at the start of the file."""
        head = _HEADER.pack(MAGIC, self.identity.slot, self.identity.mark, self.number, self.limited, self.limit)
        return head + _CRC.pack(crc32(head))


def decode_header(data: bytes) -> SegmentHeader | None:
    """Header at the start of the data, None when it is damaged."""
    try:
        magic, slot, mark, number, limited, limit = _HEADER.unpack_from(data)
        (check,) = _CRC.unpack_from(data, _HEADER.size)
    except error:
        return None
    if magic != MAGIC or crc32(data[: _HEADER.size]) != check:
        return None
    return SegmentHeader(SlotIdentity(slot, mark), number, limited, limit)


def frame_seed(identity: SlotIdentity, number: int) -> int:
    """Start value of the checksums of a segment."""
    return crc32(identity.slot + number.to_bytes(8, "little"))


def encode_frame(payload: bytes, index: int, mark: bytes, seed: int) -> bytes:
    """One frame, ready for one `write`.

    Args:
        payload: at least one byte, at most MAX_PAYLOAD.
        index: position of the record in its segment, from 0; CLOSING for the count of an earlier segment.
        mark: of the slot.
        seed: `frame_seed` of the segment.
    """
    head = _pack_head(len(payload), index)
    return b"".join((mark, _pack_crc(crc32(payload, crc32(head, seed))), head, payload))


def encode_closing(number: int, count: int, *, mark: bytes, seed: int) -> bytes:
    """The frame that tells how many records an earlier segment holds."""
    return encode_frame(_COUNT.pack(number, count), CLOSING, mark, seed)


@dataclass(frozen=True, slots=True)
class Scan:
    """Frames found in a segment.

    Args:
        frames: (index, payload) of every intact record, in file order.
        closed: number of an earlier segment -> records it holds.
        good_bytes: end of the last intact frame.
        lost_bytes: bytes between and behind intact frames that are no frames.
        tail_bytes: those of them that lie behind the last intact frame.
    """

    frames: list[tuple[int, bytes]]
    closed: dict[int, int]
    good_bytes: int
    lost_bytes: int
    tail_bytes: int


def scan_frames(data: bytes, identity: SlotIdentity, number: int) -> Scan:
    """Every intact frame of a segment; damage is skipped up to the next mark whose frame passes its checksum."""
    seed, mark = frame_seed(identity, number), identity.mark
    frames: list[tuple[int, bytes]] = []
    closed: dict[int, int] = {}
    position = good = min(HEADER_BYTES, len(data))
    lost = 0
    while 0 <= position < len(data):
        found = _frame_at(data, position, mark=mark, seed=seed)
        if found is None:
            position = data.find(mark, position + 1)
            continue
        index, payload, end = found
        if index == CLOSING:
            earlier, count = _COUNT.unpack_from(payload)
            closed[earlier] = count
        elif not frames or index > frames[-1][0]:
            frames.append((index, payload))
        lost += position - good
        position = good = end
    tail = len(data) - good
    return Scan(frames, closed, good, lost + tail, tail)


def _frame_at(data: bytes, position: int, *, mark: bytes, seed: int) -> tuple[int, bytes, int] | None:
    start = position + _FRAME.size
    if start > len(data):
        return None
    found, check, length, index = _FRAME.unpack_from(data, position)
    end = start + length
    if found != mark or length > MAX_PAYLOAD or end > len(data):
        return None
    payload = data[start:end]
    if crc32(payload, crc32(data[start - _HEAD.size : start], seed)) != check:
        return None
    return index, payload, end
