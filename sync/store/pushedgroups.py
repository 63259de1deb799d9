"""Pushed groups that issue keys: which there are, whether anybody is in them, and who."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from sqlalchemy import Connection, bindparam, text

from sync.store.folding import fold

_FIND = text(
    "select g.id, g.display_name, g.external_id,"
    " exists (select 1 from pushed_membership m where m.source = g.source and m.group_id = g.id) as listed"
    " from pushed_group g where g.source = :source and (g.id in :named or g.external_id in :named or g.display_name_key in :folded) order by g.id"
).bindparams(bindparam("named", expanding=True), bindparam("folded", expanding=True))
_MEMBERS = text(
    "with recursive down (value) as ("
    "  select value from pushed_membership where source = :source and group_id in :ids"
    "  union"
    "  select m.value from down join pushed_membership m on m.source = :source and m.group_id = down.value"
    ") select u.id from down join pushed_user u on u.source = :source and u.id = down.value where u.deleted_at is null"
).bindparams(bindparam("ids", expanding=True))


class IssuingGroup(msgspec.Struct, frozen=True):
    """A pushed group that policies name. `names` = as they may name it: id, display name, the provider's own id; `listed` = it has members."""

    id: str
    names: frozenset[str]
    listed: bool


def issuing_groups(connection: Connection, source: str, named: Collection[str]) -> list[IssuingGroup]:
    """Return the groups of a source that policies may name; one whose display name differs in case only is among them, and not meant."""
    if not named:
        return []
    rows = connection.execute(_FIND, {"source": source, "named": sorted(named), "folded": sorted({fold(name) for name in named})})
    return [IssuingGroup(row.id, frozenset(name for name in row[:3] if name), bool(row.listed)) for row in rows]


def people_of(connection: Connection, source: str, group_ids: Iterable[str]) -> frozenset[str]:
    """Return the ids of the users who are in these groups, directly or through others, and were not deleted."""
    ids = sorted(set(group_ids))
    return frozenset(row[0] for row in connection.execute(_MEMBERS, {"source": source, "ids": ids})) if ids else frozenset()
