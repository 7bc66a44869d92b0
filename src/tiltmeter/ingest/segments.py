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
from tiltmeter.ingest.columns import LATEST_US, FeatureTypes, outcome_table, prediction_table
from tiltmeter.store.traffic import TrafficCounts, TrafficKey, code_class, window_second

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.model import Model, RouteMapping
    from tiltmeter.domain.prediction import MappedRequest

ROWS_AT_ONCE = 2_000
"""Rows held as Python objects: a typed column takes a tenth of the memory."""


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
        damaged: the file must be set aside, its good records count.
    """

    segment: Segment
    slot_id: str
    predictions: pa.Table | None = None
    outcomes: pa.Table | None = None
    traffic: TrafficCounts = field(default_factory=TrafficCounts)
    counts: Counter[str] = field(default_factory=Counter)
    routes: dict[str, RouteReport] = field(default_factory=dict)
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
        models: by name; their routes map bodies, their privacy rules hold again here.
        types: of the feature columns, shared by all segments.
        keep_raw: `never`, `unmapped` (errors and answers without a prediction) or `always`.
    """

    models: Mapping[str, Model]
    types: FeatureTypes
    keep_raw: str = "unmapped"

    def read(self, segment: Segment, *, ingest_us: int) -> ReadSegment:
        """Everything of a segment.

        Raises:
            UnreadableData: nothing says who wrote the segment.
            OSError: the file is gone or cannot be read.
        """
        contents = read_segment(segment.path)
        found = ReadSegment(segment, contents.slot_id, damaged=contents.damaged)
        if contents.lost_records:
            found.counts["records_lost"] += contents.lost_records
        rows: list[dict[str, Any]] = []
        parts: list[pa.Table] = []
        outcomes: list[dict[str, Any]] = []
        for index, payload in contents.records:
            if len(rows) >= ROWS_AT_ONCE:
                parts.append(self._typed(rows, found, contents.seq, ingest_us))
                rows.clear()
            try:
                record = decode_record(payload)
            except UnreadableData:
                found.counts["records_unreadable"] += 1
                found.damaged = True
                continue
            if isinstance(record, OutcomeRecord):
                outcomes.append(_outcome(record, ingest_us))
            else:
                rows.extend(self._rows(record, f"{contents.slot_id}-{contents.seq}-{index}", found, ingest_us))
        parts.append(self._typed(rows, found, contents.seq, ingest_us))
        found.predictions = pa.concat_tables(parts, promote_options="default")
        found.outcomes = outcome_table(outcomes, ingest_us=ingest_us)
        return found

    def _typed(self, rows: list[dict[str, Any]], found: ReadSegment, sequence: int, ingest_us: int) -> pa.Table:
        typed, misfits = prediction_table(rows, self.types, slot=found.slot_id, sequence=sequence, ingest_us=ingest_us)
        found.counts.update(misfits)
        return typed

    def _rows(self, record: RequestRecord, event_id: str, found: ReadSegment, ingest_us: int) -> list[dict[str, Any]]:
        mapped = map_request(record, event_id=event_id, route=self._route(record))
        found.counts.update(mapped.counts)
        _count(record, found, ingest_us)
        _report(record, mapped, found)
        if self.keep_raw == "always" or (self.keep_raw == "unmapped" and mapped.unmapped):
            self._keep_bodies(record, mapped.rows)
        return mapped.rows

    def _route(self, record: RequestRecord) -> RouteMapping | None:
        model = self.models.get(record.model)
        if model is None:
            return None
        name = f"{record.method} {record.route}"
        return next((route for route in model.routes if route.route == name), None)

    def _keep_bodies(self, record: RequestRecord, rows: list[dict[str, Any]]) -> None:
        # One copy a request: the rows of a list body share their first row's bodies.
        rows[0]["request"] = _text(record.request)
        rows[0]["response"] = _text(record.response) if not record.response_encoding else None


def _text(body: bytes) -> str | None:
    return body.decode("utf-8", "replace") if body else None


def _count(record: RequestRecord, found: ReadSegment, ingest_us: int) -> None:
    time_us = record.time_us if 0 <= record.time_us < LATEST_US else ingest_us
    key = TrafficKey(
        window_second(time_us),
        found.segment.host,
        record.model,
        record.model_version,
        f"{record.method} {record.route}",
        code_class(record.status),
    )
    found.traffic.count(key, duration_ms=record.duration_us / 1000.0, failed=record.status >= 500)


def _report(record: RequestRecord, mapped: MappedRequest, found: ReadSegment) -> None:
    if record.status >= 400:
        return
    name = f"{record.model} {record.method} {record.route}"
    report = found.routes.setdefault(name, RouteReport())
    report.answers += 1
    if mapped.counts.get("no_prediction"):
        report.without_prediction += 1
        report.response_keys = mapped.response_keys or report.response_keys


def _outcome(record: OutcomeRecord, ingest_us: int) -> dict[str, Any]:
    return {
        "outcome_id": record.outcome_id,
        "entity_id": record.entity_id,
        "model_name": record.model,
        "outcome_us": record.time_us if 0 <= record.time_us < LATEST_US else ingest_us,
        "recorded_us": record.recorded_us if 0 <= record.recorded_us < LATEST_US else ingest_us,
        "converted": record.converted,
        "revenue": record.revenue,
        "currency": record.currency,
        "label": record.label,
    }
