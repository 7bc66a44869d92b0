"""Where a person is named outside of their own rows: bodies kept with the rows of others, files that were set aside."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tiltmeter.store.maintenance import clear_columns, quoted
from tiltmeter.store.parquet_rows import RowFilter
from tiltmeter.store.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiltmeter.store.table import StoredTable

BODIES = ("request", "response")
NAMES_AT_ONCE = 500


def spellings(entity: str) -> list[str]:
    """The id as it may stand in a JSON body: as it is, and with its characters escaped."""
    return list(dict.fromkeys([entity, json.dumps(entity)[1:-1], json.dumps(entity, ensure_ascii=False)[1:-1]]))


def clear_bodies(table: StoredTable, entity: str, row_id: str) -> int:
    """Empty the bodies that name a person, in whatever row they are kept; the number of rows.

    A list body is kept once, with its first row; a body that could not be read has a row without an id.

    Args:
        table: predictions.
        entity: the id.
        row_id: column that names a row.
    """
    snap = snapshot(table)
    if snap is None:
        return 0
    # Not inside of another word or number: the body of lead 77 is not that of lead 770.
    named = rf"(^|[^0-9A-Za-z])({'|'.join(map(re.escape, spellings(entity)))})([^0-9A-Za-z]|$)"
    found = set[str]()
    for column in set(BODIES) & set(snap.schema.names):
        for batch in snap.rows(RowFilter(present=(column, row_id))).batches([row_id, column]):
            text = batch.column(column).cast(pa.string())
            found.update(batch.column(row_id).filter(pc.match_substring_regex(text, named)).to_pylist())
    names = sorted(found)
    for start in range(0, len(names), NAMES_AT_ONCE):
        listed = ", ".join(quoted(name) for name in names[start : start + NAMES_AT_ONCE])
        clear_columns(table, BODIES, f"{row_id} IN ({listed})")
    return len(names)


def remove_mentioning(folder: Path | None, entities: Sequence[str]) -> tuple[list[str], list[str]]:
    """Remove files that were set aside and hold a person: they cannot be rewritten, so each goes whole.

    Returns:
        Names of the files that were removed, and of those in which nobody can look.
    """
    removed, unread = [], []
    for path in sorted(folder.rglob("*")) if folder is not None and folder.is_dir() else ():
        if not path.is_file():
            continue
        try:
            holds = _holds(path, entities)
        except (pa.ArrowException, OSError):
            unread.append(path.name)
            continue
        if holds:
            path.unlink()
            removed.append(path.name)
    return removed, unread


def _holds(path: Path, entities: Sequence[str]) -> bool:
    if path.suffix == ".parquet":  # compressed: its bytes say nothing
        with pq.ParquetFile(path) as part:
            ids = set(entities)
            if "entity_id" not in part.schema_arrow.names:  # a job that was given no ids
                return False
            return any(ids & set(batch.column(0).to_pylist()) for batch in part.iter_batches(columns=["entity_id"]))
    data = path.read_bytes()
    return any(spelled.encode() in data for entity in entities for spelled in spellings(entity))
