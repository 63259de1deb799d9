"""What happened to keys, tokens and users, in the order of commits: an outbox that each reader empties at its own pace.

The audit file is its first reader. A gateway that makes and stops keys itself would be another: it follows `key.*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from sync.store.engine import Store, many
from sync.store.kept import batches
from sync.store.rows import decoded
from sync.store.views import must_rfc3339

AUDIT = "audit"
"""The reader that is always there."""

LONGEST_KEPT_MS = 3 * 86_400_000
"""How long an event waits for a reader other than the audit file; then it is forgotten untold."""

_PLACE = "events:"
_COLUMNS = ("at", "kind", "by", "run_id", "user_id", "key_id", "jti", "detail")
_INSERT = f"insert into event ({', '.join(_COLUMNS)}) values ({', '.join(':' + name for name in _COLUMNS)})"

_LEAVE_NO_GAP = text("select setval(pg_get_serial_sequence('event', 'id'), :next, false)")
"""What was rolled back gives its numbers back, as in a file: one that is missing in the audit file is then a change that nobody knows any more."""


class Happening(msgspec.Struct, omit_defaults=True, frozen=True):
    """One event as it is told. `kind` = key.issued, key.imported, key.renamed, key.expiry, key.enabled, key.disabled, key.rotated, key.renewed,
    key.deleted, token.issued, token.revoked, user.blocked, user.unblocked, user.disabled, user.missing, user.removed,
    user.adopted, user.erased, address.given, run.failed,
    run.held, run.reverted, store.restored, source.stale, lookup.fanout; `by` = who, as in "cli:ann", "admin:JTI", "sync"."""

    event: int
    at: str
    kind: str
    by: str
    run_id: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    jti: str | None = None
    detail: dict[str, Any] | None = None


def record(connection: Connection, kind: str, by: str, now: int, **facts: Any) -> None:
    """Record one event inside the transaction that brings it about. `facts`: run_id, user_id, key_id, jti, detail (JSON-able, no secret)."""
    record_all(connection, kind, by, now, [facts])


def record_all(connection: Connection, kind: str, by: str, now: int, rows: Iterable[dict[str, Any]]) -> None:
    """Record events of one kind, each with its own facts; any number of them."""
    blank = dict.fromkeys(_COLUMNS) | {"at": now, "kind": kind, "by": by}
    _go_on(connection)
    for batch in batches(rows):
        many(connection, _INSERT, [{**blank, **row, "detail": _encoded(row.get("detail"))} for row in batch])


def record_keys(connection: Connection, kind: str, by: str, now: int, run_id: str, keys: str) -> None:
    """Record an event of one kind for each key that a query (`keys`, without parameters) answers as (user id, key id), all within the database."""
    _go_on(connection)
    told = f"select :at, :kind, :by, :run_id, found.user_id, found.key_id from ({keys}) as found"
    facts = {"at": now, "kind": kind, "by": by, "run_id": run_id}
    connection.execute(text(f"insert into event (at, kind, by, run_id, user_id, key_id) {told}"), facts)


def _go_on(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_LEAVE_NO_GAP, {"next": last(connection) + 1})


def unread(store: Store, reader: str, most: int = 1000) -> list[Happening]:
    """Return the next events that this reader has not been told, oldest first."""
    query = text(f"select id, {', '.join(_COLUMNS)} from event where id > :place order by id limit :most")
    with store.read() as connection:
        rows = connection.execute(query, {"place": _places(connection).get(reader, 0), "most": most}).all()
    return [  # taken apart by place: by name takes twice the time, and there may be a million
        Happening(number, must_rfc3339(at), kind, by, run_id, user_id, key_id, jti, decoded(detail))
        for number, at, kind, by, run_id, user_id, key_id, jti, detail in rows
    ]


def only_keys_wait(store: Store, newest: int) -> bool:
    """Tell whether the newest events are all of keys that were issued: nothing that was taken away waits behind a first sync's."""
    query = text("select 1 from (select kind from event order by id desc limit :newest) as waiting where kind <> 'key.issued' limit 1")
    with store.read() as connection:
        return connection.execute(query, {"newest": newest}).first() is None


def declare_readers(store: Store, readers: Iterable[str]) -> None:
    """Say who reads beside the audit file: a new reader begins with what happens from now on, one that is not named any more is forgotten."""
    wanted = {*readers, AUDIT}
    with store.write() as connection:
        known = _places(connection)
        many(connection, "delete from meta where name = :name", [{"name": _PLACE + reader} for reader in known.keys() - wanted])
        last = connection.execute(text("select coalesce(max(id), 0) from event")).scalar_one()
        for reader in wanted - known.keys():
            _put(connection, reader, 0 if reader == AUDIT else last)


def last(connection: Connection) -> int:
    """Return the number of the last event ever recorded: what has been forgotten was told to the audit file before."""
    newest = connection.execute(text("select coalesce(max(id), 0) from event")).scalar_one()
    return max(int(newest), _places(connection).get(AUDIT, 0))


def begin_after(connection: Connection, number: int, kind: str, by: str, now: int) -> None:
    """Record an event whose number is above `number`, from which the others go on: those up to it were told by a life of this store that a backup
    knows nothing of."""
    facts = {"id": max(number, last(connection)) + 1, "at": now, "kind": kind, "by": by}
    connection.execute(text("insert into event (id, at, kind, by) values (:id, :at, :kind, :by)"), facts)


def advance(store: Store, reader: str, last: int) -> None:
    """Remember that this reader was told everything up to the event `last`; forget what every reader has been told, or has left for too long."""
    with store.write() as connection:
        places = _places(connection)
        if last > places.get(reader, 0):
            _put(connection, reader, last)
            places[reader] = last
        told = places.get(AUDIT, 0)
        facts = {"slowest": min([told, *places.values()]), "audit": told, "old": store.now() - LONGEST_KEPT_MS}
        connection.execute(text("delete from event where id <= :slowest or (id <= :audit and at < :old)"), facts)


def _places(connection: Connection) -> dict[str, int]:
    rows = connection.execute(text("select name, value from meta where name like 'events:%'"))
    return {row[0].removeprefix(_PLACE): int(row[1]) for row in rows}


def _put(connection: Connection, reader: str, place: int) -> None:
    connection.execute(
        text("insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value"),
        {"name": _PLACE + reader, "value": str(place)},
    )


def _encoded(detail: dict[str, Any] | None) -> str | None:
    return None if detail is None else msgspec.json.encode(detail).decode()
