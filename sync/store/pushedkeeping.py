"""Writing what a provider pushes, inside the one transaction of a request: users and groups as they were sent, and whom each change touches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import JSON, Connection, bindparam, text
from sqlalchemy.engine import Row

from sync.errors import Conflict
from sync.ids import new_user_id
from sync.store.folding import fold
from sync.store.pushedmemberships import Memberships
from sync.store.rows import decoded

Resource = dict[str, Any]
"""A user or group as JSON in the words of RFC 7643, without `id`, `meta` and `members`."""

Applied = Callable[[Connection, str, Sequence[str]], None]
"""applied(connection, source, user ids) is called before a request commits, with everybody whose record, groups or deletion it changed.
It may raise RosterError: then nothing of the request is kept."""


def no_change(connection: Connection, source: str, user_ids: Sequence[str]) -> None:
    """Let nothing follow from what is pushed."""


class Kept(msgspec.Struct, frozen=True):
    """A user or group as it stands in the store. Times in milliseconds."""

    id: str
    external_id: str | None
    resource: Resource
    version: int
    created_at: int
    modified_at: int


class Shelf:
    """What one provider has pushed, while one request changes it. `touched` collects the users whose record, groups or deletion changed."""

    def __init__(self, connection: Connection, source: str, now: int) -> None:
        self._connection = connection
        self._source = source
        self._now = now
        self.touched: set[str] = set()
        self.memberships = Memberships(connection, source, self.touched)

    def user(self, user_id: str) -> Kept | None:
        """Return a user, None for one that was never pushed or is deleted."""
        return self._find(f"{_KEPT} from pushed_user where source = :source and id = :id and deleted_at is null", user_id)

    def group(self, group_id: str) -> Kept | None:
        """Return a group without its members, None where there is none."""
        return self._find(f"{_KEPT} from pushed_group where source = :source and id = :id", group_id)

    def add_user(self, external_id: str | None, resource: Resource) -> str:
        """Keep a new user and return their id. Raises Conflict for a user name that another one has."""
        user_id = new_user_id()
        facts = _user_facts(external_id, resource)
        self._check_free("pushed_user", "user_name_key", facts, user_id)
        self._insert("pushed_user", facts, user_id)
        self._keep_emails(user_id, resource)
        self.touched.add(user_id)
        return user_id

    def change_user(self, user_id: str, external_id: str | None, resource: Resource) -> None:
        """Replace all that is kept of a user. Raises Conflict for a user name that another one has."""
        facts = _user_facts(external_id, resource)
        self._check_free("pushed_user", "user_name_key", facts, user_id)
        self._update("pushed_user", facts, user_id)
        self._keep_emails(user_id, resource)
        self.touched.add(user_id)

    def delete_user(self, user_id: str) -> None:
        """Keep of a user only that they were here and left; they are in no group any more."""
        for group_id in self.memberships.forget(user_id):
            self.stamp_group(group_id)
        self._keep_emails(user_id, {})
        gone = {"active": False, "resource": {}, "display_name_key": None, "given_name_key": None, "family_name_key": None}
        self._update("pushed_user", {**gone, "deleted_at": self._now}, user_id)
        self.touched.add(user_id)

    def add_group(self, external_id: str | None, resource: Resource, entries: Iterable[Mapping[str, Any]]) -> str:
        """Keep a new group with its members and return its id. Raises Conflict for a name that another one has."""
        group_id = new_user_id()
        facts = _group_facts(external_id, resource)
        self._check_free("pushed_group", "display_name_key", facts, group_id)
        self._insert("pushed_group", facts, group_id)
        self.memberships.add(group_id, entries)
        return group_id

    def change_group(self, group_id: str, external_id: str | None, resource: Resource, entries: Iterable[Mapping[str, Any]] | None) -> None:
        """Replace what is kept of a group; `entries` None = its members stay. Raises Conflict for a name that another one has."""
        facts = _group_facts(external_id, resource)
        self._check_free("pushed_group", "display_name_key", facts, group_id)
        before = self._connection.execute(_NAMES, {"source": self._source, "id": group_id}).one()
        self._update("pushed_group", facts, group_id)
        if (before.external_id, before.display_name) != (external_id, facts["display_name"]):
            self.memberships.touch(group_id)
        if entries is not None:
            self.memberships.replace(group_id, entries)

    def stamp_group(self, group_id: str) -> None:
        """Count a change of a group's members as a change of the group."""
        self._update("pushed_group", {}, group_id)

    def delete_group(self, group_id: str) -> None:
        """Forget a group: whoever was in it is touched."""
        for outer in self.memberships.forget(group_id):
            self.stamp_group(outer)
        self.memberships.replace(group_id, ())
        self._connection.execute(text("delete from pushed_group where source = :source and id = :id"), {"source": self._source, "id": group_id})

    def _find(self, query: str, resource_id: str) -> Kept | None:
        row = self._connection.execute(text(query), {"source": self._source, "id": resource_id}).one_or_none()
        return None if row is None else kept(row)

    def _check_free(self, table: str, key: str, facts: Mapping[str, Any], own_id: str) -> None:
        stands = "and deleted_at is null" if table == "pushed_user" else ""
        query = text(f"select 1 from {table} where source = :source and {key} = :key and id <> :id {stands}")
        if self._connection.execute(query, {"source": self._source, "key": facts[key], "id": own_id}).first() is not None:
            raise Conflict("name_taken", "Another resource has this name already.")

    def _insert(self, table: str, facts: Mapping[str, Any], resource_id: str) -> None:
        row = {"source": self._source, "id": resource_id, "version": 1, **facts, "created_at": self._now, "modified_at": self._now}
        self._run(f"insert into {table} ({', '.join(row)}) values ({', '.join(':' + name for name in row)})", row)

    def _update(self, table: str, facts: Mapping[str, Any], resource_id: str) -> None:
        sets = "".join(f"{name} = :{name}, " for name in facts)
        query = f"update {table} set {sets}version = version + 1, modified_at = :now where source = :source and id = :id"
        self._run(query, {**facts, "now": self._now, "source": self._source, "id": resource_id})

    def _run(self, query: str, facts: Mapping[str, Any]) -> None:
        typed = [bindparam("resource", type_=JSON)] if "resource" in facts else []
        self._connection.execute(text(query).bindparams(*typed), facts)

    def _keep_emails(self, user_id: str, resource: Resource) -> None:
        whose = {"source": self._source, "user_id": user_id}
        self._connection.execute(text("delete from pushed_email where source = :source and user_id = :user_id"), whose)
        rows = [
            {**whose, "position": position, "value": one["value"], "value_key": fold(one["value"]), "type": one.get("type"),
             "type_key": fold(one["type"]) if one.get("type") else None, "is_primary": bool(one.get("primary"))}
            for position, one in enumerate(resource.get("emails") or ()) if one.get("value")
        ]  # fmt: skip
        if rows:
            self._connection.execute(_EMAIL, rows)


