"""Reading users whole, as a plan compares them, and the few sums the guard needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, String, bindparam, text

from sync.user import Kept, KeptClaim

_USERS = text(
    'select id, external_id, place, username, name, email, state, expires_at, unproven_since is not null as unproven from "user" where id in :ids'
).bindparams(bindparam("ids", expanding=True, type_=String()))
_CLAIMS = text(
    "select user_id, matched, spelt, position, marked, is_primary, since, dropped_at, held from claim"
    " where user_id in :ids order by user_id, position"
).bindparams(bindparam("ids", expanding=True, type_=String()))
_GROUPS = text("select m.user_id, g.external_id from membership m join directory_group g on g.id = m.group_id where m.user_id in :ids").bindparams(
    bindparam("ids", expanding=True, type_=String())
)

BATCH = 1000


class Ended(NamedTuple):
    """An address whose quarantine has ended. `working` = its holder is active, `wanted` = an entry of somebody else lists it, `last` = its
    holder holds no other though their entry lists some (whoever's entry lists none was weighed when it dropped the last)."""

    matched: str
    user_id: str
    working: bool
    wanted: bool
    last: bool

    @property
    def costs(self) -> str:
        """Say what its end takes from somebody active, "" when nothing."""
        if not self.working:
            return ""
        if self.wanted:
            return "an address in quarantine goes to somebody who lists it"
        return "the last address they hold leaves its quarantine; those the entry lists are somebody else's" if self.last else ""


T = TypeVar("T")


def batches(things: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield `things` in lists that fit one statement, of `size` at most."""
    batch: list[T] = []
    for one in things:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def load(connection: Connection, user_ids: Sequence[str]) -> dict[str, Kept]:
    """Return {user id: Kept} of those that exist; at most a few thousand at a time."""
    if not user_ids:
        return {}
    claims: dict[str, list[KeptClaim]] = defaultdict(list)
    for user_id, matched, spelt, position, marked, primary, since, dropped_at, held in connection.execute(_CLAIMS, {"ids": user_ids}):
        claims[user_id].append(KeptClaim(matched, spelt, position, bool(marked), bool(primary), since, dropped_at, bool(held)))
    groups: dict[str, set[str]] = defaultdict(set)
    for user_id, group in connection.execute(_GROUPS, {"ids": user_ids}):
        groups[user_id].add(group)
    return {
        row.id: Kept(
            row.id, row.external_id, row.place, row.username, row.name, row.email, row.state, row.expires_at,
            tuple(claims[row.id]), frozenset(groups[row.id]), bool(row.unproven),
        )
        for row in connection.execute(_USERS, {"ids": user_ids})
    }  # fmt: skip


def load_all(connection: Connection, user_ids: Iterable[str]) -> dict[str, Kept]:
    """Return {user id: Kept} of any number of users; for sets a human could look at, not for whole directories."""
    found: dict[str, Kept] = {}
    for batch in batches(user_ids):
        found |= load(connection, batch)
    return found


def active_people(connection: Connection, source: str, now: int, *, known_since: int, most: int | None = None) -> int:
    """Return how many people of `source` are active and not expired, of those who were here by `known_since` (ms); at most `most`."""
    active = (
        "select 1 from \"user\" where source = :source and state = 'active' and (expires_at is null or expires_at > :now)"
        " and created_at <= :known_since"
    )
    query = text(f"select count(*) from ({active}{'' if most is None else ' limit :most'}) as found")
    facts = {"source": source, "now": now, "known_since": known_since} | ({} if most is None else {"most": most})
    return int(connection.execute(query, facts).scalar_one())


def user_ids(connection: Connection, source: str, external_ids: Iterable[str]) -> frozenset[str]:
    """Return the users of `source` with these external ids."""
    query = text('select id from "user" where source = :source and external_id in :ids').bindparams(bindparam("ids", expanding=True))
    return frozenset(row[0] for batch in batches(external_ids) for row in connection.execute(query, {"source": source, "ids": batch}))


def newcomers(connection: Connection, user_ids: Iterable[str], since: int) -> frozenset[str]:
    """Return those of these users who have been known for less long than since `since` (ms)."""
    query = text('select id from "user" where id in :ids and created_at > :since').bindparams(bindparam("ids", expanding=True))
    return frozenset(row[0] for batch in batches(user_ids) for row in connection.execute(query, {"ids": batch, "since": since}))


def people(connection: Connection, source: str) -> int:
    """Return how many people the directory showed or still may show: everybody who is not removed."""
    query = text("select count(*) from \"user\" where source = :source and state <> 'removed'")
    return int(connection.execute(query, {"source": source}).scalar_one())


def ids_of(connection: Connection, source: str, matched: str) -> list[str]:
    """Return the external ids of the users of `source` that claim the address."""
    query = text('select u.external_id from claim c join "user" u on u.id = c.user_id where c.matched = :matched and u.source = :source')
    return [row[0] for row in connection.execute(query, {"matched": matched, "source": source})]


def members(connection: Connection, source: str, group: str) -> frozenset[str]:
    """Return the external ids of the people of `source` who are remembered in a group, as long as the directory shows them."""
    query = text(
        'select u.external_id from directory_group g join membership m on m.group_id = g.id join "user" u on u.id = m.user_id'
        " where g.source = :source and g.external_id = :group and u.state in ('active', 'disabled')"
    )
    return frozenset(row[0] for row in connection.execute(query, {"source": source, "group": group}))


def others_below(connection: Connection, source: str, container: str, but: Collection[str]) -> bool:
    """Tell whether anybody active of `source` stands below a container beside these users."""
    query = text("select id from \"user\" where source = :source and state = 'active' and place like :below escape '\\' limit :enough")
    below = container.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = connection.execute(query, {"source": source, "below": f"%,{below}", "enough": len(but) + 1})
    return any(row[0] not in but for row in rows)


def leaving_a_group(connection: Connection, source: str, policies: Sequence[str], now: int) -> list[tuple[str, str, str, bool]]:
    """Return (key id, user id, policy, working) of enabled keys whose staged, active owner no longer meets the key's policy.

    `working` = the owner is active before this run too; who comes back without the group must not come back with the key.
    Nobody leaves a group by an entry too big to read: what groups it is in is not known.
    """
    if not policies:
        return []
    query = text(
        "select k.id, k.user_id, k.policy, u.state = 'active' and (u.expires_at is null or u.expires_at > :now)"
        ' from staged s cross join "user" u cross join virtual_key k'  # in this order: an incremental run stages few
        " where u.source = :source and u.external_id = s.external_id and k.user_id = u.id and s.active and not s.bare"
        " and k.enabled and k.deleted_at is null and k.policy in :policies"
        " and (k.expires_at is null or k.expires_at > :now)"
        " and not exists (select 1 from staged_policy p where p.external_id = u.external_id and p.policy = k.policy)"
    ).bindparams(bindparam("policies", expanding=True, type_=String()))
    return [(row[0], row[1], row[2], bool(row[3])) for row in connection.execute(query, {"source": source, "policies": list(policies), "now": now})]


def over_quarantine(connection: Connection, source: str, before: int, now: int) -> list[Ended]:
    """Return the addresses held only by a quarantine that ended before `before`."""
    query = text(
        "select c.matched, c.user_id, u.state = 'active' and (u.expires_at is null or u.expires_at > :now),"
        ' exists (select 1 from claim o join "user" w on w.id = o.user_id where o.matched = c.matched and o.user_id <> c.user_id'
        " and o.dropped_at is null and w.state in ('active', 'disabled')),"
        " exists (select 1 from claim l where l.user_id = c.user_id and l.dropped_at is null)"
        " and not exists (select 1 from claim h where h.user_id = c.user_id and h.held and (h.dropped_at is null or h.dropped_at > :before))"
        ' from claim c cross join "user" u'  # in this order: few claims are in quarantine, a source has many users
        " where c.held and c.dropped_at is not null and c.dropped_at <= :before and u.id = c.user_id and u.source = :source"
    )
    rows = connection.execute(query, {"source": source, "before": before, "now": now})
    return [Ended(row[0], row[1], bool(row[2]), bool(row[3]), bool(row[4])) for row in rows]


def ripe_for_removal(connection: Connection, source: str, before: int) -> frozenset[str]:
    """Return the missing users whose grace ended before `before` and whom at least two more complete reads did not show."""
    query = text("select id from \"user\" where source = :source and state = 'missing' and missing_reads >= 2 and missing_since <= :before")
    return frozenset(row[0] for row in connection.execute(query, {"source": source, "before": before}))
