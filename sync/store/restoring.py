"""A store that was put back from a backup: it says so itself, and every source has to be read whole before its people count again."""

from __future__ import annotations

from sqlalchemy import Connection, text

from sync.store import events
from sync.store.engine import Store

PUSHED = "scim-push"
"""The kind of source that cannot be read: what its provider has pushed is all there is, so there is nothing to wait for."""

_UNFINISHED = "restoring"
_WAITING = "select name from source where restored_at is not null and configured order by rank, name"


def store_name(store: Store) -> str:
    """Return the name that a store keeps for life and hands down to its backups: what the audit file calls it by."""
    with store.read() as connection:
        return str(connection.execute(text("select value from meta where name = 'store'")).scalar_one())


def last_event(store: Store) -> int:
    """Return the number of the last event that this store ever recorded, told and forgotten ones too."""
    with store.read() as connection:
        return events.last(connection)


def unfinished(store: Store) -> int | None:
    """Return the last event of the backup that a restore was begun with and not brought to its end; None when there is none."""
    with store.read() as connection:
        found = connection.execute(text("select value from meta where name = :name"), {"name": _UNFINISHED}).scalar_one_or_none()
    return None if found is None else int(found)


def begin(store: Store, *, by: str, since: int, told: int) -> None:
    """Let a store begin its life after a backup that knows the events up to `since`: its own go on after `told`, the last that the audit file
    knows; every source is read whole before lookups are answered. Until `finish` the restore counts as unfinished."""
    with store.write() as connection:
        now = store.now()
        mark = "insert into meta (name, value) values (:name, :value) on conflict (name) do nothing"
        connection.execute(text(mark), {"name": _UNFINISHED, "value": str(since)})
        events.begin_after(connection, told, "store.restored", by, now)
        facts = {"now": now, "pushed": PUSHED}
        connection.execute(text("update source set cursor = null, due_at = null"))
        connection.execute(text("update source set restored_at = :now where kind <> :pushed"), facts)
        connection.execute(text("delete from meta where name like 'node:%'"))  # daemons of back then


def finish(store: Store) -> None:
    """Say that everything was taken away again."""
    with store.write() as connection:
        connection.execute(text("delete from meta where name = :name"), {"name": _UNFINISHED})


def confirm(connection: Connection, source: str) -> None:
    """Say that a source was read whole since the restore, inside the commit of that run."""
    connection.execute(text("update source set restored_at = null where name = :name and restored_at is not null"), {"name": source})


def unconfirmed(store: Store) -> list[str]:
    """Return the configured sources whose people are still as a backup had them."""
    return [str(row[0]) for row in store.query(_WAITING, {})]
