"""Keeping tables small and fast: compaction with counted rows, vacuum, retention. One process at a time, in `serve`.

Two compactions of one snapshot both succeed in delta-rs and leave every row in the table twice. So a lock keeps a
second one out on this machine (the state database's lease does between machines), and rows are counted before and
after; where they differ, the table goes back to the version before.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog
from deltalake import CommitProperties, DeltaTable

from tiltmeter.domain.errors import StoreError
from tiltmeter.store.log_entries import SAME_ROWS
from tiltmeter.store.table import ConcurrentCommitError, in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, timedelta

    from tiltmeter.store.table import StoredTable

TARGET_BYTES = 128 * 1024 * 1024

SMALL_BYTES = 8 * 1024 * 1024
"""Files below it are merged among themselves in between: that rewrites little, however large the table is."""

MANY_FILES = 100
"""From so many small files on: every commit opens the table, and that takes its time for each of them."""

NEWEST_CHECKPOINTS = 5
"""Stay whatever their versions: somebody may be opening the table from one of them."""

SPARED_EVERY = 5_000
"""Versions between two old checkpoints: so many entries are read in about two seconds."""

RIVAL_TRIES = 5
DATE_COLUMNS = {
    "predictions": "request_date",
    "outcomes": "ingest_date",
    "batch_runs": "start_date",
    "traffic": "window_date",
}
"""Column by whose age rows of a table are removed; profile states are kept for ever."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did."""

    table: str
    files_before: int
    files_after: int
    rows: int


def compact(table: StoredTable, *, target_bytes: int = TARGET_BYTES, from_files: int = 0) -> Compacted | None:
    """Merge small files; None when there is no table, too few of them, or another process is at it.

    Args:
        table: created or not.
        target_bytes: files of this size and more stay as they are.
        from_files: number of smaller ones from which it is worth it.

    Raises:
        StoreError: rows are missing or doubled afterwards; the table was put back where that loses nothing.
    """
    if not table.exists():
        return None
    with _only_one(table) as mine:
        if not mine:
            return None
        handle = _opened(table)
        sizes = pa.table(handle.get_add_actions(flatten=True))["size_bytes"].to_pylist()
        if sum(size < target_bytes for size in sizes) < from_files:
            return None
        before, version, files = rows_in(handle), handle.version(), len(sizes)
        with in_our_words(table.files.root):
            handle.optimize.compact(target_size=target_bytes)
        return verify(table, version=version, rows=before, files=files)


def verify(table: StoredTable, *, version: int, rows: int, files: int) -> Compacted:
    """Compare the rows after a compaction with those before and what was appended meanwhile.

    Args:
        table: compacted.
        version: before it.
        rows: before it.
        files: before it.

    Raises:
        StoreError: they differ.
    """
    handle = _opened(table)
    newest = handle.version()
    entries = range(version + 1, newest + 1)
    appended = sum(file.rows or 0 for entry in entries for file in table.files.added(entry))
    removed = sum(table.files.deleted(entry) for entry in entries)
    found = rows_in(handle)
    if found == rows + appended - removed:
        _log.info("table_compacted", table=table.definition.name, files=len(handle.file_uris()), rows=found)
        return Compacted(table.definition.name, files, len(handle.file_uris()), found)
    if appended or removed:
        # Going back would lose what came meanwhile, or bring back somebody who was erased.
        why = "rows came or went meanwhile, so it was not put back: stop the service and restore it by hand"
    else:
        with in_our_words(table.files.root), _writable(table):
            _opened(table).restore(version)
        why = f"it was put back to version {version}"
    raise StoreError(
        f"a compaction changed {rows + appended - removed} rows into {found}; {why}",
        at=table.files.root,
        hint="does another process compact this table? Only one may",
    )


def rows_in(handle: Any) -> int:  # noqa: ANN401 - a deltalake.DeltaTable
    """Rows of a version, from the log's statistics."""
    counts = pa.table(handle.get_add_actions(flatten=True))["num_records"]
    return sum(counts.to_pylist())


