"""Moving an installation to another database: every row of every table, in one transaction, counted afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, Connection, Integer, Table, text
from sqlmodel import SQLModel

import sync.store.tables  # noqa: F401 – fills the metadata
from sync.errors import Conflict, StoreUnavailable
from sync.store import nodes
from sync.store.engine import Store, many, streamed
from sync.store.kept import batches

_PLACES = "select coalesce(max(cast(value as bigint)), 0) from meta where name like 'events:%'"
"""The furthest event that a reader was told of: the next one must come after it, even when all before were forgotten."""

_NAME = text("delete from meta where name = 'store'")
"""Each store gets a name when its tables are made."""


def copy(source: Store, target: Store, progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, int]:
    """Copy everything from `source` to the empty store `target`; return how many rows of each table. `progress(done, total)` counts rows.

    Nobody writes to either meanwhile, and a copy that fails leaves the target empty. Raises Conflict while a daemon lives, when a run is
    going on, and for a target that is not empty; StoreUnavailable.
    """
    living = [node.name for node in nodes.living(source)]
    if living:
        raise Conflict(
            "daemon_running", f"The daemon {', '.join(living)} lives on this store; what it wrote from now on would be lost.", "Stop it first."
        )
    with source.write() as reading, target.write() as writing:
        writing.execute(_NAME)  # the installation goes on in another place, and with it its store's name
        _check(reading, writing, target.name)
        tables = SQLModel.metadata.sorted_tables
        counts = {table.name: _count(reading, table) for table in tables}
        done, total = 0, sum(counts.values())
        for table in tables:
            for batch in batches(_rows(reading, table)):
                many(writing, _insert(table), batch)
                done += len(batch)
                progress(done, total)
        for table in tables:
            _count_on(writing, table)
        arrived = {table.name: _count(writing, table) for table in tables}
        if arrived != counts:
            differing = ", ".join(name for name in counts if counts[name] != arrived[name])
            raise StoreUnavailable("copy_incomplete", f"Not every row of {differing} arrived in {target.name}; nothing was copied.", "Try again.")
    return counts


def _check(reading: Connection, writing: Connection, name: str) -> None:
    running = reading.execute(text("select id from run where state = 'running'")).scalars().all()
    if running:
        raise Conflict("run_going_on", f"Run {', '.join(running)} is going on.", "Wait for its end, or `rosterd runs cancel` it.")
    taken = [table.name for table in SQLModel.metadata.sorted_tables if _count(writing, table)]
    if taken:
        raise Conflict("store_not_empty", f"The store {name} is not empty ({', '.join(sorted(taken))}); nothing was copied.", "Name an empty one.")


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(text(f'select count(*) from "{table.name}"')).scalar_one())


def _insert(table: Table) -> str:
    names = [column.name for column in table.columns]
    columns = ", ".join(f'"{name}"' for name in names)
    return f'insert into "{table.name}" ({columns}) values ({", ".join(f":{name}" for name in names)})'


def _rows(connection: Connection, table: Table) -> Any:
    """Yield rows as the other database takes them: SQLite answers 0 and 1 for what is true or false."""
    names = [column.name for column in table.columns]
    either = {column.name for column in table.columns if isinstance(column.type, Boolean)}
    columns = ", ".join(f'"{name}"' for name in names)
    for row in streamed(connection, f'select {columns} from "{table.name}"'):
        yield {name: bool(value) if name in either and value is not None else value for name, value in zip(names, row, strict=True)}


def _count_on(connection: Connection, table: Table) -> None:
    """Let the numbers that the database gives go on after those that came along."""
    (key, *more) = table.primary_key.columns
    if more or not isinstance(key.type, Integer):
        return
    last = int(connection.execute(text(f'select coalesce(max({key.name}), 0) from "{table.name}"')).scalar_one())
    if table.name == "event":
        last = max(last, int(connection.execute(text(_PLACES)).scalar_one()))
    if connection.dialect.name == "postgresql":
        query = f"select setval(pg_get_serial_sequence('\"{table.name}\"', '{key.name}'), :next, false)"
        connection.execute(text(query), {"next": last + 1})
    elif table.dialect_options["sqlite"]["autoincrement"]:
        connection.execute(text("delete from sqlite_sequence where name = :name"), {"name": table.name})
        connection.execute(text("insert into sqlite_sequence (name, seq) values (:name, :last)"), {"name": table.name, "last": last})
