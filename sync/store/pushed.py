"""Users as an identity provider pushed them, read back: what a source of the kind scim-push knows of its people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, String, bindparam, text
from sqlalchemy.engine import Row

from sync.store.kept import batches
from sync.store.rows import decoded

BATCH = 500
"""Users that are read by one set of statements."""


class PushedEmail(msgspec.Struct, frozen=True):
    """An address as sent; `type` is often "work"."""

    value: str
    type: str | None = None
    primary: bool = False


class PushedGroup(msgspec.Struct, frozen=True):
    """A group that a user is in, directly or through other groups; `external_id` is the provider's own id of it, where it sends one."""

    id: str
    display_name: str
    external_id: str | None = None


class PushedUser(msgspec.Struct, frozen=True):
    """One user as pushed. Times in milliseconds. One that was deleted (`deleted_at`) has no name, addresses and groups any more.

    `name` = displayName, else name.formatted, else given and family name; `emails` in the order sent; `groups` sorted by id.
    """

    id: str
    external_id: str | None
    user_name: str
    name: str
    active: bool
    emails: tuple[PushedEmail, ...]
    groups: tuple[PushedGroup, ...]
    created_at: int
    modified_at: int
    deleted_at: int | None = None


def users(connection: Connection, source: str, ids: Iterable[str] | None = None) -> Iterator[PushedUser]:
    """Yield users of a source sorted by id, the deleted ones too: those of `ids` that were ever pushed, or all of them. Memory is bounded."""
    if ids is not None:
        for batch in batches(sorted(set(ids)), BATCH):
            yield from _whole(connection, source, _named(connection, source, batch))
        return
    after = ""
    while rows := connection.execute(_NEXT, {"source": source, "after": after, "most": BATCH}).all():
        yield from _whole(connection, source, rows)
        after = rows[-1].id


def existing(connection: Connection, source: str, ids: Iterable[str]) -> set[str]:
    """Return which of these ids are users of the source that were not deleted."""
    named = (_named(connection, source, batch) for batch in batches(sorted(set(ids)), BATCH))
    return {row.id for rows in named for row in rows if row.deleted_at is None}


def count(connection: Connection, source: str) -> int:
    """Return how many users of the source were pushed and not deleted."""
    query = text("select count(*) from pushed_user where source = :source and deleted_at is null")
    return int(connection.execute(query, {"source": source}).scalar_one())


_USER = "select id, external_id, user_name, active, resource, created_at, modified_at, deleted_at from pushed_user where source = :source"
_NEXT = text(f"{_USER} and id > :after order by id limit :most")
_NAMED = text(f"{_USER} and id in :ids order by id").bindparams(bindparam("ids", expanding=True, type_=String()))
_EMAILS = text(
    "select user_id, value, type, is_primary from pushed_email where source = :source and user_id in :ids order by user_id, position"
).bindparams(bindparam("ids", expanding=True, type_=String()))
_GROUPS = text(
    # `rest` is never null. Asked for, it keeps SQLite from the index that has all the other columns, and in it from every membership of the source.
    "with recursive up (user_id, group_id) as ("
    "  select value, group_id from pushed_membership where source = :source and value in :ids and rest is not null"
    "  union"
    "  select up.user_id, m.group_id from up join pushed_membership m on m.source = :source and m.value = up.group_id and m.rest is not null"
    ") select up.user_id, g.id, g.display_name, g.external_id"
    " from up join pushed_group g on g.source = :source and g.id = up.group_id order by up.user_id, g.id"
).bindparams(bindparam("ids", expanding=True, type_=String()))


def _named(connection: Connection, source: str, ids: Sequence[str]) -> Sequence[Row[Any]]:
    return connection.execute(_NAMED, {"source": source, "ids": list(ids)}).all()


def _whole(connection: Connection, source: str, rows: Sequence[Row[Any]]) -> Iterator[PushedUser]:
    """Yield the users of one batch with their addresses and groups."""
    facts = {"source": source, "ids": [row.id for row in rows]}
    emails = _by_user(connection.execute(_EMAILS, facts))
    groups = _by_user(connection.execute(_GROUPS, facts))
    for row in rows:
        yield PushedUser(
            id=row.id, external_id=row.external_id, user_name=row.user_name, name=_name(decoded(row.resource)), active=bool(row.active),
            emails=tuple(PushedEmail(one.value, one.type, bool(one.is_primary)) for one in emails.get(row.id, ())),
            groups=tuple(PushedGroup(one.id, one.display_name, one.external_id) for one in groups.get(row.id, ())),
            created_at=row.created_at, modified_at=row.modified_at, deleted_at=row.deleted_at,
        )  # fmt: skip


def _by_user(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    return {user_id: list(found) for user_id, found in groupby(rows, attrgetter("user_id"))}


def _name(resource: dict[str, Any]) -> str:
    name = resource.get("name") or {}
    parts = [part for part in (name.get("givenName"), name.get("familyName")) if part]
    return str(resource.get("displayName") or name.get("formatted") or " ".join(parts))