def vacuum(table: StoredTable, keep: timedelta) -> list[str]:
    """Remove data files that no version of the last `keep` needs, and files that a crash left; their names."""
    if not table.exists():
        return []
    hours = max(int(keep.total_seconds() // 3600), 1)
    with in_our_words(table.files.root):
        handle = _opened(table)
        # Files without a version are removed as well, but only when they are older than any commit still under way.
        removed: list[str] = handle.vacuum(
            retention_hours=hours, dry_run=False, enforce_retention_duration=hours >= 168, full=hours >= 24
        )
        handle.cleanup_metadata()
    return removed


def thin_checkpoints(table: StoredTable) -> int:
    """Remove old checkpoints but for one in every `SPARED_EVERY` versions; how many.

    Each holds a line for every file of the last week, those that were merged away included. An old version is still
    opened: from the last spared checkpoint and the entries after it, which stay.

    Raises:
        StoreError: the log cannot be listed, or a file cannot be removed.
    """
    older = list(table.files.checkpoints().items())[:-NEWEST_CHECKPOINTS]
    removed, last = 0, -SPARED_EVERY
    for version, path in older:
        if version - last >= SPARED_EVERY:
            last = version
            continue
        table.files.remove(path)
        removed += 1
    return removed


def forget_old_versions(table: StoredTable) -> list[str]:
    """Remove at once every data file that only older versions need (erasure). Files of commits under way stay."""
    if not table.exists():
        return []
    with in_our_words(table.files.root):
        removed: list[str] = _opened(table).vacuum(
            retention_hours=0, dry_run=False, enforce_retention_duration=False, full=False
        )
    return removed


def remove_older(table: StoredTable, before: date) -> int:
    """Remove rows of whole days before a date; the number of rows.

    Raises:
        StoreError: the table keeps its rows for ever, or is away.
    """
    column = DATE_COLUMNS.get(table.definition.name)
    if column is None:
        raise StoreError(f"rows of {table.definition.name} are kept for ever", at=table.files.root)
    # A date has one way to be written, so nothing of anybody's text gets into the predicate.
    return delete_rows(table, f"{column} < DATE '{before.isoformat()}'") if table.exists() else 0


def delete_rows(table: StoredTable, predicate: str) -> int:
    """Remove rows from the newest version; the number of rows. Appends of the shipper may go on meanwhile.

    Args:
        table: must exist.
        predicate: of deltalake; text in it must come from `quoted`.
    """
    for _ in range(RIVAL_TRIES):
        try:
            with in_our_words(table.files.root), _writable(table):
                metrics = _opened(table).delete(predicate)
        except ConcurrentCommitError:
            continue
        return int(metrics.get("num_deleted_rows") or 0)
    raise ConcurrentCommitError(table.files.root, f"{RIVAL_TRIES} times in a row")


def clear_columns(table: StoredTable, columns: Sequence[str], predicate: str) -> int:
    """Empty columns of some rows, none of which is profiled; the number of rows. Otherwise as `delete_rows`."""
    properties = CommitProperties(custom_metadata={SAME_ROWS: ", ".join(columns)})
    for _ in range(RIVAL_TRIES):
        try:
            with in_our_words(table.files.root), _writable(table):
                nothing = dict.fromkeys(columns, "NULL")
                metrics = _opened(table).update(nothing, predicate=predicate, commit_properties=properties)
        except ConcurrentCommitError:
            continue
        return int(metrics.get("num_updated_rows") or 0)
    raise ConcurrentCommitError(table.files.root, f"{RIVAL_TRIES} times in a row")


def quoted(text: str) -> str:
    """Text as a literal of a predicate: inside single quotes only a single quote has a meaning, and it is doubled."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _writable(table: StoredTable) -> Iterator[None]:
    """Append-only is lifted for an erasure alone, and put back whatever happens."""
    _set_append_only(table, "false")
    try:
        yield
    finally:
        _set_append_only(table, "true")


def _set_append_only(table: StoredTable, value: str) -> None:
    handle = _opened(table)
    if (handle.metadata().configuration or {}).get("delta.appendOnly") != value:
        handle.alter.set_table_properties({"delta.appendOnly": value})


def _opened(table: StoredTable) -> DeltaTable:
    options = dict(table.files.options) if table.files.options else None
    with in_our_words(table.files.root):
        return DeltaTable(table.files.root, storage_options=options)


@contextmanager
def _only_one(table: StoredTable) -> Iterator[bool]:
    if not table.files.is_local:
        yield True  # between machines the state database's lease decides
        return
    fd = os.open(Path(table.files.root).parent / f".{table.definition.name}.maintenance", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)
