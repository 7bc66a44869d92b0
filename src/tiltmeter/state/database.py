"""Opening the state database and its transactions: SQLite (WAL, synced at every commit) or PostgreSQL by address."""

from __future__ import annotations

import errno
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Engine, StaticPool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from tiltmeter.domain.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_Key = TypeVar("_Key")
_Found = TypeVar("_Found")

BUSY_TIMEOUT_MS = 5000
"""How long a statement waits for another process's lock; then the caller hears of it and tries again later."""

_WRITES = "tiltmeter_writes"
_RETRYABLE = {
    "locked": "another process holds a lock on it: it is tried again; look for a backup or a shell that keeps it open",
    "busy": "another process holds a lock on it: it is tried again; look for a backup or a shell that keeps it open",
    "deadlock": "two writers waited for each other: it is tried again",
    "could not serialize": "two writers met: it is tried again",
    "full": "the disk is full: free space, nothing was half written",
    "disk i/o": "the disk failed or is full: check it, nothing was half written",
    "unable to open": "check that the folder exists and may be written",
    "readonly": "the file or its folder may not be written: check its owner and mode",
}


def parse_url(url: str, *, home: Path | None = None) -> URL:
    """The address of a state database as a SQLAlchemy URL.

    Args:
        url: `sqlite:FILE` (relative to home), any `sqlite:///…` or `postgresql://…` address; `sqlite:` and
            `sqlite://` alone are a database in memory, for tests.
        home: folder that relative files are in.

    Raises:
        ConfigError: it is neither; the text never holds the password.
    """
    if url.startswith("sqlite:") and not url.startswith("sqlite://"):
        path = url.removeprefix("sqlite:")
        return URL.create("sqlite", database=str((home or Path()) / path) if path else None)
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "state.url is not an address of a database", hint="write sqlite:state.db or postgresql://user@host/name"
        ) from None
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigError(
            f"state.url names a {parsed.get_backend_name()} database", hint="SQLite and PostgreSQL are supported"
        )
    return parsed


class Database:
    """Connections and transactions.

    Args:
        url: parsed address.
        create: make a SQLite file that is not there; without it, the first use fails.
    """

    def __init__(self, url: URL, *, create: bool = True) -> None:
        self.name = url.database or "memory" if url.get_backend_name() == "sqlite" else url.render_as_string()
        self._file: Path | None = None
        self._identity: tuple[int, int] | None = None
        if url.get_backend_name() == "sqlite" and url.database:
            self._file = Path(url.database)
            if create:
                _create_private(url.database)
            else:
                url = url.set(database=f"file:{quote(url.database)}?mode=rw", query={"uri": "true"})
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(**{_WRITES: True})
        self._open = threading.local()
        # One connection serves every thread of a database in memory; they take turns.
        self._turn = threading.RLock() if not url.database else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the database; the transaction of this thread where one is open."""
        with self._connection(self.engine) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A writing transaction, committed at the end; joins the transaction of this thread where one is open."""
        with self._connection(self._writer) as connection:
            yield connection

    def additions(self, kept: dict[_Key, _Found]) -> dict[_Key, _Found]:
        """What this thread's transaction adds to a dictionary.

        Merged into it at the commit; forgotten when the transaction is undone, as ids may then be given again.
        """
        found: tuple[dict[_Key, _Found], dict[_Key, _Found]] = self._open.added.setdefault(id(kept), (kept, {}))
        return found[1]

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    @contextmanager
    def _connection(self, engine: Engine) -> Iterator[Connection]:
        current: Connection | None = getattr(self._open, "connection", None)
        if current is not None:
            if engine is self._writer and not current.get_execution_options().get(_WRITES):
                raise StoreError("a write was tried inside a read", at=self.name)
            yield current
            return
        self._check_file()
        if self._turn is not None:
            self._turn.acquire()
        try:
            with engine.begin() as connection:
                self._open.connection, self._open.added = connection, {}
                yield connection
            for kept, added in self._open.added.values():
                kept.update(added)
        except SQLAlchemyError as error:
            raise self._error(error) from error
        finally:
            self._open.connection = None
            if self._turn is not None:
                self._turn.release()

    def _check_file(self) -> None:
        """Whether the file is still the one that open connections hold.

        A removed file lives on for those who hold it: the pages would call a lost installation healthy, and what the
        service writes would be lost with its process.
        """
        if self._file is None:
            return
        try:
            found = self._file.stat()
        except OSError:
            if self._identity is None:
                return  # never seen: opening it says why
            raise StoreError(
                "the state database is gone: its file was removed while it was in use", at=self.name,
                hint="put the file back, or restart to begin a new one", retryable=True,
            ) from None  # fmt: skip
        identity = (found.st_dev, found.st_ino)
        if self._identity not in {None, identity}:
            self.engine.dispose()  # another file stands in its place: read that one
        self._identity = identity

    def _error(self, error: SQLAlchemyError) -> StoreError:
        # Statements and parameters stay out of the text: they may hold customer names.
        cause = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
        for word, hint in _RETRYABLE.items():
            if word in cause.lower():
                return StoreError(f"the state database failed: {cause}", at=self.name, hint=hint, retryable=True)
        if isinstance(error, IntegrityError):
            # Two processes wrote the same row at the same moment; whoever came second finds it there when it repeats.
            what = "the state database failed: somebody else wrote the same at the same moment"
            return StoreError(what, at=self.name, hint="it is tried again", retryable=True)
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        return StoreError(f"the state database failed: {cause}", at=self.name, retryable=lost)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}}
        if not url.database:
            options["poolclass"] = StaticPool
        engine = create_engine(url, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise ConfigError(
            "state.url names a PostgreSQL database, but its driver is not installed",
            hint='pip install "tiltmeter[postgres]"',
        ) from None


def _create_private(path: str) -> None:
    # It holds routing keys of open incidents: nobody but its owner reads it. SQLite gives -wal and -shm the same mode.
    try:
        Path(path).touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the state database cannot be created ({error.strerror})",
            at=path,
            hint="check that the folder exists and may be written",
            retryable=error.errno == errno.ENOSPC,
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DB-API connection
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a committed message survives a power cut
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock first: a transaction that began with a read could not be upgraded once another wrote.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
