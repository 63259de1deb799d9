"""Which daemons live on this store, and which encryption keys each of them knows."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, text

from sync.store.engine import Store, many

ANNOUNCE_EVERY = 10.0
"""Seconds between two announcements of a daemon."""

GONE_AFTER_MS = 60_000
"""A daemon that has not announced itself for so long is taken for dead."""

_PREFIX = "node:"


class Node(msgspec.Struct, frozen=True):
    """A daemon: its name (host and process), when it last announced itself (ms), the names of the encryption keys it knows."""

    name: str
    seen_at: int
    key_names: tuple[str, ...]


def announce(store: Store, name: str, key_names: tuple[str, ...]) -> None:
    """Say that the daemon `name` lives and which keys it knows."""
    node = Node(name, store.now(), key_names)
    with store.write() as connection:
        connection.execute(
            text("insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value"),
            {"name": _PREFIX + name, "value": msgspec.json.encode(node).decode()},
        )
        dead = [{"name": _PREFIX + one.name} for one in _all(connection) if one.seen_at <= store.now() - GONE_AFTER_MS]
        many(connection, "delete from meta where name = :name", dead)


def leave(store: Store, name: str) -> None:
    """Say that the daemon `name` ends."""
    with store.write() as connection:
        connection.execute(text("delete from meta where name = :name"), {"name": _PREFIX + name})


def living(store: Store) -> list[Node]:
    """Return the daemons that announced themselves lately."""
    with store.read() as connection:
        return [node for node in _all(connection) if node.seen_at > store.now() - GONE_AFTER_MS]


def without_key(store: Store, key_name: str) -> list[str]:
    """Return the living daemons that do not know this encryption key: nothing may be sealed with it yet."""
    return [node.name for node in living(store) if key_name not in node.key_names]


def _all(connection: Connection) -> list[Node]:
    rows = connection.execute(text("select value from meta where name like 'node:%' order by name"))
    return [msgspec.json.decode(row[0], type=Node) for row in rows]
