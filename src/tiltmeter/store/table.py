"""One Delta table: opened fresh for every write, kept open for reading, errors in our own words."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from tiltmeter.domain.errors import ConfigError, StoreError
from tiltmeter.store.schema import CHECKPOINT_EVERY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiltmeter.ports import Clock
    from tiltmeter.store.log_entries import TableFiles
    from tiltmeter.store.schema import TableDefinition

REOPEN_SECONDS = 3600.0
"""A kept handle is opened anew this often: cost after many hundred increments was never measured."""

_MOSTLY_UNIQUE = frozenset(
    {"event_id", "request_id", "client_request_id", "entity_id", "trace_id", "span_id", "row_id", "state"}
)
"""Columns in which a dictionary would hold every value once more."""

_UNSAFE = ("AWS_S3_ALLOW_UNSAFE_RENAME", "MOUNT_ALLOW_UNSAFE_RENAME")


class ConcurrentCommitError(StoreError):
    """Somebody else committed first: open the table anew, look at its transactions, start again."""

    def __init__(self, at: str, why: str) -> None:
        super().__init__(f"another writer was faster ({why})", at=at, retryable=True)


def check_options(options: Mapping[str, str] | None) -> None:
    """Refuse store options that give up atomic commits.

    Raises:
        ConfigError: such an option is set.
    """
    for name in options or {}:
        if name.upper() in _UNSAFE:
            raise ConfigError(
                f"the store option {name} allows two writers to overwrite each other",
                hint="remove it; local disks, S3, ADLS and GCS commit atomically without it",
            )


def first_line(error: BaseException) -> str:
    """What a library said, without its stack frames, at most 300 characters."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


@contextmanager
def in_our_words(at: str) -> Iterator[None]:
    """Turn errors of deltalake, Arrow and the file system into StoreError.

    Raises:
        ConcurrentCommitError: a rival commit won.
        StoreError: everything else; retryable where the same call may succeed later.
    """
    try:
        yield
    except CommitFailedError as error:
        raise ConcurrentCommitError(at, first_line(error)) from error
    except TableNotFoundError as error:
        raise StoreError("the table cannot be found", at=at, retryable=True) from error
    except OSError as error:
        raise StoreError(f"the table cannot be reached ({first_line(error)})", at=at, retryable=True) from error
    except (DeltaError, pa.ArrowException) as error:
        raise StoreError(
            f"the table is damaged or not as expected ({first_line(error)})",
            at=at,
            hint="`tiltmeter doctor` names the broken file",
            retryable=True,
        ) from error


@dataclass(slots=True, eq=False)
class WriteHandle:
    """A table opened for one commit: look at its transactions, write through this very handle, drop it.

    delta-rs never compares application versions for you: only a write through the handle whose transactions were
    looked at is refused when somebody committed in between.
    """

    definition: TableDefinition
    files: TableFiles
    handle: Any

    def committed(self, slot: str) -> int | None:
        """Highest sequence of the slot that is in the table."""
        with in_our_words(self.files.root):
            found: int | None = self.handle.transaction_version(slot)
        return found

    def schema(self) -> pa.Schema:
        """Columns of the table as this handle sees it."""
        return pa.schema(self.handle.schema().to_arrow())

    def contains(self, slot: str, sequence: int) -> bool:
        """Whether everything of the slot up to the sequence is in the table."""
        committed = self.committed(slot)
        return committed is not None and committed >= sequence

    def append(
        self, rows: pa.Table, transactions: Mapping[str, int], *, metadata: Mapping[str, str] | None = None
    ) -> int:
        """Write rows and transactions as one version, then read it back: log entry, and the footer of each new file.

        Args:
            rows: columns of the table; features it does not know yet are added.
            transactions: slot -> highest sequence that the rows contain.
            metadata: further facts for the history.

        Returns:
            The version that holds the rows.

        Raises:
            ConcurrentCommitError: another writer was faster; nothing of this call is in the table.
            StoreError: the table is away, or the version that was written cannot be read back.
        """
        known = set(self.schema().names)
        properties = CommitProperties(
            custom_metadata=dict(metadata) if metadata else None,
            max_commit_retries=None,
            app_transactions=[Transaction(slot, sequence) for slot, sequence in sorted(transactions.items())],
        )
        with in_our_words(self.files.root):
            write_deltalake(
                self.handle,
                rows,
                mode="append",
                schema_mode=None if known.issuperset(rows.schema.names) and len(known) == rows.num_columns else "merge",
                commit_properties=properties,
                post_commithook_properties=self._afterwards(),
                writer_properties=_parquet(rows.schema),
            )
        return self._read_back(rows.num_rows, transactions)

    def _afterwards(self) -> PostCommitHookProperties:
        # Looking for expired entries reads the whole folder of the log: once a checkpoint, not once a commit.
        is_checkpoint = (self.handle.version() + 2) % CHECKPOINT_EVERY == 0
        return PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=is_checkpoint)

    def _read_back(self, rows: int, transactions: Mapping[str, int]) -> int:
        version: int = self.handle.version()
        actions = self.files.entry(version)
        found = {a["txn"]["appId"]: a["txn"]["version"] for a in actions if "txn" in a}
        files = list(self.files.added(version))
        promised, stored = sum(file.rows or 0 for file in files), sum(self.files.rows_in(file.path) for file in files)
        if (
            any(found.get(slot) != sequence for slot, sequence in transactions.items())
            or not promised == stored == rows
        ):
            raise StoreError(
                f"version {version} should hold {rows} new rows; its entry says {promised} and its files {stored}",
                at=self.files.root,
                hint="the spool keeps them; `tiltmeter doctor` looks at the table",
                retryable=True,
            )
        return version


