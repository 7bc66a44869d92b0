"""How many rows a run wrote, from the history of its target table: for jobs that report nothing themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable

from tiltmeter.store.table import in_our_words

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENTRIES = 200
_WRITES = {"WRITE", "MERGE", "STREAMING UPDATE", "COPY INTO", "CREATE TABLE AS SELECT"}


def run_counts(table: str, run: Mapping[str, Any]) -> dict[str, int]:
    """`records_scored` and `bytes_written` of a run; empty when its commits cannot be told from others.

    Args:
        table: Delta table that the job writes.
        run: its row of `batch_runs`.

    Raises:
        StoreError: the table cannot be opened.
    """
    with in_our_words(table):
        if not DeltaTable.is_deltatable(table):
            return {}
        entries = DeltaTable(table).history(_ENTRIES)
    return counts_of(entries, run)


def counts_of(entries: list[dict[str, Any]], run: Mapping[str, Any]) -> dict[str, int]:
    """Counts of the entries that name the run, else of those made while it ran that name no run at all.

    Spark writes `job.jobRunId` (or `job.runId`) and `operationMetrics.numOutputRows`; delta-rs `num_added_rows` and no
    job.
    """
    writes = [entry for entry in entries if entry.get("operation") in _WRITES]
    mine = [entry for entry in writes if str(run["run_id"]) in _run_ids(entry)]
    if not mine:
        mine = [entry for entry in writes if not _run_ids(entry) and _during(entry, run)]
    if not mine:
        return {}
    rows = [_number(entry, "numOutputRows", "num_added_rows") for entry in mine]
    sizes = [_number(entry, "numOutputBytes") for entry in mine]
    found = {}
    if any(value is not None for value in rows):
        found["records_scored"] = sum(value or 0 for value in rows)
    if any(value is not None for value in sizes):
        found["bytes_written"] = sum(value or 0 for value in sizes)
    return found


def _run_ids(entry: Mapping[str, Any]) -> set[str]:
    job = _mapping(entry.get("job"))
    return {str(job[name]) for name in ("jobRunId", "runId") if job.get(name) is not None}


def _during(entry: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    stamp = entry.get("timestamp")
    if not isinstance(stamp, int) or run["end_time"] is None:
        return False
    at = _EPOCH + timedelta(milliseconds=stamp)
    return bool(run["start_time"] <= at <= run["end_time"])


def _number(entry: Mapping[str, Any], *names: str) -> int | None:
    metrics = _mapping(entry.get("operationMetrics"))
    for name in names:
        try:
            return int(metrics[name])
        except (KeyError, TypeError, ValueError):
            continue
    return None


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
