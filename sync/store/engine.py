"""Opening the store, and its two kinds of transaction: a snapshot to read, and one writer at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from sync.settings import Secret, StoreSettings
from sync.store import migrations

__all__ = ["Connection", "Store", "insert", "many", "open_store", "streamed"]

ROWS = 500
"""Rows that SQLite inserts in one go."""
MOST_PARAMETERS = 32_766
"""Parameters that a statement of SQLite has at most."""
ENOUGH = 50
"""Rows from which on COPY is quicker than a statement for each."""
STREAM = 1000
"""Rows that are fetched at a time where there may be as many as a directory has people."""


class Database(Protocol):
    """What differs between a file and a server; sync.store.sqlite and sync.store.postgres are the two there are. `path` is None for a server,
    `name` is what people are told, `password` what a server is shown from the next connection on."""

    path: Path | None
    name: str
    engine: Engine
    password: Secret | None

    def now(self) -> int: ...
    def begin(self, connection: Connection, *, write: bool, within_ms: int | None = None) -> None: ...
    def give_room(self, connection: Connection) -> None: ...
    def query(self, statement: str, facts: Mapping[str, Any]) -> list[Any]: ...
    def translated(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...


class Store:
    """An open store. Safe to share between threads; each transaction takes a connection of its own."""

    def __init__(self, database: Database, clock: Callable[[], int] | None) -> None:
        self.database, self.engine = database, database.engine
        self.path, self.name = database.path, database.name
        self._clock = clock or database.now

    def now(self) -> int:
        """Return milliseconds since the epoch by the store's clock."""
        return self._clock()

    @contextmanager
    def read(self, on: Connection | None = None) -> Iterator[Connection]:
        """Open one snapshot. Raises StoreUnavailable."""
        with self._transaction(on, write=False) as connection:
            yield connection

    @contextmanager
    def write(self, on: Connection | None = None, *, within_ms: int | None = None) -> Iterator[Connection]:
        """Open the write transaction; whoever comes second waits, for `within_ms` where it is given. Raises StoreUnavailable."""
        with self._transaction(on, write=True, within_ms=within_ms) as connection:
            yield connection

    @contextmanager
    def dedicated(self) -> Iterator[Connection]:
        """Open a connection of one's own, whose temporary tables live as long as it does; use it with `read(on=…)`."""
        with self.database.translated(), self.engine.connect() as connection:
            self.database.give_room(connection)
            connection.rollback()
            connection.detach()  # no pool hands it on with what is in it
            yield connection

    @contextmanager
    def _transaction(self, on: Connection | None, *, write: bool, within_ms: int | None = None) -> Iterator[Connection]:
        if on is None:
            with self.database.translated(), self.engine.connect() as connection, self._transaction(connection, write=write, within_ms=within_ms):
                yield connection
            return
        with self.database.translated():
            self.database.begin(on, write=write, within_ms=within_ms)
            try:
                yield on
                on.exec_driver_sql("COMMIT")
            except BaseException:
                _roll_back(on)
                raise
            finally:
                on.rollback()  # SQLAlchemy's own notion of a transaction, a fiction under AUTOCOMMIT

    def query(self, statement: str, facts: Mapping[str, Any]) -> list[Any]:
        """Answer one SELECT with `:name` parameters past SQLAlchemy: the hot path of the lookup."""
        return self.database.query(native(self.engine.dialect.name, statement), facts)

    def close(self) -> None:
        """Close every idle connection, the calling thread's among them."""
        self.database.close()


