"""What a spool segment says: prediction rows, outcomes, traffic, and what was wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tiltmeter.capture.mapping import map_request
from tiltmeter.capture.record import OutcomeRecord, RequestRecord, decode_record
from tiltmeter.capture.spool import Segment, read_segment
from tiltmeter.domain.errors import UnreadableData
from tiltmeter.domain.request import route_name
from tiltmeter.domain.traffic import ErrorKind
from tiltmeter.ingest.columns import LATEST_US, FeatureTypes, outcome_table, prediction_table
from tiltmeter.ingest.plain_requests import PlainLot, PlainRoute, plain_table
from tiltmeter.ingest.private import private_entity, private_key, private_record
from tiltmeter.store.traffic import ERROR_FROM, TrafficCounts, TrafficKey, code_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.capture.privacy import Privacy
    from tiltmeter.domain.model import Model, RouteMapping

ROWS_AT_ONCE = 2_000
"""Rows held as Python objects: a typed column takes a tenth of the memory."""

_FAILED_FROM = 500


@dataclass(slots=True, eq=False)
class RouteReport:
    """How the answers of one route could be read.

    Args:
        answers: requests that were answered without an error.
        without_prediction: of them, those in which no prediction was found.
        response_keys: keys of such an answer, for a hint.
    """

    answers: int = 0
    without_prediction: int = 0
    response_keys: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class ReadSegment:
    """A segment as it will be shipped.

    Args:
        segment: where it lies.
        slot_id: application id of its transactions.
        predictions: rows, None when they were let go to save memory and must be read again.
        outcomes: rows, likewise.
        traffic: what it adds to the traffic table.
        counts: what was wrong with its records, by reason.
        routes: how answers could be read, by "model METHOD /route".
        records: undamaged records, requests and outcomes.
        damaged: the file must be set aside, its good records count.
    """

    segment: Segment
    slot_id: str
    predictions: pa.Table | None = None
    outcomes: pa.Table | None = None
    traffic: TrafficCounts = field(default_factory=TrafficCounts)
    counts: Counter[str] = field(default_factory=Counter)
    routes: dict[str, RouteReport] = field(default_factory=dict)
    records: int = 0
    damaged: bool = False
    is_shipped: bool = False
    has_traffic_stored: bool = False

    @property
    def is_loaded(self) -> bool:
        """Whether its rows are in memory."""
        return self.predictions is not None

    @property
    def row_bytes(self) -> int:
        """Memory that its rows take."""
        return sum(table.nbytes for table in (self.predictions, self.outcomes) if table is not None)

    def let_go(self) -> None:
        """Drop rows from memory; they can be read again while the file is there."""
        self.predictions = self.outcomes = None


@dataclass(frozen=True, slots=True, eq=False)
class SegmentReader:
    """Turns segments into typed rows.

    Args:
        models: by name; their routes map bodies.
        types: of the feature columns, shared by all segments.
        keep_raw: `never`, `unmapped` (errors and answers without a prediction) or `always`.
        privacy: rules by model, which hold again here.
    """

    models: Mapping[str, Model]
    types: FeatureTypes
    keep_raw: str = "unmapped"
    privacy: Mapping[str, Privacy] = field(default_factory=dict)

    def read(self, segment: Segment, *, ingest_us: int) -> ReadSegment:
        """Everything of a segment.

        Raises:
            UnreadableData: nothing says who wrote the segment.
            OSError: the file is gone or cannot be read.
        """
        contents = read_segment(segment.path)
        found = ReadSegment(segment, contents.slot_id, records=len(contents.records), damaged=contents.damaged)
        if contents.lost_records:
            found.counts["records_lost"] += contents.lost_records
        reading = _Reading(self, found, contents.seq, ingest_us)
        for index, payload in contents.records:
            try:
                record = decode_record(payload)
            except UnreadableData:
                found.counts["records_unreadable"] += 1
                found.damaged = True
                continue
            if isinstance(record, OutcomeRecord):
                reading.outcomes.append(self._outcome(record, ingest_us))
            else:
                reading.add(self._private(record, found), index)
        found.predictions = reading.table()
        found.outcomes = outcome_table(reading.outcomes, ingest_us=ingest_us)
        reading.count_traffic()
        return found

    def route(self, record: RequestRecord) -> RouteMapping | None:
        """Configured paths of the record's route."""
        model = self.models.get(record.model)
        if model is None:
            return None
        name = route_name(record.method, record.route)
        return next((route for route in model.routes if route.route == name), None)

    def _private(self, record: RequestRecord, found: ReadSegment) -> RequestRecord:
        rules = self.privacy.get(record.model)
        if rules is None:
            return record
        kept, unreadable = private_record(record, rules)
        if unreadable:
            found.counts["unreadable_bodies"] += unreadable
        return kept

    def _outcome(self, record: OutcomeRecord, ingest_us: int) -> dict[str, Any]:
        kept = private_entity(record.entity_id, record.model, self.privacy)
        return {
            "outcome_id": private_key(record.outcome_id, record.entity_id, kept, model=record.model, kind=record.kind),
            "entity_id": kept,
            "model_name": record.model,
            "outcome_us": record.time_us if 0 <= record.time_us < LATEST_US else ingest_us,
            "recorded_us": record.recorded_us if 0 <= record.recorded_us < LATEST_US else ingest_us,
            "converted": record.converted,
            "revenue": record.revenue,
            "currency": record.currency,
            "label": record.label,
        }


