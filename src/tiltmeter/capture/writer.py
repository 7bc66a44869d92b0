"""Writing the spool: one `write` a record, before the answer goes out; everything slow in a thread beside it.

`process` durability: a record is kept when `put` returns, whatever happens to the process. `disk`: it is kept when
`durable` returns, whatever happens to the power; waiting records share one sync.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tiltmeter.capture.segment import MAX_PAYLOAD, encode_frame
from tiltmeter.capture.swift import COMPILED, BegunSegment
from tiltmeter.capture.tending import FRAME_ROOM, ROOM_SECONDS_WHEN_FULL, SpoolRefused, TendedSpool
from tiltmeter.domain.errors import StoreError

__all__ = ["SpoolRefused", "SpoolWriter"]


class SpoolWriter(TendedSpool):
    """The worker's end of the spool: owns one slot, claimed at the first record (so after a fork).

    Args:
        spool: root of the spool.
        durability: `process` or `disk`.
        budget: byte budget and free-space floor.
        seal_bytes: size from which a segment is handed to the shipper.
        seal_seconds: age from which it is.
        host: folder name under the root; the host's name by default.
        files: the file system.
        monotonic: seconds that never jump.
        threaded: False leaves `tend` to the caller (tests of power loss).
    """

    def start(self) -> bool:
        """Claim the slot now rather than at the first record; False when the spool cannot be written (reported)."""
        try:
            with self._lock:
                self._open = self._open or self._begin()
        except SpoolRefused:
            return False
        return True

    def _put(self, payload: bytes) -> int:
        """Append one record; it survives the death of the process when this returns.

        Args:
            payload: at least one byte.

        Returns:
            Its position, for `durable`.

        Raises:
            SpoolRefused: nothing was kept.
        """
        length = len(payload)
        with self._lock:
            segment = self._open or self._begin()
            if length + FRAME_ROOM > self._room or length > MAX_PAYLOAD:
                self._look_for_room()
                raise self._refusal("the spool is full", "dropped_full")
            count = segment.count
            frame = encode_frame(payload, count, self._mark, segment.seed)
            try:
                written = self._write(segment.fd, frame)
            except OSError as error:
                self._torn(segment, error)
            if written != len(frame):
                self._torn(segment, None)
            segment.size = size = segment.size + written
            segment.count = count + 1
            segment.unsynced.append(frame)
            self._room -= written
            self._position = position = self._position + 1
            if count == 0:
                segment.begun = self._monotonic()
                self._wake.set()
            elif size >= self._seal_bytes:
                self._wake.set()
            return position

    if TYPE_CHECKING or not COMPILED:  # the compiled form has the plain case, and asks `_put` for every other
        put = _put

    def _torn(self, segment: BegunSegment, error: OSError | None) -> NoReturn:
        """After a refused or short write, with the lock held."""
        self._undo(segment)
        why = error.strerror if error else "no space left"
        raise self._refusal(f"the disk refused a record ({why})", "dropped_disk") from error

    def _undo(self, segment: BegunSegment) -> None:
        # A torn frame in the middle would cost every reader a search, so it is cut off again. Where even that fails,
        # the segment is left for a new one and readers skip the torn frame.
        try:
            self._files.truncate(segment.fd, segment.size)
        except OSError:
            self._retire(segment)
        self._look_for_room()

    def _look_for_room(self) -> None:
        # Once a round, not once a record: a thread that is woken by every refused request slows all of them.
        if not self._is_short:
            self._is_short = True
            self._room_due = min(self._room_due, self._monotonic() + ROOM_SECONDS_WHEN_FULL)
            self._wake.set()

    async def durable(self, position: int) -> None:
        """Return when the record at this position is on the disk; at once where `process` durability was chosen.

        Raises:
            StoreError: the disk refused it, also when it was written again.
        """
        if self.durability == "disk":
            await self._waiting.until(position)

    def block_until_durable(self, position: int, *, seconds: float) -> None:
        """As `durable`, for code without an event loop.

        Raises:
            StoreError: the disk refused it, or did not answer in time.
        """
        if self.durability == "disk" and not self._waiting.block_until(position, seconds):
            raise StoreError(f"the disk did not answer in {seconds:g} s", at=str(self.spool), retryable=True)
