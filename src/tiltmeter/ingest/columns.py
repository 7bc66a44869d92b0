"""Typed Arrow columns from mapped rows. A value that does not fit goes to `_rescued_data`; no row is ever refused.

delta-rs casts silently where a cast exists (1.7 into an integer is stored as 1) and fails a whole batch where none
does, so types are checked here, value by value where a column is mixed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.store.schema import FEATURE_PREFIX, MOMENT, PREDICTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_COLUMNS = 2_000
"""Feature columns of one table: a client must not be able to grow the schema without end."""

LATEST_US = 4_102_444_800_000_000
"""2100-01-01: a clock beyond it is broken, and its dates would make folders that no reader understands."""

_TYPES: dict[type, pa.DataType] = {float: pa.float64(), bool: pa.bool_(), str: pa.string()}
_NOTHING = type(None)
_PLAIN = (
    "event_id",
    "request_id",
    "client_request_id",
    "source",
    "model_name",
    "model_version",
    "entity_id",
    "prediction",
    "prediction_label",
    "threshold",
    "status_code",
    "execution_duration_ms",
    "predict_duration_ms",
    "http_route",
    "http_method",
    "error_type",
    "requester",
    "trace_id",
    "span_id",
    "sampling_fraction",
    "record_index",
)


@dataclass(slots=True, eq=False)
class FeatureTypes:
    """Type of every feature column: the table's, and that of the first value of a column it does not have yet.

    Args:
        known: column -> Arrow type.
    """

    known: dict[str, pa.DataType] = field(default_factory=dict)
    _folded: dict[str, str] = field(default_factory=dict)

    def learn(self, schema: pa.Schema) -> bool:
        """Take over what the table says; False when it contradicts what rows were typed by before."""
        agreed = True
        for column in schema:
            if not column.name.startswith(FEATURE_PREFIX):
                continue
            stored = pa.string() if column.type in (pa.large_string(), pa.string_view()) else column.type
            agreed = agreed and self.known.get(column.name, stored) == stored
            self.known[column.name] = stored
            self._folded[column.name.casefold()] = column.name
        return agreed

    def type_of(self, column: str, values: Sequence[Any]) -> pa.DataType | None:
        """Type of a column, None for a new one that has no value yet or may not be a column.

        The schema ends a name at a NUL, and a Delta table may not have two names that differ in case alone: Spark would
        refuse the whole table.
        """
        found = self.known.get(column)
        is_free = "\x00" not in column and self._folded.get(column.casefold(), column) == column
        if found is None and is_free and len(self.known) < MOST_COLUMNS:
            first = next((value for value in values if value is not None), None)
            found = _TYPES.get(type(first))
            if found is not None:
                self.known[column] = found
                self._folded[column.casefold()] = column
        return found


def prediction_table(
    rows: Sequence[dict[str, Any]], types: FeatureTypes, *, slot: str, sequence: int, ingest_us: int
) -> tuple[pa.Table, Counter[str]]:
    """Rows of the `predictions` table.

    Args:
        rows: as `capture.mapping` makes them, with `features` and `rescued`; `request` and `response` as text or None.
        types: of feature columns; grows.
        slot: spool slot they came from.
        sequence: segment.
        ingest_us: microseconds since 1970.

    Returns:
        The table, and what did not fit, by reason.
    """
    counts: Counter[str] = Counter()
    rescued: dict[int, dict[str, Any]] = {
        place: dict(row["rescued"]) for place, row in enumerate(rows) if row["rescued"]
    }
    counts["values_rescued"] += sum(len(kept) for kept in rescued.values())
    times = [_sane_time(row["request_time"], place, ingest_us, rescued) for place, row in enumerate(rows)]
    features = _feature_columns(rows, types, rescued, counts)
    moments = pa.array(times, pa.int64()).cast(MOMENT)
    columns: dict[str, pa.Array] = {
        name: pa.array([row[name] for row in rows], PREDICTIONS.columns.field(name).type) for name in _PLAIN
    }
    columns["request_time"] = moments
    columns["request_date"] = pc.cast(moments, pa.date32())
    for name in ("request", "response", "job_id", "run_id", "task_key"):
        columns[name] = pa.array([row.get(name) for row in rows], pa.string())
    columns["_rescued_data"] = pa.array([_rescued_text(rescued.get(place)) for place in range(len(rows))], pa.string())
    columns["spool_slot"] = pa.repeat(pa.scalar(slot, pa.string()), len(rows))
    columns["spool_seq"] = pa.repeat(pa.scalar(sequence, pa.int64()), len(rows))
    columns["ingest_time"] = pa.repeat(pa.scalar(ingest_us, pa.int64()), len(rows)).cast(MOMENT)
    ordered = {name: columns[name] for name in PREDICTIONS.columns.names}
    return pa.table({**ordered, **features}), counts


def _sane_time(time_us: int, place: int, ingest_us: int, rescued: dict[int, dict[str, Any]]) -> int:
    if 0 <= time_us < LATEST_US:
        return time_us
    rescued.setdefault(place, {})["request_time"] = str(time_us)
    return ingest_us


def _rescued_text(values: Mapping[str, Any] | None) -> str | None:
    return json.dumps(values, ensure_ascii=False, sort_keys=True, default=str) if values else None


def _feature_columns(
    rows: Sequence[dict[str, Any]],
    types: FeatureTypes,
    rescued: dict[int, dict[str, Any]],
    counts: Counter[str],
) -> dict[str, pa.Array]:
    columns = {}
    for name, values in _transposed(rows).items():
        column = FEATURE_PREFIX + name
        wanted = types.type_of(column, values)
        if wanted is None:
            _rescue_all(name, values, rescued, counts)
            continue
        columns[column] = _typed(name, values, wanted, rescued, counts)
    return columns


def _transposed(rows: Sequence[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    """Feature -> value of every row. Rows of one shape are turned at once: most bodies have the same keys."""
    shapes: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        shapes.setdefault(tuple(row["features"]), []).append(place)
    if len(shapes) == 1:
        names = next(iter(shapes))
        return dict(zip(names, zip(*(row["features"].values() for row in rows), strict=True), strict=True))
    columns: dict[str, list[Any]] = {}
    for names, places in shapes.items():
        for name in names:
            column = columns.setdefault(name, [None] * len(rows))
            for place in places:
                column[place] = rows[place]["features"][name]
    return dict(columns)


def _typed(
    name: str,
    values: Sequence[Any],
    wanted: pa.DataType,
    rescued: dict[int, dict[str, Any]],
    counts: Counter[str],
) -> pa.Array:
    kinds = set(map(type, values))
    kinds.discard(_NOTHING)
    if all(_TYPES.get(kind) == wanted for kind in kinds):
        return pa.array(values, wanted)
    fitting = []
    for place, value in enumerate(values):
        fits = value is None or _TYPES.get(type(value)) == wanted
        fitting.append(value if fits else None)
        if not fits:
            rescued.setdefault(place, {})[name] = value
            counts["type_clashes"] += 1
    return pa.array(fitting, wanted)


def _rescue_all(name: str, values: Sequence[Any], rescued: dict[int, dict[str, Any]], counts: Counter[str]) -> None:
    for place, value in enumerate(values):
        if value is not None:
            rescued.setdefault(place, {})[name] = value
            counts["columns_refused"] += 1


def outcome_table(rows: Sequence[Mapping[str, Any]], *, ingest_us: int) -> pa.Table:
    """Rows of the `outcomes` table.

    Args:
        rows: `outcome_id`, `entity_id`, `model_name`, `outcome_us`, `recorded_us`, `converted`, `revenue`, `currency`,
            `label`; times in microseconds since 1970.
        ingest_us: microseconds since 1970.
    """
    ingest = pa.repeat(pa.scalar(ingest_us, pa.int64()), len(rows)).cast(MOMENT)
    return pa.table(
        {
            "outcome_id": pa.array([row["outcome_id"] for row in rows], pa.string()),
            "entity_id": pa.array([row["entity_id"] for row in rows], pa.string()),
            "model_name": pa.array([row["model_name"] for row in rows], pa.string()),
            "outcome_time": pa.array([row["outcome_us"] for row in rows], pa.int64()).cast(MOMENT),
            "converted": pa.array([row["converted"] for row in rows], pa.bool_()),
            "revenue": pa.array([row["revenue"] for row in rows], pa.float64()),
            "currency": pa.array([row["currency"] for row in rows], pa.string()),
            "label": pa.array([row["label"] for row in rows], pa.string()),
            "ingest_date": pc.cast(ingest, pa.date32()),
            "ingest_time": ingest,
            "recorded_time": pa.array([row["recorded_us"] for row in rows], pa.int64()).cast(MOMENT),
            "position": pa.array(range(len(rows)), pa.int64()),
            "row_id": pa.array([uuid4().hex for _ in rows], pa.string()),
        }
    )
