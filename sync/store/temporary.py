"""Temporary tables of one connection: made when they are needed, empty when they are begun with, gone with the connection."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable


def make_empty(connection: Connection, tables: MetaData) -> None:
    """Make these tables unless the connection has them, and let nothing be in them."""
    for statement in _statements(tables, connection.dialect):
        connection.exec_driver_sql(statement)


@lru_cache(maxsize=8)
def _statements(tables: MetaData, dialect: Dialect) -> tuple[str, ...]:
    """Compiled once: a push makes them anew, and compiling takes longer than running them."""
    made = [str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)) for table in tables.sorted_tables]
    return (*made, *(f"delete from {name}" for name in tables.tables))