def many(connection: Connection, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run a statement with `:name` parameters once for each row, past SQLAlchemy's work per row (three quarters of the time)."""
    if rows and connection.dialect.name == "sqlite":
        by_place, in_order = _by_place(statement)
        connection.exec_driver_sql(by_place, list(map(in_order, rows)))
    elif rows:
        connection.exec_driver_sql(native(connection.dialect.name, statement), list(rows))


def insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], or_else: str = "") -> None:
    """Insert rows whose values stand in the order of `columns`, the shortest way for a whole directory; `or_else` = an ON CONFLICT.

    SQLite takes many in one statement: executing one for each row costs a fifth to a half of the time more. PostgreSQL takes them by COPY, in a
    quarter of the time, where no row can be there already.
    """
    if connection.dialect.name == "postgresql" and len(rows) >= ENOUGH and not or_else:
        _copy(connection, table, columns, rows)
        return
    at_once = min(ROWS, MOST_PARAMETERS // len(columns)) if connection.dialect.name == "sqlite" else 1
    many_at_once = len(rows) // at_once * at_once if at_once > 1 else 0
    for start in range(0, many_at_once, at_once):
        values = tuple(chain.from_iterable(rows[start : start + at_once]))
        connection.exec_driver_sql(_insertion(connection.dialect.name, table, tuple(columns), at_once, or_else), values)
    if many_at_once < len(rows):
        connection.exec_driver_sql(_insertion(connection.dialect.name, table, tuple(columns), 1, or_else), list(rows[many_at_once:]))


def _copy(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection
    errors: Any = connection.dialect.dbapi
    statement = f'copy "{table}" ({", ".join(columns)}) from stdin'
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except errors.Error as error:  # past SQLAlchemy; whoever inserts gets the errors of any other statement
        told: Any = DBAPIError.instance(statement, None, error, errors.Error, dialect=connection.dialect)
        raise told from error


@lru_cache(maxsize=128)
def _insertion(dialect: str, table: str, columns: tuple[str, ...], rows: int, or_else: str) -> str:
    """Return the statement that inserts so many rows, the same text each time: SQLite's driver keeps what it has prepared by its text."""
    row = f"({', '.join(['?' if dialect == 'sqlite' else '%s'] * len(columns))})"
    return f'insert into "{table}" ({", ".join(columns)}) values {", ".join([row] * rows)} {or_else}'


def streamed(connection: Connection, query: str, facts: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Yield the rows of a large answer while it arrives: never all of them in memory, whichever database answers."""
    statement = text(query).execution_options(stream_results=True, max_row_buffer=STREAM)
    for batch in connection.execute(statement, facts or {}).partitions(STREAM):
        yield from batch


def know_sizes(connection: Connection, tables: Iterable[str]) -> None:
    """Let the database learn how much is in temporary tables before it joins them: PostgreSQL takes them for small and would loop."""
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f"analyze {table}")


@lru_cache(maxsize=512)
def native(dialect: str, statement: str) -> str:
    """Return a statement with `:name` parameters as the database's driver wants it."""
    return statement if dialect == "sqlite" else _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))


@lru_cache(maxsize=512)
def _by_place(statement: str) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """Return a statement for SQLite with its parameters by place, and what puts a row in their order: by name, each of them is sought in each row
    (a third of the time)."""
    names = _PARAMETER.findall(statement)
    by_place = _PARAMETER.sub("?", statement)
    if len(names) == 1:
        return by_place, lambda row: (row[names[0]],)
    return by_place, itemgetter(*names) if names else lambda row: ()


_PARAMETER = re.compile(r"(?<![:\w']):([a-z_]\w*)")


def open_store(settings: StoreSettings, *, clock: Callable[[], int] | None = None) -> Store:
    """Open the store, made if there is none, migrated if it is older. Raises StoreUnavailable for everything that can be wrong with it.

    `clock` None = the database's own.
    """
    database = _database(settings)
    with database.translated():
        migrations.bring_up_to_date(database)
    return Store(database, clock)


def _database(settings: StoreSettings) -> Database:
    if settings.file is not None:
        from sync.store.sqlite import SqliteFile

        return SqliteFile(settings.file)
    from sync.store.postgres import PostgresServer  # its driver takes its time

    return PostgresServer(settings.url, settings.password)


def _roll_back(connection: Connection) -> None:
    if connection.invalidated:  # the server is gone, and what it had not committed is too
        return
    try:
        connection.exec_driver_sql("ROLLBACK")
    except DBAPIError:  # rolled back already (full disk, I/O error)
        connection.invalidate()
