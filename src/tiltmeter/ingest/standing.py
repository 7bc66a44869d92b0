"""How the shipper stands: what one turn brought, what waits, and what `/live` and `/metrics` say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tiltmeter.capture.counters import read_counters, read_forms
from tiltmeter.store.traffic import TrafficCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tiltmeter.domain.traffic import TrafficState
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


def unwritten(pending: Iterable[ReadSegment]) -> list[TrafficState]:
    """Traffic of segments whose traffic is not in its table yet."""
    counts = TrafficCounts()
    for found in pending:
        if not found.has_traffic_stored:
            counts.add(found.traffic)
    return counts.states()


def age_of_oldest(pending: Iterable[ReadSegment], now: datetime) -> float:
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


def forms_json(spool: Path | str) -> list[dict[str, str]]:
    """Which form of capture each slot's last worker ran, for `/live`."""
    forms = sorted(read_forms(spool).items())
    return [{"host": slot.parent.name, "slot": slot.name, "form": form} for slot, form in forms]


def all_counters(shipper: Mapping[str, int], spool: Path | str) -> dict[str, int]:
    """Counters of the shipper, and those of the workers added up."""
    counters = {f"shipper_{name}": value for name, value in shipper.items()}
    for counts in read_counters(spool).values():
        for name, number in counts.items():
            counters[f"capture_{name}"] = counters.get(f"capture_{name}", 0) + number
    return counters


def dropped(spool: Path | str) -> int:
    """Records that the workers could not keep, since their slots were made."""
    names = ("dropped_full", "dropped_disk", "unsynced_records")
    return sum(counts.get(name, 0) for counts in read_counters(spool).values() for name in names)


def transactions(segments: Sequence[ReadSegment]) -> dict[str, int]:
    """Slot id -> highest segment number, as a commit carries them."""
    highest: dict[str, int] = {}
    for found in segments:
        highest[found.slot_id] = max(highest.get(found.slot_id, -1), found.segment.seq)
    return highest
