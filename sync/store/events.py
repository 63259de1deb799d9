"""What happened to keys, tokens and users, in the order of commits: an outbox that each reader empties at its own pace.

The audit file is its first reader. A gateway that makes and stops keys itself would be another: it follows `key.*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from sync.store.engine import Store, many
from sync.store.rows import decoded
from sync.store.views import must_rfc3339

READERS = ("audit",)
"""Who reads the outbox; an event is forgotten once all have."""

_PLACE = "events:"
_COLUMNS = ("at", "kind", "by", "run_id", "user_id", "key_id", "jti", "detail")
_INSERT = f"insert into event ({', '.join(_COLUMNS)}) values ({', '.join(':' + name for name in _COLUMNS)})"


class Happening(msgspec.Struct, omit_defaults=True, frozen=True):
    """One event as it is told. `kind` = key.issued, key.imported, key.renamed, key.expiry, key.enabled, key.disabled, key.rotated, key.renewed,
    key.deleted, token.issued, token.revoked, user.blocked, user.unblocked, address.given; `by` = who, as in "cli:ann", "admin:JTI", "sync"."""

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
    """Record events of one kind, each with its own facts."""
    blank = dict.fromkeys(_COLUMNS) | {"at": now, "kind": kind, "by": by}
    many(connection, _INSERT, [{**blank, **row, "detail": _encoded(row.get("detail"))} for row in rows])


def unread(store: Store, reader: str, most: int = 1000) -> list[Happening]:
    """Return the next events that this reader has not been told, oldest first."""
    query = text("select * from event where id > :place order by id limit :most")
    with store.read() as connection:
        rows = connection.execute(query, {"place": _place(connection, reader), "most": most}).all()
    return [
        Happening(row.id, must_rfc3339(row.at), row.kind, row.by, row.run_id, row.user_id, row.key_id, row.jti, decoded(row.detail)) for row in rows
    ]


def advance(store: Store, reader: str, last: int) -> None:
    """Remember that this reader was told everything up to the event `last`; forget what every reader has been told."""
    with store.write() as connection:
        connection.execute(
            text(
                "insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value"
                " where cast(meta.value as integer) < cast(excluded.value as integer)"
            ),
            {"name": _PLACE + reader, "value": str(last)},
        )
        slowest = min(_place(connection, one) for one in READERS)
        connection.execute(text("delete from event where id <= :id"), {"id": slowest})


def _place(connection: Connection, reader: str) -> int:
    found = connection.execute(text("select value from meta where name = :name"), {"name": _PLACE + reader}).scalar_one_or_none()
    return int(found or 0)


def _encoded(detail: dict[str, Any] | None) -> str | None:
    return None if detail is None else msgspec.json.encode(detail).decode()