_KEPT = "select id, external_id, resource, version, created_at, modified_at"
_NAMES = text("select external_id, display_name from pushed_group where source = :source and id = :id")
_EMAIL = text(
    "insert into pushed_email (source, user_id, position, value, value_key, type, type_key, is_primary)"
    " values (:source, :user_id, :position, :value, :value_key, :type, :type_key, :is_primary)"
)


def kept(row: Row[Any]) -> Kept:
    """Return a row as what is kept of a resource."""
    return Kept(row.id, row.external_id, decoded(row.resource), row.version, row.created_at, row.modified_at)


def _user_facts(external_id: str | None, resource: Resource) -> dict[str, Any]:
    name = resource.get("name") or {}
    return {
        "external_id": external_id,
        "user_name": resource["userName"],
        "user_name_key": fold(resource["userName"]),
        "display_name_key": _folded(resource.get("displayName")),
        "given_name_key": _folded(name.get("givenName")),
        "family_name_key": _folded(name.get("familyName")),
        "active": bool(resource.get("active", True)),
        "resource": resource,
    }


def _group_facts(external_id: str | None, resource: Resource) -> dict[str, Any]:
    name = resource["displayName"]
    return {"external_id": external_id, "display_name": name, "display_name_key": fold(name), "resource": resource}


def _folded(value: str | None) -> str | None:
    return None if value is None else fold(value)