def _parquet(schema: pa.Schema) -> WriterProperties:
    # Measured on 58 columns: numbers and ids without dictionaries and zstd take 2.6 us and 153 bytes a row, the
    # library's defaults 4.4 us and 217 bytes.
    plain = ColumnProperties(dictionary_enabled=False)
    names = [field.name for field in schema if field.type == pa.float64() or field.name in _MOSTLY_UNIQUE]
    return WriterProperties(compression="ZSTD", compression_level=1, column_properties=dict.fromkeys(names, plain))


@dataclass(slots=True, eq=False)
class StoredTable:
    """One of our tables.

    Args:
        definition: columns and properties.
        files: where it lies.
        clock: decides when a kept handle is opened anew.
    """

    definition: TableDefinition
    files: TableFiles
    clock: Clock
    _kept: Any = None
    _opened_at: float = 0.0
    _verified: int = -1
    _was_there: bool = False
    _lock: Lock = field(default_factory=Lock)

    def exists(self) -> bool:
        """Whether the table was created."""
        with in_our_words(self.files.root):
            return bool(DeltaTable.is_deltatable(self.files.root, self._options()))

    def create(self) -> None:
        """Create the table with its pinned properties unless it exists.

        Raises:
            StoreError: it cannot be created, or it existed before and is gone.
        """
        if self.exists():
            self._was_there = True
            return
        if self._was_there:
            # An unmounted volume looks like a missing table: rows written beside it would vanish when it comes back.
            raise StoreError(
                "the table was there and is gone", at=self.files.root, hint="is it mounted?", retryable=True
            )
        with in_our_words(self.files.root):
            if self.files.is_local:
                Path(self.files.root).parent.mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                self.files.root,
                self.definition.columns,
                mode="ignore",
                partition_by=list(self.definition.partition),
                configuration=self.definition.properties,
                storage_options=self._options(),
            )

    def for_writing(self) -> WriteHandle:
        """A fresh handle, the newest log entry looked at.

        Raises:
            StoreError: the table is away or its newest entry is damaged.
        """
        handle = self._opened()
        if handle is None:  # asked only then: looking for a table costs as much as opening it
            self.create()
            handle = self._opened()
        if handle is None:
            raise StoreError("the table cannot be found", at=self.files.root, retryable=True)
        self._was_there = True
        self.files.entry(handle.version())
        return WriteHandle(self.definition, self.files, handle)

    def _opened(self) -> DeltaTable | None:
        with in_our_words(self.files.root):
            try:
                return DeltaTable(self.files.root, storage_options=self._options())
            except TableNotFoundError:
                return None

    def reading(self) -> Any | None:  # noqa: ANN401 - a deltalake.DeltaTable
        """The kept handle at the newest version; None while the table does not exist.

        Raises:
            StoreError: the table is away or its newest entry is damaged.
        """
        with self._lock:
            if self._kept is None or self.clock.monotonic() - self._opened_at > REOPEN_SECONDS:
                self._kept = None
                if not self.exists():
                    return None
                with in_our_words(self.files.root):
                    self._kept = DeltaTable(self.files.root, storage_options=self._options())
                self._opened_at = self.clock.monotonic()
            else:
                with in_our_words(self.files.root):
                    self._kept.update_incremental()
            self._verify(self._kept.version())
            return self._kept

    def _verify(self, version: int) -> None:
        if version == self._verified:
            return
        try:
            self.files.entry(version)
        except StoreError:
            self._kept = None  # a repaired log is seen by a fresh handle only
            raise
        self._verified = version

    def _options(self) -> dict[str, str] | None:
        return dict(self.files.options) if self.files.options else None
