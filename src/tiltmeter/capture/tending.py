"""What is slow about writing the spool, in a thread beside it: claiming a slot, syncing, sealing, measuring room."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.counters import Counters
from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.in_flight import TOLD_EVERY_SECONDS, InFlight
from tiltmeter.capture.report import report, tell
from tiltmeter.capture.segment import FRAME_BYTES, SegmentHeader, encode_closing, frame_seed
from tiltmeter.capture.slot import OwnedSlot, claim_slot, host_name, open_segment, seal_segment
from tiltmeter.capture.swift import FORM, BegunSegment, Pen
from tiltmeter.capture.waiting import Waiting
from tiltmeter.domain.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.capture.files import Files

DURABILITIES = ("process", "disk")
FRAME_ROOM = 64  # a frame's head, rounded up
_RETRY_SECONDS = 1.0
_ROOM_SECONDS = 1.0
ROOM_SECONDS_WHEN_FULL = 0.25
_LINGER_FROM = 16
_LINGER_SHARE = 0.5
_LINGER_MOST_SECONDS = 0.002
_ROOM_SHARE = 50  # counting the spool takes at most 2 % of the thread's time, however many segments wait


class SpoolRefused(StoreError):
    """The spool did not take a record: no room, or the disk refused. `counter` is the name it counts under."""

    def __init__(self, what: str, *, counter: str, at: str) -> None:
        hint = "is the shipper running, and can it reach the table? `tiltmeter doctor` says"
        super().__init__(what, at=at, hint=hint, retryable=True)
        self.counter = counter


class TendedSpool(Pen):
    """One slot of the spool and the thread that tends it; `SpoolWriter` tells the arguments and adds the writing."""

    def __init__(
        self,
        spool: Path | str,
        *,
        durability: str = "process",
        budget: Budget | None = None,
        seal_bytes: int = 8_000_000,
        seal_seconds: float = 1.0,
        host: str | None = None,
        files: Files = LOCAL_FILES,
        monotonic: Callable[[], float] = time.monotonic,
        threaded: bool = True,
    ) -> None:
        if durability not in DURABILITIES:
            raise ConfigError(f'durability is "{durability}"', hint=f"use {' or '.join(DURABILITIES)}")
        self.spool = Path(spool)
        self.durability = durability
        self.counters = Counters(files)
        self.in_flight = InFlight(files)
        self._budget = budget or Budget()
        self._seal_bytes = seal_bytes
        self._seal_seconds = seal_seconds
        self._host_folder = self.spool / host_name(host)
        self._files = files
        self._write = files.write
        self._monotonic = monotonic
        self._threaded = threaded
        self._forget()
        _forget_after_fork(self)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._tending = threading.Lock()
        self._wake = threading.Event()
        self._waiting = Waiting(self._wake)
        self._slot: OwnedSlot | None = None
        self._open: BegunSegment | None = None
        self._sealing: list[BegunSegment] = []
        self._mark = b""
        self._last_number = 0
        self._position = 0
        self._room = 0
        self._room_due = 0.0
        self._is_short = False
        self._is_troubled = False
        self._retry_at = 0.0
        self._linger = 0.0
        self._thread: threading.Thread | None = None
        self._stopping = False

    def _refusal(self, what: str, counter: str) -> SpoolRefused:
        return SpoolRefused(what, counter=counter, at=str(self.spool))

    def _retire(self, segment: BegunSegment) -> None:
        segment.position = self._position
        self._sealing.append(segment)
        self._open = None

    def _begin(self) -> BegunSegment:
        if self._monotonic() < self._retry_at:
            raise self._refusal("the spool cannot be written", "dropped_disk")
        try:
            if self._slot is None:
                self._open = self._claim()
            else:
                self._open = self._next_segment()
            self._measure_room()
        except (OSError, StoreError) as error:
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            report("spool_refused", f"{self.spool} cannot be written ({error})")
            raise self._refusal(f"the spool cannot be written ({error})", "dropped_disk") from error
        return self._open

    def _claim(self) -> BegunSegment:
        slot = claim_slot(self._files, self._host_folder)
        try:
            self.counters.attach(slot.folder)
        except BaseException:
            self._files.close(slot.fd)
            self._files.close(slot.lock)
            raise
        self.in_flight.attach(slot.folder)
        self._slot, self._mark, self._last_number = slot, slot.identity.mark, slot.number
        if self._threaded:
            self._thread = threading.Thread(target=self._run, name="tiltmeter-spool", daemon=True)
            self._thread.start()
            atexit.register(_close_at_exit, weakref.ref(self))
        tell("slot_claimed", f"records go to {slot.folder}, capture is {FORM}")
        seed = frame_seed(slot.identity, slot.number)
        return BegunSegment(slot.number, slot.fd, slot.size, seed, synced=slot.size)

    def _owned(self) -> OwnedSlot:
        if self._slot is None:
            raise StoreError("the spool is closed", at=str(self.spool))
        return self._slot

    def _next_segment(self, abandoned: BegunSegment | None = None) -> BegunSegment:
        """A new segment, on the disk; with the unsynced records of an abandoned one, which it cuts off there."""
        slot, number = self._owned(), self._last_number + 1
        header, payloads, closing = SegmentHeader(slot.identity, number), list[bytes](), {}
        if abandoned is not None:
            header = SegmentHeader(slot.identity, number, limited=abandoned.number, limit=abandoned.synced)
            payloads = [frame[FRAME_BYTES:] for frame in abandoned.unsynced]
            closing = {abandoned.number: abandoned.count - len(payloads)}
        fd, size = open_segment(self._files, slot.folder, header, closing=closing, payloads=payloads)
        self._last_number = number
        seed = frame_seed(slot.identity, number)
        return BegunSegment(number, fd, size, seed, len(payloads), self._monotonic(), synced=size)

    def tend(self) -> None:
        """One round of what the thread does: sync what waits, seal what is due, measure the room.

        Never raises OSError: what fails is tried again in the next round.
        """
        with self._tending:
            try:
                self._tend_slot()
            except OSError:
                self._is_troubled = True
            else:
                self._is_troubled = False

    def _tend_slot(self) -> None:
        if self._slot is None:
            return
        self._seal_pending()
        if self._waiting and not self._sealing:
            self._sync_open()
        if self._seal_due() <= 0:
            self._rotate()
        if self._monotonic() >= self._room_due:
            self._measure_room()

    def _seal_due(self) -> float:
        """Seconds until the open segment is to be sealed; infinity when it is empty."""
        segment = self._open
        if segment is None or segment.count == 0:
            return float("inf")
        if segment.size >= self._seal_bytes or self._stopping:
            return 0.0
        return segment.begun + self._seal_seconds - self._monotonic()

    def _sync_open(self) -> None:
        with self._lock:
            segment = self._open
            if segment is None:
                return
            size, position, frames = segment.size, self._position, len(segment.unsynced)
        begun = self._monotonic()
        try:
            self._files.sync(segment.fd)
        except OSError:
            self._abandon(segment)
            return
        with self._lock:
            segment.synced = size
            del segment.unsynced[:frames]
        # Whoever is released comes back at about the same time: with many of them it pays to wait for the last one.
        took = self._monotonic() - begun
        self._linger = min(took * _LINGER_SHARE, _LINGER_MOST_SECONDS) if frames >= _LINGER_FROM else 0.0
        self._waiting.release(position)

    def _rotate(self) -> None:
        following = self._next_segment()
        with self._lock:
            segment = self._open
            if segment is not None:
                self._close_with(segment, following)
                self._retire(segment)
            self._open = following
        self._seal_pending()

    def _close_with(self, segment: BegunSegment, following: BegunSegment) -> None:
        closing = encode_closing(segment.number, segment.count, mark=self._mark, seed=following.seed)
        try:
            written = self._write(following.fd, closing)
            following.size += written
            if written != len(closing):
                self._files.truncate(following.fd, following.size - written)
                following.size -= written
        except OSError:  # the count only serves readers of a damaged segment; they skip a torn one that stays
            return

    def _seal_pending(self) -> None:
        while self._sealing:
            segment = self._sealing[0]
            if segment.fd >= 0:
                self._finish(segment)
                self._files.close(segment.fd)
                segment.fd = -1
            seal_segment(self._files, self._owned().folder, segment.number)
            with self._lock:
                self._sealing.pop(0)

    def _finish(self, segment: BegunSegment) -> None:
        if segment.given_up:
            return
        try:
            self._files.sync(segment.fd)
        except OSError:
            self._abandon(segment)
        else:
            self._waiting.release(segment.position)

    def _abandon(self, segment: BegunSegment) -> None:
        """After a failed sync nobody knows what the file holds: its unsynced records go into a new one, for good."""
        self.counters.add("failed_segments")
        report("segment_abandoned", f"{self.spool}: a sync failed; its records are written again")
        with self._lock:
            was_open = segment is self._open
            if was_open:
                self._retire(segment)
            segment.given_up = True
            error: StoreError | None = None
            try:
                following = self._next_segment(abandoned=segment)
            except OSError as failure:
                self.counters.add("unsynced_records", len(segment.unsynced))
                error = self._refusal(f"the disk refused a record twice ({failure.strerror})", "unsynced_records")
            else:
                if self._open is not None:
                    self._retire(self._open)
                self._open = following
        self._waiting.release(segment.position, error)

    def _measure_room(self) -> None:
        begun, before = self._monotonic(), self._room
        room = self._budget.room(self._files, self.spool)
        now = self._monotonic()
        with self._lock:
            self._room = room - max(0, before - self._room)  # what was written while we counted
            self._is_short = False
            usual = _ROOM_SECONDS if self._room > FRAME_ROOM else ROOM_SECONDS_WHEN_FULL
            self._room_due = now + max(usual, (now - begun) * _ROOM_SHARE)

    def _run(self) -> None:
        while not self._stopping:
            self._rest(self._pause())
            if self._linger and self._waiting:
                time.sleep(self._linger)
            self._wake.clear()
            try:
                self.tend()
            except Exception as error:  # noqa: BLE001 - capture boundary: the service must outlive our bugs
                self.counters.add("capture_errors")
                report("spool_tending_failed", "an error inside the spool", error=error)

    def _pause(self) -> float:
        if self._sealing or self._is_troubled:  # on a full disk what is due stays due: no spinning beside the requests
            return _RETRY_SECONDS
        due = self._seal_due()
        if self._is_short or self._room <= FRAME_ROOM:
            due = min(due, ROOM_SECONDS_WHEN_FULL)
        return max(0.0, due)

    def _rest(self, seconds: float) -> None:
        """Until something is to be done, at most so long; what is in flight is told meanwhile."""
        until = self._monotonic() + seconds
        while True:
            now = self._monotonic()
            self.in_flight.tell(now)
            if now >= until or self._wake.wait(min(until - now, TOLD_EVERY_SECONDS)):
                return

    def close(self) -> None:
        """Seal what is there and give the slot back. A later `put` claims one again."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.tend()
        with self._lock:
            for segment in (self._open, *self._sealing):
                if segment is not None and segment.fd >= 0:
                    self._files.close(segment.fd)
            self.counters.detach()
            self.in_flight.detach()
            if self._slot is not None:
                self._files.close(self._slot.lock)
            self._forget()

    def _after_fork(self) -> None:
        # The parent's slot stays the parent's: a lock lives as long as any copy of its descriptor is open.
        with suppress(OSError):
            for segment in (self._open, *self._sealing):
                if segment is not None and segment.fd >= 0:
                    self._files.close(segment.fd)
            if self._slot is not None:
                self._files.close(self._slot.lock)
        self.counters.forget_after_fork()
        self.in_flight.forget_after_fork()
        self._forget()


def _forget_after_fork(writer: TendedSpool) -> None:
    reference = weakref.ref(writer)

    def forget() -> None:
        found = reference()
        if found is not None:
            found._after_fork()  # noqa: SLF001 - the same module; the hook must not keep the writer alive

    os.register_at_fork(after_in_child=forget)


def _close_at_exit(reference: weakref.ref[TendedSpool]) -> None:
    writer = reference()
    if writer is not None:
        writer.close()