class _Route:
    """What is told apart by model, method and path while one segment is read."""

    __slots__ = ("durations", "errors", "plain", "report")

    def __init__(self, plain: PlainRoute, report: RouteReport) -> None:
        self.plain = plain
        self.report = report
        self.durations: dict[tuple[int, str, int], list[int]] = {}
        self.errors: dict[tuple[int, str, int], Counter[ErrorKind]] = {}


class _Reading:
    """The rows of one segment while it is read: plain requests column by column, the others as mapped rows."""

    def __init__(self, reader: SegmentReader, found: ReadSegment, sequence: int, ingest_us: int) -> None:
        self._reader = reader
        self._found = found
        self._sequence = sequence
        self._ingest_us = ingest_us
        self._routes: dict[tuple[str, str, str], _Route] = {}
        self._parts: list[pa.Table] = []
        self._mapped: list[dict[str, Any]] = []
        self._takes_plain = reader.keep_raw != "always"
        self.outcomes: list[dict[str, Any]] = []

    def add(self, record: RequestRecord, index: int) -> None:
        """One request."""
        key = (record.model, record.method, record.route)
        route = self._routes.get(key) or self._new_route(key, record)
        time_us = record.time_us if 0 <= record.time_us < LATEST_US else self._ingest_us
        window = (time_us // 10_000_000, record.model_version, record.status)
        durations = route.durations.get(window)
        if durations is None:
            durations = route.durations[window] = []
        durations.append(record.duration_us)
        if record.status >= ERROR_FROM:
            kind = ErrorKind(record.status, record.error_type or "")
            route.errors.setdefault(window, Counter())[kind] += 1
        lot = route.plain.take(record, index) if self._takes_plain and route.plain.is_plain else None
        if lot is None:
            self._map(record, index, route.report)
        else:
            route.report.answers += 1
            if len(lot.records) >= ROWS_AT_ONCE:
                self._type_plain(lot, route.report)

    def _new_route(self, key: tuple[str, str, str], record: RequestRecord) -> _Route:
        report = self._found.routes.setdefault(
            f"{record.model} {route_name(record.method, record.route)}", RouteReport()
        )
        route = self._routes[key] = _Route(PlainRoute(self._reader.route(record)), report)
        return route

    def _map(self, record: RequestRecord, index: int, report: RouteReport) -> None:
        event_id = f"{self._found.slot_id}-{self._sequence}-{index}"
        mapped = map_request(record, event_id=event_id, route=self._reader.route(record))
        self._found.counts.update(mapped.counts)
        if record.status < ERROR_FROM:
            report.answers += 1
            if mapped.counts.get("no_prediction"):
                report.without_prediction += 1
                report.response_keys = mapped.response_keys or report.response_keys
        keep_raw = self._reader.keep_raw
        if keep_raw == "always" or (keep_raw == "unmapped" and mapped.unmapped):
            # One copy a request: the rows of a list body share their first row's bodies.
            mapped.rows[0]["request"] = _text(record.request)
            mapped.rows[0]["response"] = _text(record.response) if not record.response_encoding else None
        self._mapped.extend(mapped.rows)
        if len(self._mapped) >= ROWS_AT_ONCE:
            self._type_mapped()

    def _type_plain(self, lot: PlainLot, report: RouteReport) -> None:
        if not lot.records:
            return
        slot, types = self._found.slot_id, self._reader.types
        typed = plain_table(lot, types, slot=slot, sequence=self._sequence, ingest_us=self._ingest_us)
        if typed is not None:
            self._parts.append(typed)
        else:
            report.answers -= len(lot.records)  # counted again one by one
            for record, index in zip(lot.records, lot.indexes, strict=True):
                self._map(record, index, report)
        lot.clear()

    def _type_mapped(self) -> None:
        slot, types = self._found.slot_id, self._reader.types
        typed, misfits = prediction_table(
            self._mapped, types, slot=slot, sequence=self._sequence, ingest_us=self._ingest_us
        )
        self._found.counts.update(misfits)
        self._parts.append(typed)
        self._mapped = []

    def table(self) -> pa.Table:
        """All rows."""
        for route in self._routes.values():
            for lot in route.plain.lots.values():
                self._type_plain(lot, route.report)
        if self._mapped or not self._parts:
            self._type_mapped()
        return pa.concat_tables(self._parts, promote_options="default")

    def count_traffic(self) -> None:
        """Add every request to the segment's traffic."""
        host = self._found.segment.host
        for (model, method, path), route in self._routes.items():
            for (window, version, status), durations in route.durations.items():
                key = TrafficKey(window * 10, host, model, version, route_name(method, path), code_class(status))
                errors = route.errors.get((window, version, status), Counter())
                self._found.traffic.count_all(key, durations, failed=status >= _FAILED_FROM, errors=errors)
            if route.report.answers == 0:
                self._found.routes.pop(f"{model} {route_name(method, path)}", None)


def _text(body: bytes) -> str | None:
    return body.decode("utf-8", "replace") if body else None
