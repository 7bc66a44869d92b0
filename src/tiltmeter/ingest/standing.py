"""How the shipper stands: what one turn brought, what waits, and what `/live` and `/metrics` say of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltmeter.capture.batch import BATCH_FOLDER
from tiltmeter.capture.counters import read_counters, read_forms
from tiltmeter.capture.in_flight import read_in_flight
from tiltmeter.capture.spool import records_in
from tiltmeter.domain.errors import UnreadableData
from tiltmeter.ingest.batch_parts import age_of_oldest_run
from tiltmeter.ingest.live import LiveTraffic, prometheus_text, state_json
from tiltmeter.store.traffic import TrafficCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiltmeter.capture.spool import Segment
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.ingest.live_predictions import PredictionCounts
    from tiltmeter.ingest.segments import ReadSegment, RouteReport


@dataclass(frozen=True, slots=True)
class Shipped:
    """What one turn brought into the tables."""

    predictions: int = 0
    outcomes: int = 0
    segments: int = 0
    traffic_rows: int = 0
    waiting: int = 0

    def __add__(self, other: Shipped) -> Shipped:
        """Both turns together; what waits is the later one's."""
        return Shipped(
            self.predictions + other.predictions,
            self.outcomes + other.outcomes,
            self.segments + other.segments,
            self.traffic_rows + other.traffic_rows,
            other.waiting,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """One look at a shipper, for `/live` and `/metrics`.

    Args:
        spool: root of the spool.
        host: whose segments are shipped; None for all.
        live: traffic of the last minutes.
        predictions: counted since the start.
        counters: of the shipper.
        routes: how answers could be read.
        pending: segments that were read and are still there.
        last_shipped: when rows were last committed.
    """

    spool: Path | str
    host: str | None
    live: LiveTraffic
    predictions: PredictionCounts
    counters: Mapping[str, int]
    routes: Mapping[str, RouteReport]
    pending: Sequence[ReadSegment]
    last_shipped: datetime | None

    def as_json(self, now: datetime, models: Mapping[str, Model]) -> dict[str, Any]:
        """The last minute by model, the states of half an hour, workers, and how the shipper stands."""
        return {
            "schema": "tiltmeter.live/1",
            "at": now.isoformat(),
            "host": self.host,
            "models": self.live.snapshot(now, models),
            "states": [state_json(state) for state in self.live.states()],
            "routes": routes_json(self.routes),
            "capture": workers_json(self.spool),
            "shipper": {
                "waiting_segments": len(self.pending),
                "spool_age_seconds": spool_age(self.pending, self.spool, now),
                "last_shipped": self.last_shipped.isoformat() if self.last_shipped else None,
                "counts": dict(sorted(self.counters.items())),
            },
        }

    def prometheus(self, now: datetime, queue_length: int) -> str:
        """Everything that a host that only ships answers on `/metrics`."""
        gauges = {
            "http_requests_in_flight": float(sum(read_in_flight(self.spool, host=self.host).values())),
            "prediction_log_queue_length": float(queue_length),
            "spool_waiting_segments": float(len(self.pending)),
            "spool_age_seconds": spool_age(self.pending, self.spool, now),
        }
        counters = all_counters(self.counters, self.spool)
        text = prometheus_text(self.live, counters, gauges, now)
        return text + _dropped_lines(self.spool) + self.predictions.prometheus()


class Queue:
    """Records of sealed segments that are not in the tables yet: exact, however few of them were read."""

    def __init__(self) -> None:
        self._unread: list[Segment] = []
        self._known: dict[Path, int] = {}

    def keep(self, unread: list[Segment]) -> None:
        """Segments that wait to be read."""
        self._unread = unread

    def length(self, pending: Iterable[ReadSegment]) -> int:
        """Records in them and in segments that were read and not shipped."""
        unread = [segment.path for segment in self._unread]
        self._known = {path: self._known[path] if path in self._known else _records(path) for path in unread}
        return sum(self._known.values()) + sum(found.records for found in pending if not found.is_shipped)


def _records(path: Path) -> int:
    with suppress(OSError, UnreadableData):  # shipped or set aside meanwhile
        return records_in(path)
    return 0


def unwritten(pending: Iterable[ReadSegment]) -> list[TrafficState]:
    """Traffic of segments whose traffic is not in its table yet."""
    counts = TrafficCounts()
    for found in pending:
        if not found.has_traffic_stored:
            counts.add(found.traffic)
    return counts.states()


def spool_age(pending: Iterable[ReadSegment], spool: Path | str, now: datetime) -> float:
    """Age in seconds of the oldest segment or batch run that is not in the tables; 0 when none waits."""
    return max(_age_of_oldest(pending, now), age_of_oldest_run(Path(spool) / BATCH_FOLDER, now))


def _age_of_oldest(pending: Iterable[ReadSegment], now: datetime) -> float:
    """Age in seconds of the oldest segment whose rows are not in the tables; 0 when none waits."""
    oldest = None
    for found in pending:
        if not found.is_shipped:
            try:
                written = datetime.fromtimestamp(found.segment.path.stat().st_mtime, UTC)
            except OSError:
                continue
            oldest = written if oldest is None else min(oldest, written)
    return max((now - oldest).total_seconds(), 0.0) if oldest else 0.0


def routes_json(routes: Mapping[str, RouteReport]) -> dict[str, Any]:
    """What each route answered, and how many answers no prediction was found in."""
    return {
        name: {
            "answers": report.answers,
            "without_prediction": report.without_prediction,
            "response_keys": list(report.response_keys),
        }
        for name, report in sorted(routes.items())
    }


def workers_json(spool: Path | str) -> list[dict[str, str | int]]:
    """Which form of capture each slot's last worker ran, and the requests it handles now, for `/live`."""
    in_flight = read_in_flight(spool)
    return [
        {"host": slot.parent.name, "slot": slot.name, "form": form, "in_flight": in_flight.get(slot, 0)}
        for slot, form in sorted(read_forms(spool).items())
    ]


def all_counters(shipper: Mapping[str, int], spool: Path | str) -> dict[str, int]:
    """Counters of the shipper, and those of the workers added up."""
    counters = {f"shipper_{name}": value for name, value in shipper.items()}
    for counts in read_counters(spool).values():
        for name, number in counts.items():
            counters[f"capture_{name}"] = counters.get(f"capture_{name}", 0) + number
    return counters


_REASONS = {"full": "dropped_full", "disk": "dropped_disk", "unsynced": "unsynced_records"}
"""Why a record was not kept -> the counter of the workers."""


def dropped_by_reason(spool: Path | str) -> dict[str, int]:
    """Records that the workers could not keep, since their slots were made."""
    counted = list(read_counters(spool).values())
    return {reason: sum(counts.get(name, 0) for counts in counted) for reason, name in _REASONS.items()}


def dropped(spool: Path | str) -> int:
    """All of them."""
    return sum(dropped_by_reason(spool).values())


def _dropped_lines(spool: Path | str) -> str:
    name = "tiltmeter_prediction_log_dropped_total"
    lines = [f"# HELP {name} Records that were not kept: budget or floor reached, disk refused, sync failed."]
    lines.append(f"# TYPE {name} counter")
    lines += [f'{name}{{reason="{reason}"}} {number}' for reason, number in dropped_by_reason(spool).items()]
    return "\n".join(lines) + "\n"


def transactions(segments: Sequence[ReadSegment]) -> dict[str, int]:
    """Slot id -> highest segment number, as a commit carries them."""
    highest: dict[str, int] = {}
    for found in segments:
        highest[found.slot_id] = max(highest.get(found.slot_id, -1), found.segment.seq)
    return highest
