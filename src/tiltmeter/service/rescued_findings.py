"""What `tiltmeter doctor` says of values that did not fit the table and were kept beside their rows."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tiltmeter.service.findings import Finding, State
from tiltmeter.store.parquet_rows import RowFilter
from tiltmeter.store.schema import FEATURE_PREFIX, PREDICTIONS
from tiltmeter.store.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiltmeter.store.delta import DeltaLog

SPAN = timedelta(days=1)
MOST_ROWS = 10_000
MOST_COLUMNS = 5


def rescued_findings(log: DeltaLog, now: datetime) -> Iterator[Finding]:
    """Which columns of the last day's rows have values in `_rescued_data`, and why.

    Args:
        log: the tables.
        now: aware UTC.
    """
    snap = snapshot(log.table(PREDICTIONS.name))
    if snap is None:
        return
    wanted = RowFilter({}, ("_rescued_data",), ("request_time", now - SPAN, now))
    counts: Counter[tuple[str, str]] = Counter()
    seen = 0
    for batch in snap.rows(wanted).batches(["model_name", "_rescued_data"]):
        for model, text in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            counts.update((model or "", name) for name in _names(text))
        seen += batch.num_rows
        if seen >= MOST_ROWS:
            break
    for (model, name), number in counts.most_common(MOST_COLUMNS):
        says = f"{model}: {number:,} values of {name!r} of the last day are in _rescued_data alone: "
        why, to_do = _reason(name, snap.schema.names)
        yield Finding("tables", State.NOTE, says + why, to_do)


def _names(text: str) -> list[str]:
    try:
        return list(json.loads(text))
    except ValueError:
        return []


def _reason(name: str, columns: Sequence[str]) -> tuple[str, str]:
    """Why values of a feature or column are not in the table, and what to do about it."""
    if name in PREDICTIONS.columns.names:
        return "they are outside what the column may hold", "look at the clock, or the column, that they come from"
    if FEATURE_PREFIX + name in columns:
        return "they have another type than its column, or too many digits", "send the feature with one type"
    folded = (FEATURE_PREFIX + name).casefold()
    twin = next((column for column in columns if column.casefold() == folded), None)
    if twin is not None:
        known = twin.removeprefix(FEATURE_PREFIX)
        return f"the table has {known!r}, and no two columns may differ in case alone", f"rename it to {known!r}"
    return "the name cannot be a column, or the table has all the columns that it may have", "rename or drop it"
