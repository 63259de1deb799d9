"""Bringing a store to this version's tables, by Alembic, in one transaction that other processes wait for."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, text

from sync.errors import StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

    from sync.store.engine import Database

VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every revision this version knows, oldest first; a test compares it with the scripts."""


def bring_up_to_date(database: Database) -> None:
    """Migrate an older or empty store; refuse a newer one with StoreUnavailable. Several processes may call it at once: one writes, the others
    wait and find it done."""
    with database.engine.connect() as connection:
        if version(connection) == VERSIONS[-1]:
            return
        database.begin(connection, write=True)
        try:
            found = version(connection)
            if found is not None and found not in VERSIONS:
                raise _too_new(found)
            if found is None:
                _make(connection)
            elif found != VERSIONS[-1]:
                _upgrade(connection)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise


def version(connection: Connection) -> str | None:
    """Return the revision a store is at, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration for these scripts on this connection; no file is needed."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def _make(connection: Connection) -> None:
    """Make the tables of this version in an empty store, as all migrations would, one after the other and in ten times the time: a test compares."""
    from sqlmodel import SQLModel

    import sync.store.tables  # noqa: F401 – fills the metadata

    SQLModel.metadata.create_all(connection, checkfirst=False)
    Table(
        "alembic_version",
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
    ).create(connection)  # as Alembic does
    connection.execute(text("insert into alembic_version (version_num) values (:version)"), {"version": VERSIONS[-1]})
    connection.execute(text("insert into meta (name, value) values ('store', :name)"), {"name": uuid.uuid4().hex})


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(configuration(connection), "head")


def _too_new(found: str) -> StoreUnavailable:
    return StoreUnavailable(
        "store_too_new",
        f"The store is at version {found}; this rosterd knows versions up to {VERSIONS[-1]}.",
        "Install the newer rosterd again, or restore a backup that this version made.",
    )
