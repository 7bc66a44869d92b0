"""Upkeep of the tables and the state database: compaction, retention, day sums. One owner at a time, by lease."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from tiltmeter.domain.errors import StoreError
from tiltmeter.store.maintenance import (
    DATE_COLUMNS,
    MANY_FILES,
    SMALL_BYTES,
    compact,
    remove_older,
    thin_checkpoints,
    vacuum,
)
from tiltmeter.store.schema import TABLES

if TYPE_CHECKING:
    from threading import Event

    from tiltmeter.ports import Clock
    from tiltmeter.state.sql import SqlStateStore
    from tiltmeter.store.delta import DeltaLog
    from tiltmeter.store.states import DeltaProfileStates

LEASE = "maintenance"
LEASE_TIME = timedelta(minutes=30)
EVERY = timedelta(hours=1)
ROUNDS = 4
"""Rounds in that time: all but the last only merge small files where there are many."""
DAILY = timedelta(days=1)
BELIEVED = timedelta(days=7)
_DELETED = "upkeep:deleted"

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Upkeep:
    """Keeps tables small and old rows away.

    Args:
        tables: the Delta tables.
        states: profile states, whose settled days get sums.
        state: the state database; holds the lease.
        clock: time.
        holder: name of this process.
        keep_versions: how long old table versions can be read.
        keep_rows: how long rows are kept.
        keep_hourly: how long hourly metrics are kept.
    """

    tables: DeltaLog
    states: DeltaProfileStates
    state: SqlStateStore
    clock: Clock
    holder: str
    keep_versions: timedelta
    keep_rows: timedelta
    keep_hourly: timedelta
    _daily_at: datetime | None = field(default=None)
    _doubted_at: float | None = field(default=None)

    def turn(self, now: datetime) -> bool:
        """One round; False while another process is at it.

        Raises:
            StoreError: a table is away, or a compaction did not keep every row; the other tables were seen to all the
                same.
        """
        lease = self.state.take_lease(LEASE, self.holder, now=now, ttl=LEASE_TIME)
        if lease is None:
            return False
        failed: list[StoreError] = []
        try:
            for name in TABLES:
                with _put_off(failed):
                    self._compact(name)
                self._keep_lease()
            with _put_off(failed):
                self.states.store_day_sums(now)
            if (self._daily_at is None or not timedelta(0) <= now - self._daily_at < DAILY) and self.may_delete(now):
                self._daily(now, failed)
                self._daily_at = now
        finally:
            self.state.release_lease(lease)
        if failed:
            raise failed[0]
        return True

    def _compact(self, name: str) -> None:
        done = compact(self.tables.table(name))
        if done is not None and done.files_after < done.files_before:
            log.info("table_compacted", table=name, before=done.files_before, after=done.files_after)
        thin_checkpoints(self.tables.table(name))

    def _keep_lease(self) -> None:
        self.state.take_lease(LEASE, self.holder, now=self.clock.now(), ttl=LEASE_TIME)

    def merge_small_files(self, now: datetime) -> bool:
        """Merge small files of tables that have many; False while another process is at it.

        Raises:
            StoreError: as `turn`.
        """
        lease = self.state.take_lease(LEASE, self.holder, now=now, ttl=LEASE_TIME)
        if lease is None:
            return False
        try:
            for name in TABLES:
                compact(self.tables.table(name), target_bytes=SMALL_BYTES, from_files=MANY_FILES)
        finally:
            self.state.release_lease(lease)
        return True

    def may_delete(self, now: datetime) -> bool:
        """Whether the clock may be believed with what cannot be undone.

        A clock that is suddenly weeks away from the last deletion is wrong, or the service was away for long: in either
        case old rows can wait until it has said the same for a day.
        """
        text = self.state.watermark(_DELETED)
        if text is not None and abs(now - datetime.fromisoformat(text)) > BELIEVED:
            if self._doubted_at is None:
                self._doubted_at = self.clock.monotonic()
                log.warning("retention_postponed", last=text, what="the clock is weeks away from the last deletion")
            if self.clock.monotonic() - self._doubted_at < DAILY.total_seconds():
                return False
        self._doubted_at = None
        self.state.set_watermark(_DELETED, now.isoformat())
        return True

    def _daily(self, now: datetime, failed: list[StoreError]) -> None:
        for name in TABLES:
            with _put_off(failed):
                if name in DATE_COLUMNS:
                    remove_older(self.tables.table(name), (now - self.keep_rows).date())
                vacuum(self.tables.table(name), self.keep_versions)
            self._keep_lease()
        self.state.retain(now, keep_hourly=self.keep_hourly)

    def run(self, stop: Event) -> None:
        """Repeat hourly, first an hour after the start: a service that restarts often does not compact each time.

        In between, every quarter of an hour, only small files are merged.
        """
        rounds = 0
        while not stop.wait(EVERY.total_seconds() / ROUNDS):
            rounds += 1
            try:
                if rounds % ROUNDS:
                    self.merge_small_files(self.clock.now())
                else:
                    self.turn(self.clock.now())
            except StoreError as error:
                log.warning("upkeep_failed", error=str(error))


@contextmanager
def _put_off(failed: list[StoreError]) -> Iterator[None]:
    """Trouble with one table is told once the others have been seen to."""
    try:
        yield
    except StoreError as error:
        failed.append(error)
