"""A folder of files as a source: new files are new rows, a file that changed is read again. Nothing is written into it.

A ledger in the home gives every look that found something a version, as a Delta log does: a line for each file with its
size, its time and the times of its rows. A file that cannot be read is reported and looked at again once it changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import structlog

from tiltmeter.domain.errors import DataError, RowsRewritten, SchemaChanged, StoreError, UnreadableData, UsageError
from tiltmeter.domain.window import Grain, Window
from tiltmeter.store.foreign import span_of
from tiltmeter.store.parquet_rows import RowFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tiltmeter.domain.model import Model, TableSource
    from tiltmeter.ports import Rows

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
KEPT_BYTES = 64 * 2**20
"""Files that are kept open between two looks: a CSV file lies in memory as long as it is."""

_log = structlog.get_logger(__name__)


class SeenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ledger.

    Args:
        version: of the look that found the file as it is here.
        path: relative to the folder.
        size: in bytes.
        modified_ns: nanoseconds since 1970.
        first: time of its earliest row; None without rows.
        last: just after its latest row.
    """

    version: int
    path: str
    size: int
    modified_ns: int
    first: datetime | None
    last: datetime | None

    @property
    def state(self) -> tuple[int, int]:
        """What changes when the file is written anew."""
        return self.size, self.modified_ns


@dataclass(frozen=True, slots=True)
class Files:
    """How files are found and read; the engine's own readers.

    Args:
        found: files of a folder, in order; tells of those that it leaves out.
        rows: rows of one of them.
    """

    found: Callable[[Path, Callable[[str], None]], list[Path]]
    rows: Callable[[Path, Path], Rows]


