"""The state store on SQL: one class that opens transactions; the statements are in the files beside it."""

from __future__ import annotations

from collections import ChainMap
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import text

from tiltmeter.domain.errors import LeaseLost
from tiltmeter.domain.window import Grain
from tiltmeter.state import incidents as incident_rows
from tiltmeter.state import metrics as metric_rows
from tiltmeter.state import migrations, outbox, positions
from tiltmeter.state.database import Database, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident, Silence
    from tiltmeter.domain.baseline import BaselineRecord
    from tiltmeter.domain.message import Delivery, DeliveryStatus, Message, Receipt
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.run import Run
    from tiltmeter.ports import ChannelState, Clock, Lease, MetricQuery

_Key = TypeVar("_Key")

_ONE_AT_A_TIME = 7_114_208_804
"""Any constant: a run by command and the service must not read the same alerts and write both."""

KEEP_LIVE = timedelta(days=2)
"""Ten-second numbers are for today's pages; the traffic table keeps their source."""


class SqlStateStore:
    """State in SQLite or PostgreSQL; safe to use from several threads and processes.

    Args:
        url: `sqlite:state.db`, `sqlite:///…` or `postgresql://…`; `sqlite:` alone is in memory, for tests.
        clock: decides which resolved alerts still count as open.
        home: folder that a relative SQLite file is in.

    Raises:
        ConfigError: the address is none, or its driver is missing.
        StoreError: the database cannot be opened, or a newer release wrote it.
    """

    def __init__(self, url: str, clock: Clock, *, home: Path | None = None) -> None:
        self._database = Database(parse_url(url, home=home))
        self._clock = clock
        self._series: dict[metric_rows.SeriesKey, int] = {}
        self._sources: dict[metric_rows.SourceKey, int] = {}
        self.name = self._database.name
        with self._database.write() as connection:
            self.migrated = migrations.migrate(connection, now=clock.now(), name=self.name)

    def close(self) -> None:
        """Give every connection back."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Several writes, and the reads they rest on, of this thread as one, alone among those who ask for one."""
        with self._database.write() as connection:
            if connection.dialect.name == "postgresql":  # SQLite lets one writer in at a time anyway
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
            yield connection

    def commit(self, run: Run, *, lease: Lease | None = None) -> bool:
        """Write everything of the run in one transaction; False when its window was committed from this version."""
        with self._database.write() as connection:
            if lease is not None and not positions.holds_lease(connection, lease):
                raise LeaseLost(
                    f'the lease "{lease.name}" was lost to another process', at=self.name, hint="nothing was written"
                )
            run_id = metric_rows.begin_run(connection, run)
            if run_id is None:
                return False
            metric_rows.write_metrics(
                connection, run_id, run.metrics, series=self._known(self._series), sources=self._known(self._sources)
            )
            incident_rows.write_alerts(connection, run.alerts)
            for incident in {incident.id: incident for incident in run.incidents}.values():
                incident_rows.write_incident(connection, incident, name=self.name)
            incident_rows.add_events(connection, run.events)
            outbox.enqueue(connection, run.messages)
        return True

    def _known(self, kept: dict[_Key, int]) -> ChainMap[_Key, int]:
        """Ids looked up before; those that this transaction adds are kept once it is committed."""
        return ChainMap(self._database.additions(kept), kept)

    def metrics(self, query: MetricQuery) -> list[Metric]:
        """Matching metrics: `since` < window end <= `until`, so that trailing spans count by when they were judged."""
        with self._database.read() as connection:
            return metric_rows.read_metrics(connection, query)

    def count(self, query: MetricQuery) -> int:
        """How many metrics match, without reading them."""
        with self._database.read() as connection:
            return metric_rows.count_metrics(connection, query)

    def alerts(self, model: str | None = None, *, open_only: bool = True) -> dict[str, Alert]:
        """Newest episode by fingerprint; all of them, closed ones included, with `open_only=False`."""
        with self._database.read() as connection:
            return incident_rows.read_alerts(connection, model, open_only=open_only, now=self._clock.now())

    def episodes(self, model: str | None = None, *, since: datetime | None = None) -> list[Alert]:
        """Every alert there ever was, one per episode, oldest first; `since` looks at the last change."""
        with self._database.read() as connection:
            return incident_rows.read_episodes(connection, model, since)

    def incidents(self, model: str | None = None, *, open_only: bool = True, limit: int = 1000) -> list[Incident]:
        """Incidents, newest first."""
        with self._database.read() as connection:
            return incident_rows.read_incidents(connection, model, open_only=open_only, limit=limit)

    def incident(self, incident_id: str) -> Incident | None:
        """One incident."""
        with self._database.read() as connection:
            return incident_rows.read_incident(connection, incident_id)

    def events(
        self, *, incident: str | None = None, fingerprint: str | None = None, kinds: Sequence[str] | None = None
    ) -> list[AlertEvent]:
        """Transitions in order; those of messages have no fingerprint."""
        with self._database.read() as connection:
            return incident_rows.read_events(connection, incident=incident, fingerprint=fingerprint, kinds=kinds)

    def record(self, events: Sequence[AlertEvent]) -> None:
        """Append events that belong to no run."""
        with self._database.write() as connection:
            incident_rows.add_events(connection, events)

    def save_incident(self, incident: Incident, messages: Sequence[Message], events: Sequence[AlertEvent] = ()) -> None:
        """Write an incident with its messages and events at once."""
        with self._database.write() as connection:
            incident_rows.write_incident(connection, incident, name=self.name)
            incident_rows.add_events(connection, events)
            outbox.enqueue(connection, messages)

    def enqueue(self, messages: Sequence[Message]) -> None:
        """Queue messages outside of a run."""
        with self._database.write() as connection:
            outbox.enqueue(connection, messages)

    def deliveries(self, *, incident: str | None = None, status: DeliveryStatus | None = None) -> list[Delivery]:
        """Outbox rows in order."""
        with self._database.read() as connection:
            return outbox.read_deliveries(connection, incident=incident, status=status)

    def claim(self, now: datetime, *, holder: str, channels: Sequence[str], lease: timedelta) -> Delivery | None:
        """The next due message of the channels, marked as being sent."""
        with self._database.read() as connection:  # idle senders take no lock
            if not outbox.anything_due(connection, now, channels=channels):
                return None
        with self._database.write() as connection:
            return outbox.claim(connection, now, holder=holder, channels=channels, lease=lease)

    def forget_sent(self, channel: str, before: datetime) -> int:
        """Delete sent messages of a channel that were queued before; for the heartbeat's own."""
        with self._database.write() as connection:
            return outbox.forget_sent(connection, channel, before)

    def settle(
        self,
        delivery: Delivery,
        status: DeliveryStatus,
        *,
        holder: str,
        now: datetime,
        due_at: datetime | None = None,
        receipt: Receipt | None = None,
        error: str = "",
        reconcile: bool = False,
    ) -> bool:
        """Record what became of a claimed message."""
        with self._database.write() as connection:
            return outbox.settle(
                connection,
                delivery,
                status,
                holder=holder,
                now=now,
                due_at=due_at,
                receipt=receipt,
                error=error,
                reconcile=reconcile,
            )

    def queued_since(self, since: datetime) -> dict[str, int]:
        """How many messages were queued by channel since then."""
        with self._database.read() as connection:
            return outbox.queued_since(connection, since)

    def pause_channel(self, channel: str, until: datetime, reason: str) -> None:
        """No message of the channel is claimed before `until`."""
        with self._database.write() as connection:
            outbox.pause_channel(connection, channel, until, reason)

    def channel_states(self) -> list[ChannelState]:
        """How every channel stands."""
        with self._database.read() as connection:
            return outbox.read_channel_states(connection)

    def silences(self, now: datetime) -> list[Silence]:
        """Silences that are not over."""
        with self._database.read() as connection:
            return positions.read_silences(connection, now)

    def save_silence(self, silence: Silence) -> None:
        """Add or replace; a silence is lifted by saving it with an end in the past."""
        with self._database.write() as connection:
            positions.save_silence(connection, silence)

    def watermark(self, name: str) -> str | None:
        """A kept position."""
        with self._database.read() as connection:
            return positions.read_watermark(connection, name)

    def watermarks(self, prefix: str = "") -> dict[str, str]:
        """Kept positions by name."""
        with self._database.read() as connection:
            return positions.read_watermarks(connection, prefix)

    def set_watermark(self, name: str, value: str) -> None:
        """Keep a position."""
        with self._database.write() as connection:
            positions.set_watermark(connection, name, value)

    def take_lease(self, name: str, holder: str, *, now: datetime, ttl: timedelta) -> Lease | None:
        """Take or renew a lease."""
        with self._database.write() as connection:
            return positions.take_lease(connection, name, holder, now=now, ttl=ttl)

    def is_leased(self, name: str, *, now: datetime) -> bool:
        """Whether somebody holds a lease."""
        with self._database.read() as connection:
            return positions.is_leased(connection, name, now)

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back early."""
        with self._database.write() as connection:
            positions.release_lease(connection, lease)

    def release_held(self, holder: str, *, at: datetime) -> int:
        """End the leases of a dead process now and its claims at that moment."""
        with self._database.write() as connection:
            return positions.release_leases_of(connection, holder) + outbox.release_claims_of(connection, holder, at)

    def beat(self, component: str, at: datetime, window: str = "") -> None:
        """Keep a proof of life."""
        with self._database.write() as connection:
            positions.beat(connection, component, at, window)

    def heartbeats(self) -> dict[str, datetime]:
        """Last proof of life by component."""
        with self._database.read() as connection:
            return positions.read_heartbeats(connection)

    def save_baseline(self, record: BaselineRecord) -> None:
        """As the port."""
        with self._database.write() as connection:
            positions.save_baseline(connection, record)

    def baselines(self, model: str | None = None) -> list[BaselineRecord]:
        """As the port."""
        with self._database.read() as connection:
            return positions.read_baselines(connection, model)

    def retain(self, now: datetime, *, keep_hourly: timedelta, keep_live: timedelta = KEEP_LIVE) -> int:
        """Delete hourly and live numbers past their age, and leases of posts; daily and longer numbers stay for ever.

        Returns:
            How many numbers were deleted.
        """
        with self._database.write() as connection:
            hourly = metric_rows.forget_metrics(connection, Grain.HOUR, now - keep_hourly)
            live = metric_rows.forget_metrics(connection, Grain.LIVE, now - keep_live)
            positions.forget_leases(connection, now)
        return hourly + live


def heartbeat_reader(url: str, component: str, *, home: Path | None = None) -> Callable[[], datetime | None]:
    """A function that reads one component's last proof of life, for a process that must not touch the schema.

    Raises (the function):
        StoreError: the database cannot be read, or does not exist yet.
    """
    database = Database(parse_url(url, home=home), create=False)

    def last_beat() -> datetime | None:
        with database.read() as connection:
            return positions.read_heartbeats(connection).get(component)

    return last_beat


__all__ = ["SqlStateStore", "heartbeat_reader"]
