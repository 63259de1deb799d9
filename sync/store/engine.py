"""Opening the store, and its two kinds of transaction: a snapshot to read, and one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.pool import NullPool

from sync.errors import StoreUnavailable
from sync.ids import now_ms
from sync.settings import StoreSettings
from sync.store import migrations

__all__ = ["Connection", "Store", "many", "open_store"]

BUSY_MS = 300_000
"""How long a writer waits for another before it gives up: longer than the commit of the largest directory, which admins' writes outwait."""

RUN_CACHE_KIB = 32_768
"""Pages that a run's own connection keeps in memory: with SQLite's two megabytes every index of a large commit is written many times over."""


class Store:
    """An open store. Safe to share between threads; each transaction takes a connection of its own."""

    def __init__(self, engine: Engine, path: Path | None, clock: Callable[[], int]) -> None:
        self.engine = engine
        self.path = path
        self._clock = clock
        self._local = threading.local()

    def now(self) -> int:
        """Return milliseconds since the epoch by the store's clock."""
        return self._clock()

    @contextmanager
    def read(self, on: Connection | None = None) -> Iterator[Connection]:
        """Open one snapshot. Raises StoreUnavailable."""
        with self._transaction("BEGIN", on) as connection:
            yield connection

    @contextmanager
    def write(self, on: Connection | None = None, *, within_ms: int | None = None) -> Iterator[Connection]:
        """Open a write transaction: BEGIN IMMEDIATE, so that a writer waits instead of failing halfway; for `within_ms`, else BUSY_MS.

        Raises StoreUnavailable.
        """
        with self._transaction("BEGIN IMMEDIATE", on, within_ms) as connection:
            yield connection

    @contextmanager
    def dedicated(self) -> Iterator[Connection]:
        """Open a connection of one's own, whose temporary tables live in a file as long as it does; use it with `read(on=…)`."""
        with _translated(self.path), self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA temp_store = FILE")
            connection.exec_driver_sql(f"PRAGMA cache_size = -{RUN_CACHE_KIB}")
            connection.rollback()
            yield connection

    @contextmanager
    def _transaction(self, begin: str, on: Connection | None, within_ms: int | None = None) -> Iterator[Connection]:
        if on is None:
            with _translated(self.path), self.engine.connect() as connection, self._transaction(begin, connection, within_ms):
                yield connection
            return
        with _translated(self.path):
            if within_ms is not None:
                on.exec_driver_sql(f"PRAGMA busy_timeout = {within_ms:d}")
            on.exec_driver_sql(begin)
            try:
                yield on
                on.exec_driver_sql("COMMIT")
            except BaseException:
                _roll_back(on)
                raise
            finally:
                on.rollback()  # SQLAlchemy's own notion of a transaction, a fiction under AUTOCOMMIT

    def query(self, statement: str, facts: Mapping[str, Any]) -> list[Any]:
        """Answer one SELECT on the calling thread's own connection, past SQLAlchemy: the hot path of the lookup (ten microseconds)."""
        with _translated_driver(self.path):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                with _translated(self.path):
                    connection = self._local.connection = self.engine.raw_connection()
            return connection.cursor().execute(statement, facts).fetchall()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the calling thread's connection and every pooled one."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection
        self.engine.dispose()


def many(connection: Connection, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run a statement with `:name` parameters once for each row, past SQLAlchemy's work per row (three quarters of the time)."""
    if rows:
        connection.exec_driver_sql(statement, list(rows))


def open_store(settings: StoreSettings, *, clock: Callable[[], int] = now_ms) -> Store:
    """Open the store, made if there is none, migrated if it is older. Raises StoreUnavailable for everything that can be wrong with it."""
    url = make_url(settings.url)
    path = Path(url.database) if url.database else None
    if path is not None:
        _make_file(path)
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    event.listen(engine, "connect", _prepare)
    store = Store(engine, path, clock)
    with _translated(path):
        migrations.bring_up_to_date(engine)
    return store


def _make_file(path: Path) -> None:
    """Make an empty file that only its owner can read; SQLite gives its journal files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            "store_unavailable",
            f"The store {path} cannot be opened: {error.strerror}.",
            "Make its directory exist and belong to the user that runs rosterd, or correct [store] url.",
        ) from error


def _prepare(driver: object, record: object) -> None:
    cursor = driver.cursor()  # type: ignore[attr-defined]
    for pragma in (f"busy_timeout = {BUSY_MS}", "journal_mode = WAL", "foreign_keys = ON", "synchronous = FULL", "journal_size_limit = 67108864"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except DBAPIError:  # SQLite has rolled back by itself (full disk, I/O error)
        connection.invalidate()


@contextmanager
def _translated(path: Path | None) -> Iterator[None]:
    try:
        yield
    except (IntegrityError, ProgrammingError, InterfaceError):
        raise  # bugs of ours, nothing about the store
    except DBAPIError as error:
        raise _unavailable(path, str(error.orig)) from error


@contextmanager
def _translated_driver(path: Path | None) -> Iterator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise
    except sqlite3.Error as error:
        raise _unavailable(path, str(error)) from error


_REMEDIES = {
    "full": "Free some space on its disk; nothing that was committed is lost.",
    "locked": "Another process has been writing for too long; find it with `fuser`, or try again.",
    "readonly": "Let the user that runs rosterd write to the file and its directory.",
    "not a database": "Restore it from a backup (`rosterd store backup` makes one).",
    "malformed": "Restore it from a backup (`rosterd store backup` makes one).",
    "unable to open": "Make its directory exist and belong to the user that runs rosterd, or correct [store] url.",
}


def _unavailable(path: Path | None, said: str) -> StoreUnavailable:
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in said), "Check its disk and its owner.")
    return StoreUnavailable("store_unavailable", f"The store {path} failed: {said}.", remedy)