@dataclass(slots=True, eq=False)
class FolderSource:
    """Predictions in the files of a folder, or in one file.

    Args:
        source: where they lie and which columns play which part.
        ledger: file that remembers what was seen.
        files: finds and reads.
        kept_bytes: of files that are kept open.
    """

    source: TableSource
    ledger: Path
    files: Files
    kept_bytes: int = KEPT_BYTES
    _opened: dict[str, tuple[tuple[int, int], Rows]] = field(default_factory=dict)
    _schemas: dict[str, tuple[tuple[int, int], pa.Schema]] = field(default_factory=dict)
    _refused: dict[str, tuple[int, int]] = field(default_factory=dict)
    _told: str = ""

    @classmethod
    def of(cls, model: Model, home: Path, files: Files) -> FolderSource | None:
        """The source of a model where it is a folder or a file of this machine; None where it is a table."""
        if model.source is None:
            return None
        place = Path(model.source.table)
        if not place.exists() or (place / "_delta_log").is_dir():
            return None
        name = hashlib.blake2b(f"{model.name}\0{place.resolve()}".encode(), digest_size=8).hexdigest()
        return cls(model.source, home / "sources" / f"{name}.jsonl", files)

    @property
    def time(self) -> str:
        """Name of the time column."""
        return self.source.columns.get("time", "time")

    def new_rows(self, since: int | None, begin: datetime | None = None) -> Rows:
        """Rows with a prediction of files that were found after a version; all for None.

        Raises:
            RowsRewritten: a file that was read before changed.
            UnreadableData: no file can be read.
        """
        seen = self._look()
        version = max((file.version for file in seen), default=0)
        span = (self.time, begin, _END_OF_TIME) if begin is not None else None
        newest = {file.path: file for file in seen}
        if since is None:
            return self._rows(version, newest.values(), span)
        if version < since:
            raise RowsRewritten(
                f"the ledger of the folder begins anew (version {version} after {since})",
                at=self.source.table, version=version, span=None,
            )  # fmt: skip
        later = [file for file in newest.values() if file.version > since]
        before = {file.path for file in seen if file.version <= since}
        changed = [file.path for file in later if file.path in before]
        if changed:
            touched = [file for file in seen if file.version > since or file.path in changed]
            what = f"{len(changed)} files changed, {changed[0]} among them"
            raise RowsRewritten(what, at=self.source.table, version=version, span=_span(touched))
        return self._rows(version, later, span)

    def rows(self, window: Window, filters: Mapping[str, object] | None = None) -> Rows:
        """Rows with a prediction in the window."""
        seen = self._look()
        version = max((file.version for file in seen), default=0)
        newest = {file.path: file for file in seen}.values()
        inside = [f for f in newest if f.first and f.last and f.first < window.end and f.last > window.start]
        return self._rows(version, inside, (self.time, window.start, window.end), filters)

    # ---- looking

    def _look(self) -> list[SeenFile]:
        """The ledger, after the files that are new or changed were entered."""
        with self._locked():
            seen = self._read()
            known = {file.path: file.state for file in seen}
            version = max((file.version for file in seen), default=0) + 1
            there = self._there()
            entered = [
                file
                for path, state in there.items()
                if known.get(path) != state and (file := self._entered(path, state, version)) is not None
            ]
            if entered:
                lines = b"".join(msgspec.json.encode(file) + b"\n" for file in entered)
                with self.ledger.open("ab") as ledger:
                    ledger.write(lines)
            seen += entered
        alive = [file for file in seen if file.path in there]
        if there and not alive:
            raise UnreadableData(
                f"none of {len(there)} files can be read",
                at=self.source.table,
                hint="the log names them and the reason",
            )
        return alive

    def _there(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.files.found(self._root, self._tell):
            state = path.stat()
            found[str(path.relative_to(self._root))] = (state.st_size, state.st_mtime_ns)
        return found

    def _tell(self, left_out: str) -> None:
        if left_out != self._told:  # every look leaves them out again
            _log.warning("source_files_left_out", reason=left_out)
            self._told = left_out

    def _entered(self, path: str, state: tuple[int, int], version: int) -> SeenFile | None:
        if self._refused.get(path) == state:
            return None
        try:
            rows = self.open(path, state)
            self._check_columns(rows)
            span = span_of(rows, self.time)
        except (DataError, UsageError, OSError, pa.ArrowException) as error:
            self._refused[path] = state
            _log.warning("source_file_refused", file=path, reason=str(error))
            return None
        first, last = (span.start, span.end) if span is not None else (None, None)
        return SeenFile(version=version, path=path, size=state[0], modified_ns=state[1], first=first, last=last)

    def _check_columns(self, rows: Rows) -> None:
        wanted = {role: column for role, column in self.source.columns.items() if role in ("time", "prediction")}
        gone = [f"{role}: {column}" for role, column in wanted.items() if column not in rows.schema.names]
        if gone:
            raise SchemaChanged(
                f"the file has no column for {', '.join(gone)}", hint=f"it has {', '.join(rows.schema.names[:20])}"
            )

    @property
    def _root(self) -> Path:
        return Path(self.source.table)

    def open(self, path: str, state: tuple[int, int]) -> Rows:
        """Rows of a file, which is taken up anew where it changed or too many were looked at meanwhile."""
        kept = self._opened.pop(path, None)
        if kept is None or kept[0] != state:
            kept = (state, self.files.rows(self._root, self._root / path))
        self._opened[path] = kept
        while len(self._opened) > 1 and sum(size for (size, _), _ in self._opened.values()) > self.kept_bytes:
            del self._opened[next(iter(self._opened))]
        return kept[1]

    def schema_of(self, path: str, state: tuple[int, int]) -> pa.Schema:
        """Schema of a file."""
        known = self._schemas.get(path)
        if known is None or known[0] != state:
            known = self._schemas[path] = (state, self.open(path, state).schema)
        return known[1]

    def _read(self) -> list[SeenFile]:
        if not self.ledger.exists():
            return []
        held = self.ledger.read_bytes()
        whole = held.rfind(b"\n") + 1
        if whole < len(held):
            os.truncate(self.ledger, whole)  # somebody was killed over its last line: those files are new once more
        lines = held[:whole].splitlines()
        try:
            return [msgspec.json.decode(line, type=SeenFile) for line in lines if line]
        except msgspec.DecodeError as error:
            raise StoreError(
                "the ledger of a source is damaged", at=str(self.ledger), hint="remove it: the files are read again"
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.ledger.parent.mkdir(parents=True, exist_ok=True)
        with self.ledger.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _rows(
        self,
        version: int,
        files: Iterable[SeenFile],
        span: tuple[str, Any, Any] | None,
        filters: Mapping[str, object] | None = None,
    ) -> ChosenRows:
        column = self.source.columns.get("prediction")
        wanted = RowFilter(dict(filters or {}), (column,) if column else (), span)
        rows = tuple(_OneFile(self, file.path, file.state) for file in files)
        return ChosenRows(self.source.table, version, rows, wanted)


@dataclass(frozen=True, slots=True, eq=False)
class _OneFile:
    """Rows of one file, opened when they are asked for: a folder may hold more than memory does."""

    source: FolderSource
    path: str
    state: tuple[int, int]
    text: frozenset[str] = frozenset()

    @property
    def schema(self) -> pa.Schema:
        schema = self.source.schema_of(self.path, self.state)
        return pa.schema([field.with_type(pa.string()) if field.name in self.text else field for field in schema])

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows: Any = self.source.open(self.path, self.state)
        spelt: Rows = rows.with_text(sorted(self.text)) if self.text else rows
        return spelt.batches(columns)

    def with_text(self, names: Sequence[str]) -> _OneFile:
        """As that of its rows, which are not kept open for it."""
        wanted = set(names)
        types = {field.name: field.type for field in self.schema if field.name in wanted}
        changed = {name for name, held in types.items() if not (pa.types.is_string(held) or pa.types.is_null(held))}
        if not changed or not hasattr(self.source.open(self.path, self.state), "with_text"):
            return self
        return replace(self, text=self.text | changed)


@dataclass(frozen=True, slots=True, eq=False)
class ChosenRows:
    """Wanted rows of several files, one after another.

    Args:
        name: of the folder.
        version: of the ledger.
        files: in order.
        wanted: which rows.
    """

    name: str
    version: int | None
    files: tuple[_OneFile, ...]
    wanted: RowFilter

    @property
    def schema(self) -> pa.Schema:
        """Every column once; where files disagree about a type, the first one's stands."""
        fields: dict[str, pa.Field] = {}
        for file in self.files:
            for one in file.schema:
                fields.setdefault(one.name, one)
        return pa.schema(list(fields.values()))

    def with_text(self, names: Sequence[str]) -> ChosenRows:
        """The same rows with these columns read as text in files that state no types; itself where they are.

        Columns that choose the rows stay what they are.
        """
        apart = {*self.wanted.columns, *self.wanted.equal}
        files = tuple(file.with_text([name for name in names if name not in apart]) for file in self.files)
        if all(file is before for file, before in zip(files, self.files, strict=True)):
            return self
        return replace(self, files=files)

    def count(self) -> int | None:
        """Wanted rows, counted by reading the filter's columns."""
        counted: int = sum(batch.num_rows for batch in self.batches([]))
        return counted

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of the wanted rows; a column that a file lacks is null there."""
        schema = self.schema
        asked = [name for name in schema.names if columns is None or name in columns]
        for file in self.files:
            there = file.schema.names
            if not set(self.wanted.equal) <= set(there):
                continue
            needed = dict.fromkeys([*asked, *self.wanted.columns])
            for batch in file.batches([name for name in needed if name in there] or there[:1]):
                kept = self.wanted.keeps(batch)
                if kept.num_rows:
                    yield _completed(kept, asked, schema)


def _completed(batch: pa.RecordBatch, asked: list[str], schema: pa.Schema) -> pa.RecordBatch:
    there = set(batch.schema.names)
    if not asked or there.issuperset(asked):
        return batch.select(asked)
    arrays = [batch.column(n) if n in there else pa.nulls(batch.num_rows, schema.field(n).type) for n in asked]
    return pa.RecordBatch.from_arrays(arrays, asked)


def _span(files: Sequence[SeenFile]) -> Window | None:
    firsts = [file.first for file in files if file.first is not None]
    lasts = [file.last for file in files if file.last is not None]
    return Window(min(firsts), max(lasts), Grain.LIVE) if firsts and lasts else None
