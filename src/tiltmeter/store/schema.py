"""The one definition of every Delta table: columns, types, partition, pinned properties.

Protocol 1/2 on purpose: every reader of the last years opens it. `delta.appendOnly` needs writer version 2 and nothing
else; deletion vectors, column mapping, clustering and the change feed would raise the protocol and stay off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

MOMENT = pa.timestamp("us", tz="UTC")
"""Every time is stored in UTC: a time without a zone would raise the protocol to 3/7 and lock Spark out."""

FEATURE_PREFIX = "f_"
"""Columns of features: `f_<feature>`, numbers double, booleans boolean, the rest string."""

CHECKPOINT_EVERY = 50
"""Versions between two checkpoints: opening a table reads every entry since the last one, half a millisecond each."""

_TEXT = pa.string()
_NUMBER = pa.float64()
_COUNT = pa.int64()


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table as it is created.

    Args:
        name: folder under the tables' root.
        columns: Arrow schema, metadata first.
        partition: columns that cut the table into folders.
        statistics: columns whose least and greatest values the log keeps, so that readers skip files. Ids of people are
            never among them: an erased id must not live on in the log.
        key: columns of which the newest row wins, or whose partials add.
    """

    name: str
    columns: Any
    partition: tuple[str, ...]
    statistics: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def properties(self) -> dict[str, str]:
        """Pinned table properties."""
        return {
            "delta.appendOnly": "true",
            "delta.checkpointInterval": str(CHECKPOINT_EVERY),
            "delta.logRetentionDuration": "interval 30 days",
            "delta.deletedFileRetentionDuration": "interval 7 days",
            "delta.dataSkippingStatsColumns": ",".join(self.statistics),
        }


PREDICTIONS = TableDefinition(
    "predictions",
    pa.schema(
        [
            ("event_id", _TEXT),
            ("request_id", _TEXT),
            ("client_request_id", _TEXT),
            ("request_date", pa.date32()),
            ("request_time", MOMENT),
            ("source", _TEXT),
            ("model_name", _TEXT),
            ("model_version", _TEXT),
            ("entity_id", _TEXT),
            ("prediction", _NUMBER),
            ("prediction_label", _TEXT),
            ("threshold", _NUMBER),
            ("status_code", pa.int32()),
            ("execution_duration_ms", _NUMBER),
            ("predict_duration_ms", _NUMBER),
            ("http_route", _TEXT),
            ("http_method", _TEXT),
            ("error_type", _TEXT),
            ("requester", _TEXT),
            ("trace_id", _TEXT),
            ("span_id", _TEXT),
            ("sampling_fraction", _NUMBER),
            ("job_id", _TEXT),
            ("run_id", _TEXT),
            ("task_key", _TEXT),
            ("record_index", _COUNT),
            ("request", _TEXT),
            ("response", _TEXT),
            ("_rescued_data", _TEXT),
            ("spool_slot", _TEXT),
            ("spool_seq", _COUNT),
            ("ingest_time", MOMENT),
        ]
    ),
    partition=("request_date",),
    statistics=(
        "request_time",
        "model_name",
        "model_version",
        "prediction",
        "status_code",
        "execution_duration_ms",
        "ingest_time",
    ),
    key=("event_id",),
)

OUTCOMES = TableDefinition(
    "outcomes",
    pa.schema(
        [
            ("outcome_id", _TEXT),
            ("entity_id", _TEXT),
            ("model_name", _TEXT),
            ("outcome_time", MOMENT),
            ("converted", pa.bool_()),
            ("revenue", _NUMBER),
            ("currency", _TEXT),
            ("label", _TEXT),
            ("ingest_date", pa.date32()),
            ("ingest_time", MOMENT),
            # Orders corrections that were recorded at the same microsecond: the later place wins.
            ("recorded_time", MOMENT),
            ("position", _COUNT),
            # Names the row without naming anybody, so that an erasure leaves no id of a person in the table's log.
            ("row_id", _TEXT),
        ]
    ),
    partition=("ingest_date",),
    statistics=("model_name", "outcome_time", "ingest_time"),
    key=("outcome_id",),
)

BATCH_RUNS = TableDefinition(
    "batch_runs",
    pa.schema(
        [
            ("workspace", _TEXT),
            ("job_id", _TEXT),
            ("job_name", _TEXT),
            ("run_id", _TEXT),
            ("attempt", _COUNT),
            ("task_key", _TEXT),
            ("start_date", pa.date32()),
            ("start_time", MOMENT),
            ("end_time", MOMENT),
            ("queue_ms", _COUNT),
            ("setup_ms", _COUNT),
            ("execution_ms", _COUNT),
            ("cleanup_ms", _COUNT),
            ("run_ms", _COUNT),
            ("result_state", _TEXT),
            ("life_cycle_state", _TEXT),
            ("termination_code", _TEXT),
            ("message", _TEXT),
            ("records_in", _COUNT),
            ("records_scored", _COUNT),
            ("records_failed", _COUNT),
            ("bytes_written", _COUNT),
            ("trigger", _TEXT),
            ("url", _TEXT),
            ("ingest_time", MOMENT),
        ]
    ),
    partition=("start_date",),
    statistics=("start_time", "job_name", "ingest_time"),
    key=("workspace", "run_id", "attempt", "task_key"),
)

TRAFFIC = TableDefinition(
    "traffic",
    pa.schema(
        [
            ("window_date", pa.date32()),
            ("window_start", MOMENT),
            ("host", _TEXT),
            ("model_name", _TEXT),
            ("model_version", _TEXT),
            ("http_route", _TEXT),
            ("code_class", _TEXT),
            ("requests", _COUNT),
            ("errors", _COUNT),
            ("latency_bins", pa.list_(pa.int32())),
            ("latency_counts", pa.list_(_COUNT)),
            ("error_statuses", pa.list_(pa.int32())),
            ("error_exceptions", pa.list_(_TEXT)),
            ("error_counts", pa.list_(_COUNT)),
        ]
    ),
    partition=("window_date",),
    statistics=("window_start", "model_name"),
    key=("window_start", "host", "model_name", "model_version", "http_route", "code_class"),
)

PROFILE_STATES = TableDefinition(
    "profile_states",
    pa.schema(
        [
            # Hours lie in the partition of their UTC day, day sums in that of the first of their month.
            ("window_date", pa.date32()),
            ("grain", _TEXT),
            ("window_start", MOMENT),
            ("model_name", _TEXT),
            ("model_version", _TEXT),
            ("segment_key", _TEXT),
            ("segment_value", _TEXT),
            ("feature", _TEXT),
            ("bins_id", _TEXT),
            ("kernel_version", pa.int32()),
            ("source_version", _COUNT),
            ("generation", _COUNT),
            ("state", pa.binary()),
            ("ingest_time", MOMENT),
        ]
    ),
    partition=("grain", "window_date"),
    statistics=("window_start", "model_name", "bins_id", "source_version", "generation"),
    key=(
        "window_start",
        "grain",
        "model_name",
        "model_version",
        "segment_key",
        "segment_value",
        "feature",
        "bins_id",
        "kernel_version",
    ),
)

TABLES = {table.name: table for table in (PREDICTIONS, OUTCOMES, BATCH_RUNS, TRAFFIC, PROFILE_STATES)}
"""Every table by name."""
