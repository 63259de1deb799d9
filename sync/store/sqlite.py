"""The store as one file: SQLite, where readers keep what they saw and one writer at a time waits for the other."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.pool import NullPool

from sync.errors import StoreUnavailable
from sync.ids import now_ms
from sync.settings import Secret

BUSY_MS = 300_000
"""How long a writer waits for another before it gives up: longer than the commit of the largest directory, which admins' writes outwait."""

RUN_CACHE_KIB = 32_768
"""Pages that a run's own connection keeps in memory: with SQLite's two megabytes every index of a large commit is written many times over."""


class SqliteFile:
    """A database file, made if there is none, readable by its owner alone. Raises StoreUnavailable for one that cannot be opened."""

    password: Secret | None = None

    def __init__(self, path: Path) -> None:
        _make_file(path)
        self.path: Path | None = path
        self.name = str(path)
        self.engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, isolation_level="AUTOCOMMIT")
        event.listen(self.engine, "connect", _prepare)
        self._local = threading.local()

    def now(self) -> int:
        """Return milliseconds since the epoch: a file's clock is that of its host."""
        return now_ms()

    def begin(self, connection: Connection, *, write: bool, within_ms: int | None = None) -> None:
        """Begin a snapshot, or the one write transaction: BEGIN IMMEDIATE, so that a writer waits (`within_ms`, else BUSY_MS) instead of
        failing halfway."""
        if within_ms is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {within_ms:d}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    def give_room(self, connection: Connection) -> None:
        """Prepare a connection for large temporary tables: in a file, and with a cache of its own."""
        connection.exec_driver_sql("PRAGMA temp_store = FILE")
        connection.exec_driver_sql(f"PRAGMA cache_size = -{RUN_CACHE_KIB}")

    def query(self, statement: str, facts: Mapping[str, Any]) -> list[Any]:
        """Answer one SELECT on the calling thread's own connection (ten microseconds)."""
        try:
            connection: sqlite3.Connection = getattr(self._local, "connection", None) or self._open_own()
            return connection.execute(statement, facts).fetchall()
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # bugs of ours, nothing about the store
        except sqlite3.Error as error:
            raise self._unavailable(str(error)) from error

    def _open_own(self) -> sqlite3.Connection:
        """Open the calling thread's own connection; questions go past what SQLAlchemy puts around it, which takes its time at each of them."""
        pooled = self._local.pooled = self.engine.raw_connection()  # closes it at the end of the thread
        own: sqlite3.Connection = pooled.driver_connection  # type: ignore[assignment]  # as one of any database
        self._local.connection = own
        return own

    def close(self) -> None:
        """Close the calling thread's connection and every pooled one."""
        pooled = getattr(self._local, "pooled", None)
        if pooled is not None:
            pooled.close()
            del self._local.pooled, self._local.connection
        self.engine.dispose()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise StoreUnavailable for whatever is the file's fault."""
        try:
            yield
        except (IntegrityError, ProgrammingError, InterfaceError):
            raise  # bugs of ours, nothing about the store
        except DBAPIError as error:
            raise self._unavailable(str(error.orig)) from error

    def _unavailable(self, said: str) -> StoreUnavailable:
        if "I/O error" in said and self.path and _is_full(self.path.parent):
            said += ", for its disk is full"
        remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in said), "Check its disk and its owner.")
        return StoreUnavailable("store_unavailable", f"The store {self.path} failed: {said}.", remedy)


_REMEDIES = {
    "full": "Free some space on its disk; nothing that was committed is lost.",
    "locked": "Another process has been writing for too long; find it with `fuser`, or try again.",
    "readonly": "Let the user that runs rosterd write to the file and its directory.",
    "not a database": "Restore it from a backup (`rosterd store backup` makes one).",
    "malformed": "Restore it from a backup (`rosterd store backup` makes one).",
    "unable to open": "Make its directory exist and belong to the user that runs rosterd, or correct [store] url.",
}


def _is_full(folder: Path) -> bool:
    """Tell whether there is no room for what stands beside a store that is open (32 KiB): SQLite calls that an I/O error like any other."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 65_536


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
