"""The entries of a Delta log as they stand: what a version added, and whether the newest entry is whole."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_NOTHING_NEW = frozenset({"DELETE", "OPTIMIZE", "RESTORE", "VACUUM START", "VACUUM END"})
SAME_ROWS = "tiltmeter_same_rows"
"""Mark of our own versions that took something out of rows and changed nothing that is profiled."""

_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
_FILE_ADDRESS = re.compile(r"file:(?://[^/]*)?(/.*)")


@dataclass(frozen=True, slots=True)
class AddedFile:
    """A data file as the log names it.

    Args:
        path: as `data_path` gives it.
        partition: column -> value as text, None for null.
        rows: number of rows, None where the log keeps none.
        least: column -> smallest value, as the log writes it.
        greatest: column -> largest value, cut to milliseconds for times.
        data_change: False for a file that only rearranges rows (compaction).
        modified_ms: when it was written, milliseconds since 1970.
    """

    path: str
    partition: Mapping[str, str | None]
    rows: int | None
    least: Mapping[str, Any]
    greatest: Mapping[str, Any]
    data_change: bool
    modified_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class TableFiles:
    """Files of one table, on this machine or in an object store.

    Args:
        root: path or address of the table.
        options: of the object store.
    """

    root: str
    options: Mapping[str, str] | None = None

    @property
    def is_local(self) -> bool:
        """Whether the table lies on this machine."""
        return "://" not in self.root

    def filesystem(self) -> Any:  # noqa: ANN401 - pyarrow ships no types
        """Reads paths that are relative to the table."""
        if self.is_local:
            return pafs.SubTreeFileSystem(self.root, pafs.LocalFileSystem())
        return pafs.PyFileSystem(DeltaStorageHandler(self.root, dict(self.options or {})))

    def checkpoints(self) -> dict[int, str]:
        """Paths of the single-file checkpoints by version, oldest first.

        Raises:
            StoreError: the log cannot be listed.
        """
        try:
            listed = self.filesystem().get_file_info(pafs.FileSelector("_delta_log", allow_not_found=True))
        except (OSError, DeltaError) as error:
            raise StoreError("the log cannot be listed", at=self.root, retryable=True) from error
        found = {int(match[1]): file.path for file in listed if (match := _CHECKPOINT.fullmatch(file.base_name))}
        return dict(sorted(found.items()))

    def remove(self, path: str) -> None:
        """Remove a file that no version needs.

        Raises:
            StoreError: it cannot be removed.
        """
        try:
            if self.is_local:
                Path(self.root, path).unlink(missing_ok=True)
            else:
                self.filesystem().delete_file(path)
        except (OSError, DeltaError) as error:
            raise StoreError(f"{path} cannot be removed", at=self.root, retryable=True) from error

    def opened(self, path: str) -> Any:  # noqa: ANN401 - pyarrow ships no types
        """A data file, open for reading.

        Args:
            path: as `data_path` gives it.
        """
        if path.startswith("/"):
            return pafs.LocalFileSystem().open_input_file(path)
        if "://" in path:
            folder, name = path.rsplit("/", 1)
            return pafs.PyFileSystem(DeltaStorageHandler(folder, dict(self.options or {}))).open_input_file(name)
        return self.filesystem().open_input_file(path)

    def rows_in(self, path: str) -> int:
        """Rows of a data file, by its own footer.

        Raises:
            StoreError: the file is missing or cut.
        """
        try:
            with self.opened(path) as file:
                return int(pq.read_metadata(file).num_rows)
        except (OSError, DeltaError, pa.ArrowException) as error:
            raise StoreError(
                f"the data file {path} cannot be read",
                at=self.root,
                hint="`tiltmeter doctor` looks at the table",
                retryable=True,
            ) from error

    def entry(self, version: int) -> list[dict[str, Any]]:
        """Actions of one version.

        Raises:
            StoreError: the entry is missing, empty or garbled; retryable where it could not be read just now.
        """
        path = f"_delta_log/{version:020d}.json"
        try:
            if self.is_local:
                text = Path(self.root, path).read_bytes()
            else:
                with self.filesystem().open_input_stream(path) as stream:
                    text = stream.read()
            actions = [json.loads(line) for line in text.decode().splitlines() if line.strip()]
        except FileNotFoundError as error:
            raise _damaged(self.root, version, "is gone") from error
        except ValueError as error:
            raise _damaged(self.root, version, "cannot be read") from error
        except (OSError, DeltaError) as error:
            what = f"log entry {version} of the table cannot be read now ({error})"
            raise StoreError(what, at=self.root, retryable=True) from error
        # An entry that holds nothing opens as a version without files: the rows would silently be gone.
        if not actions or not all(isinstance(action, dict) for action in actions):
            raise _damaged(self.root, version, "is empty")
        return actions

    def written(self, version: int) -> tuple[list[AddedFile], bool]:
        """Data files that a version wrote for its rows, and whether it took rows away or changed them.

        Raises:
            StoreError: the entry is gone or damaged.
        """
        actions = self.entry(version)
        files = [
            _file(action["add"]) for action in actions if "add" in action and action["add"].get("dataChange", True)
        ]
        return files, any(_changes_rows(action) for action in actions)

    def added(self, version: int) -> Iterator[AddedFile]:
        """Data files with new rows: those that a compaction, a removal of rows or a restore wrote anew are left out.

        Raises:
            StoreError: the entry is damaged, or changed rows so that new ones cannot be told from old ones.
        """
        actions = self.entry(version)
        said = _said(actions)
        operation = said.get("operation", "")
        if operation in _NOTHING_NEW or SAME_ROWS in said:
            return
        if any(_changes_rows(action) for action in actions):
            raise StoreError(
                f"version {version} changed rows in place ({operation}); new rows cannot be told from old ones",
                at=self.root,
                hint="append to the table instead, or profile it anew under a new baseline",
            )
        for action in actions:
            if "add" in action and action["add"].get("dataChange", True):
                yield _file(action["add"])

    def deleted(self, version: int) -> int:
        """Rows that a version removed.

        Raises:
            StoreError: as `entry`.
        """
        said = _said(self.entry(version))
        metrics = said.get("operationMetrics") or {}
        return int(metrics.get("num_deleted_rows") or 0) if said.get("operation") == "DELETE" else 0


def _said(actions: list[dict[str, Any]]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    return found


def data_path(logged: str) -> str:
    """Where a data file lies: relative to its table, or from `/` or a scheme on where it is another table's.

    Args:
        logged: as the log names it, a URI: a folder `day=a%20b` stands there as `day=a%2520b`.
    """
    address = _FILE_ADDRESS.fullmatch(logged)
    return unquote(address[1] if address else logged)


def _changes_rows(action: Mapping[str, Any]) -> bool:
    return "remove" in action and bool(action["remove"].get("dataChange", True))


def _file(add: Mapping[str, Any]) -> AddedFile:
    stats = json.loads(add.get("stats") or "{}")
    return AddedFile(
        path=data_path(add["path"]),
        partition=add.get("partitionValues") or {},
        rows=stats.get("numRecords"),
        least=stats.get("minValues") or {},
        greatest=stats.get("maxValues") or {},
        data_change=True,
        modified_ms=int(add.get("modificationTime") or 0),
    )


def _damaged(root: str, version: int, how: str) -> StoreError:
    return StoreError(
        f"log entry {version} of the table {how}",
        at=root,
        hint="restore the file from a backup, or move it away to fall back to the version before it",
    )
