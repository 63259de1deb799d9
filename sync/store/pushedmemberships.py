"""Who is in the groups that a provider pushes. Adding one to five thousand reads none of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, Connection, String, bindparam, text

from sync.store.kept import batches
from sync.store.rows import decoded

Entry = Mapping[str, Any]
"""One member as sent: `value`, and whatever else was sent beside it."""

BATCH = 500


class Memberships:
    """The members of one provider's groups. Each change adds to `touched` the users whom it concerns, through groups in groups too."""

    def __init__(self, connection: Connection, source: str, touched: set[str]) -> None:
        self._connection = connection
        self._source = source
        self._touched = touched

    def of(self, group_id: str) -> list[dict[str, Any]]:
        """Return the members of a group in the order they came."""
        rows = self._connection.execute(_OF, {"source": self._source, "group_id": group_id})
        return [{"value": row.value, **decoded(row.rest)} for row in rows]

    def add(self, group_id: str, entries: Iterable[Entry]) -> bool:
        """Add members; who is one already stays as they are. Return whether there was anybody new."""
        wanted = {entry["value"]: {name: value for name, value in entry.items() if name != "value"} for entry in entries}
        stand = self._among(group_id, wanted)
        new = [value for value in wanted if value not in stand]
        rows = [{"source": self._source, "group_id": group_id, "value": value, "rest": wanted[value]} for value in new]
        if rows:
            self._connection.execute(_ADD, rows)
        self._touch(new)
        return bool(new)

    def take(self, group_id: str, values: Iterable[str]) -> bool:
        """Take members out. Return whether any of them was one."""
        return self._take(group_id, self._among(group_id, values))

    def replace(self, group_id: str, entries: Iterable[Entry]) -> bool:
        """Let these be the members, and nobody else. Return whether that changed anything."""
        listed = list(entries)
        wanted = {entry["value"] for entry in listed}
        stand = self._connection.execute(_VALUES, {"source": self._source, "group_id": group_id}).scalars()
        fewer = self._take(group_id, set(stand) - wanted)
        return self.add(group_id, listed) or fewer

    def forget(self, value: str) -> list[str]:
        """Take somebody, or a group, out of every group, and return those groups."""
        facts = {"source": self._source, "value": value}
        groups = sorted(self._connection.execute(_GROUPS_OF, facts).scalars())
        if groups:
            self._touch([value])
            self._connection.execute(text("delete from pushed_membership where source = :source and value = :value"), facts)
        return groups

    def touch(self, group_id: str) -> None:
        """Count everybody who is in a group as touched."""
        self._touch(list(self._connection.execute(_VALUES, {"source": self._source, "group_id": group_id}).scalars()))

    def _take(self, group_id: str, values: Iterable[str]) -> bool:
        rows = [{"source": self._source, "group_id": group_id, "value": value} for value in sorted(values)]
        if rows:
            self._touch([row["value"] for row in rows])
            self._connection.execute(_TAKE, rows)
        return bool(rows)

    def _among(self, group_id: str, values: Iterable[str]) -> set[str]:
        """Return which of these are members."""
        found: set[str] = set()
        for some in batches(sorted(set(values)), BATCH):
            found.update(self._connection.execute(_AMONG, {"source": self._source, "group_id": group_id, "values": some}).scalars())
        return found

    def _touch(self, values: Sequence[str]) -> None:
        """Add the users among these, and those inside the groups among these; values that nobody has concern nobody."""
        for some in batches(sorted(values), BATCH):
            self._touched.update(self._connection.execute(_BELOW, {"source": self._source, "values": some}).scalars())


_OF = text("select value, rest from pushed_membership where source = :source and group_id = :group_id order by id")
_VALUES = text("select value from pushed_membership where source = :source and group_id = :group_id")
# `rest` is never null: asked for, it leads SQLite to the index that begins with the value.
_GROUPS_OF = text("select group_id from pushed_membership where source = :source and value = :value and rest is not null")
_AMONG = text("select value from pushed_membership where source = :source and group_id = :group_id and value in :values").bindparams(
    bindparam("values", expanding=True, type_=String())
)
_ADD = text("insert into pushed_membership (source, group_id, value, rest) values (:source, :group_id, :value, :rest)").bindparams(
    bindparam("rest", type_=JSON)
)
_TAKE = text("delete from pushed_membership where source = :source and group_id = :group_id and value = :value")
_BELOW = text(
    "with recursive below (value) as ("
    "  select id from pushed_user where source = :source and id in :values"
    "  union select value from pushed_membership where source = :source and group_id in :values"
    "  union select m.value from below join pushed_membership m on m.source = :source and m.group_id = below.value"
    ") select below.value from below join pushed_user u on u.source = :source and u.id = below.value"
).bindparams(bindparam("values", expanding=True, type_=String()))
