"""The shipper: sealed spool segments become rows of the Delta tables, exactly once, for all workers of a host.

    scan    read newly sealed segments: typed rows, traffic counts for the live numbers
    commit  one version of `predictions` and of `outcomes` for all slots, with (slot id, segment number) as transactions
    flush   once a minute the traffic of shipped segments, by the same rule; only then are the files removed

A crash between any two steps repeats the step: what is in a table is recognised by its transactions. While a table is
away the spool keeps everything, and the shipper tries again after 1, 2, 4 … 60 seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog

from tiltmeter.capture.record import micros
from tiltmeter.capture.spool import remove_segment, sealed_segments, take_over_abandoned
from tiltmeter.domain.errors import StoreError, UnreadableData
from tiltmeter.ingest.aside import set_aside
from tiltmeter.ingest.batch_parts import BatchShipper
from tiltmeter.ingest.columns import FeatureTypes
from tiltmeter.ingest.live import LiveTraffic
from tiltmeter.ingest.live_predictions import PredictionCounts
from tiltmeter.ingest.private import rules_of
from tiltmeter.ingest.segments import ReadSegment, RouteReport, SegmentReader
from tiltmeter.ingest.standing import (
    Queue,
    Shipped,
    Standing,
    dropped,
    spool_age,
    transactions,
    unwritten,
)
from tiltmeter.store.schema import OUTCOMES, PREDICTIONS, TRAFFIC
from tiltmeter.store.table import ConcurrentCommitError
from tiltmeter.store.traffic import TrafficCounts, traffic_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.capture.privacy import Privacy
    from tiltmeter.capture.spool import Segment
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ports import Clock
    from tiltmeter.store.delta import DeltaLog
    from tiltmeter.store.table import WriteHandle

LOADED_BYTES = 16 * 1024 * 1024
"""Typed rows kept in memory between scan and commit; what is beyond is read again when its turn comes."""

COMMIT_ROWS = 10_000
"""Rows of one commit: larger ones take more memory (20,000: 50 MiB more) and are not faster per row."""

RIVAL_TRIES = 20
_LONGEST_WAIT = 60.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Shipper:
    """Ships one spool into one log.

    Args:
        spool: root of the spool.
        log: the tables.
        models: by name; routes and privacy rules.
        clock: time.
        host: only segments of this host; None ships all hosts of the spool.
        damaged: where damaged segments go; `damaged/` beside the spool when None.
        every: time between two commits.
        flush_every: time between two writes of traffic.
        keep_raw: `never`, `unmapped` or `always`.
        loaded_bytes: typed rows kept in memory between scan and commit.
    """

    spool: Path | str
    log: DeltaLog
    models: Mapping[str, Model]
    clock: Clock
    host: str | None = None
    damaged: Path | None = None
    every: timedelta = timedelta(seconds=5)
    flush_every: timedelta = timedelta(seconds=60)
    keep_raw: str = "unmapped"
    loaded_bytes: int = LOADED_BYTES
    live: LiveTraffic = field(default_factory=LiveTraffic)
    predictions: PredictionCounts = field(default_factory=PredictionCounts)
    counters: Counter[str] = field(default_factory=Counter)
    routes: dict[str, RouteReport] = field(default_factory=dict)
    _pending: dict[Path, ReadSegment] = field(default_factory=dict)
    _queue: Queue = field(default_factory=Queue)
    _types: FeatureTypes = field(default_factory=FeatureTypes)
    _privacy: dict[str, Privacy] = field(default_factory=dict)
    _wait: float = 0.0
    _retry_at: float = 0.0
    _commit_at: float = 0.0
    _flush_at: float = 0.0
    _last_shipped: datetime | None = None
    _lock: RLock = field(default_factory=RLock)
    _looked: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        """Read the privacy rules.

        Raises:
            ConfigError: fields are to be hashed and there is no key.
        """
        self._privacy.update(rules_of(self.models))

    def ship_once(self, now: datetime | None = None, *, flush: bool = False) -> Shipped:
        """One turn: scan, commit what waits, write traffic when its minute is over.

        Args:
            now: aware UTC; the clock's time when None.
            flush: write traffic now and remove every shipped segment.

        Raises:
            StoreError: a table is away or damaged; the spool keeps everything.
        """
        now = now or self.clock.now()
        total = Shipped()
        while True:
            scanned = self._scan(now)
            turn = self._commit(now)
            total += turn
            if not scanned and not turn.segments:
                break
        self.counters["dropped"] = dropped(self.spool)
        total += Shipped(self._batches().ship(now), waiting=total.waiting)
        shipped = sum(found.is_shipped for found in list(self._pending.values()))
        if flush or self.clock.monotonic() >= self._flush_at or shipped > 1000:
            total += self._flush_traffic()
            self._flush_at = self.clock.monotonic() + self.flush_every.total_seconds()
        return total

    def run(self, stop: Event, *, beat: float = 0.5) -> None:
        """Ship until told to stop, then once more. A table that is away only makes the next try later.

        A thread of its own looks at the spool: live numbers do not wait for a table that takes its time.

        Args:
            stop: ends the loop.
            beat: seconds between two looks at the spool; bounds how old live numbers are.
        """
        looking = Thread(target=self._look, args=(stop, beat), name="tiltmeter-look", daemon=True)
        looking.start()
        self._flush_at = self.clock.monotonic() + self.flush_every.total_seconds()
        while not stop.wait(beat):
            self.turn(self.clock.now())
        looking.join()
        self._guarded(lambda: self.ship_once(flush=True))

    def _look(self, stop: Event, beat: float) -> None:
        while True:
            self._scan_or_say(self.clock.now())
            self._looked.set()
            if stop.wait(beat):
                return

    def wait_for_first_look(self, seconds: float) -> bool:
        """Wait until the loop has read what lay in the spool when it began; before that, live numbers miss it."""
        return self._looked.wait(seconds)

    def _scan_or_say(self, now: datetime) -> None:
        try:
            self._scan(now)
        except OSError as error:
            _log.warning("spool_unreadable", error=str(error))

    def turn(self, now: datetime) -> None:
        """One beat of the loop: count new segments, commit and flush when due, back off when a table is away."""
        moment = self.clock.monotonic()
        self._scan_or_say(now)
        if moment < max(self._retry_at, self._commit_at):
            return
        self._commit_at = moment + self.every.total_seconds()
        self._guarded(lambda: self.ship_once(now))

    def live_states(self) -> list[TrafficState]:
        """Ten-second states of the last half hour, written or not."""
        return self.live.states()

    def unwritten_traffic(self) -> list[TrafficState]:
        """States that are not in the traffic table yet."""
        return unwritten(list(self._pending.values()))

    def live_snapshot(self, now: datetime | None = None) -> dict[str, Any]:
        """What `/live` answers: the last minute by model, the states of half an hour, and how the shipper stands."""
        return self._standing().as_json(now or self.clock.now(), self.models)

    def prometheus(self, now: datetime | None = None) -> str:
        """What `/metrics` of a host that only ships answers."""
        standing = self._standing()
        return standing.prometheus(now or self.clock.now(), self._queue.length(standing.pending))

    def _standing(self) -> Standing:
        return Standing(
            self.spool, self.host, self.live, self.predictions, self.counters, self.routes,
            list(self._pending.values()), self._last_shipped,
        )  # fmt: skip

    def spool_age(self, now: datetime | None = None) -> float:
        """Age in seconds of the oldest sealed segment or batch run that is not in the tables; 0 when none waits."""
        return spool_age(list(self._pending.values()), self.spool, now or self.clock.now())

    def _guarded(self, work: Any) -> None:  # noqa: ANN401 - a callable without arguments
        try:
            work()
        except (StoreError, OSError) as error:
            self._wait = min(max(self._wait * 2, 1.0), _LONGEST_WAIT)
            self._retry_at = self.clock.monotonic() + self._wait
            self.counters["failed_turns"] += 1
            _log.warning("table_commit_retried", error=str(error), next_try_seconds=self._wait)
        else:
            self._wait = self._retry_at = 0.0

    def _batches(self) -> BatchShipper:
        return BatchShipper(
            Path(self.spool), self.log, self._types, self._damaged_folder(), self.counters, self._privacy,
            self.predictions,
        )  # fmt: skip

    def _damaged_folder(self) -> Path:
        return self.damaged or Path(self.spool).parent / "damaged"

    def _scan(self, now: datetime) -> int:
        """Read segments that are new, at most as many as memory allows; the number read."""
        with self._lock:
            return self._scan_alone(now)

    def _scan_alone(self, now: datetime) -> int:
        for folder in take_over_abandoned(self.spool):
            _log.info("slot_taken_over", slot=folder.name)
        waiting = sealed_segments(self.spool, host=self.host)
        paths = {segment.path for segment in waiting}
        for gone in [path for path in self._pending if path not in paths]:
            del self._pending[gone]  # another shipper removed it
        before = len(self._pending)
        loaded = sum(found.row_bytes for found in self._pending.values())
        sick: set[Path] = set()
        for segment in waiting:
            if segment.path in self._pending or segment.path.parent in sick:
                continue
            if loaded > self.loaded_bytes:
                break
            try:
                found = self._read(segment, now)
            except OSError as error:
                sick.add(segment.path.parent)  # it waits: its numbers go into the table in order; the other slots go on
                _log.warning("segment_unreadable", segment=str(segment.path), error=str(error))
                continue
            if found is not None:
                self._count(found, now)
                self._pending[segment.path] = found
                loaded += found.row_bytes
        self._queue.keep([segment for segment in waiting if segment.path not in self._pending])
        return len(self._pending) - before

    def _read(self, segment: Segment, now: datetime) -> ReadSegment | None:
        reader = SegmentReader(self.models, self._types, self.keep_raw, self._privacy)
        try:
            return reader.read(segment, ingest_us=micros(now))
        except UnreadableData as error:
            self._set_aside(segment.path, str(error))
        except FileNotFoundError:
            pass  # another shipper was faster
        return None

    def _count(self, found: ReadSegment, now: datetime) -> None:
        self.live.add(found.traffic, now=now)
        if found.predictions is not None:
            self.predictions.count(found.predictions)
        self.counters.update(found.counts)
        for name, report in found.routes.items():
            known = self.routes.setdefault(name, RouteReport())
            known.answers += report.answers
            known.without_prediction += report.without_prediction
            known.response_keys = report.response_keys or known.response_keys

    def _commit(self, now: datetime) -> Shipped:
        """Everything that waits, in commits of bounded size."""
        total = Shipped()
        while batch := self._next_batch():
            total += self._commit_batch(batch, now)
        return total + Shipped(waiting=sum(not found.is_shipped for found in list(self._pending.values())))

    def _next_batch(self) -> list[ReadSegment]:
        batch: list[ReadSegment] = []
        rows = 0
        for found in list(self._pending.values()):
            if found.is_shipped:
                continue
            batch.append(found)
            rows += found.predictions.num_rows if found.predictions is not None else COMMIT_ROWS // 4
            if rows >= COMMIT_ROWS:
                break
        return batch

    def _commit_batch(self, batch: list[ReadSegment], now: datetime) -> Shipped:
        predictions = self._append(PREDICTIONS.name, batch, now)
        outcomes = self._append(OUTCOMES.name, batch, now)
        for found in batch:
            found.is_shipped = True
            found.let_go()
        self._last_shipped = now
        self.counters["predictions_shipped"] += predictions
        self.counters["outcomes_shipped"] += outcomes
        _log.info("segment_shipped", segments=len(batch), predictions=predictions, outcomes=outcomes)
        return Shipped(predictions, outcomes, len(batch))

    def _append(self, name: str, batch: Sequence[ReadSegment], now: datetime) -> int:
        """Append one table's rows of the segments that it does not hold yet; the number of rows."""
        parts = [found.predictions if name == PREDICTIONS.name else found.outcomes for found in batch]
        if all(part is not None and not part.num_rows for part in parts):
            return 0
        for _ in range(RIVAL_TRIES):
            handle = self.log.for_writing(name)
            fresh = [found for found in batch if not handle.contains(found.slot_id, found.segment.seq)]
            with self._lock:  # the types of columns must not change while a segment is read by them
                rows = self._rows(name, fresh, handle, now)
            if rows is None or not rows.num_rows:
                return 0
            try:
                handle.append(rows, transactions(fresh))
            except ConcurrentCommitError:
                self.counters["rival_commits"] += 1
                continue
            return int(rows.num_rows)
        raise ConcurrentCommitError(name, f"{RIVAL_TRIES} times in a row")

    def _rows(self, name: str, fresh: Sequence[ReadSegment], handle: WriteHandle, now: datetime) -> pa.Table | None:
        if name == PREDICTIONS.name and not self._types.learn(handle.schema()):
            # The table has learnt another type for a column since these rows were typed.
            for found in self._pending.values():
                found.let_go()
        tables = []
        for found in fresh:
            if not found.is_loaded:
                again = self._read(found.segment, now)
                if again is None:
                    continue
                found.predictions, found.outcomes = again.predictions, again.outcomes
            tables.append(found.predictions if name == PREDICTIONS.name else found.outcomes)
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def _flush_traffic(self) -> Shipped:
        """Write the traffic of shipped segments, then remove them."""
        shipped = [found for found in list(self._pending.values()) if found.is_shipped]
        waiting = len(self._pending) - len(shipped)
        if not shipped:
            return Shipped(waiting=waiting)
        rows = self._append_traffic(shipped)
        with self._lock:
            for found in sorted(shipped, key=lambda f: (f.slot_id, f.segment.seq)):
                self._remove(found)
        return Shipped(traffic_rows=rows, waiting=waiting)

    def _remove(self, found: ReadSegment) -> None:
        found.has_traffic_stored = True
        if found.damaged:
            self._set_aside(found.segment.path, "damaged; its good records are in the table")
        else:
            remove_segment(found.segment.path)
        self._pending.pop(found.segment.path, None)

    def _append_traffic(self, shipped: Sequence[ReadSegment]) -> int:
        for _ in range(RIVAL_TRIES):
            handle = self.log.for_writing(TRAFFIC.name)
            fresh = [found for found in shipped if not handle.contains(found.slot_id, found.segment.seq)]
            counts = TrafficCounts()
            for found in fresh:
                counts.add(found.traffic)
            states = counts.states()
            if not states:
                return 0
            try:
                handle.append(traffic_table(states), transactions(fresh))
            except ConcurrentCommitError:
                self.counters["rival_commits"] += 1
                continue
            return len(states)
        raise ConcurrentCommitError(TRAFFIC.name, f"{RIVAL_TRIES} times in a row")

    def _set_aside(self, path: Path, why: str) -> None:
        name = f"{path.parent.parent.name}-{path.parent.name}-{path.name}"
        set_aside(path, self._damaged_folder(), name, why, self.counters)
