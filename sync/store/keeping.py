"""Writing what a run decided about users, inside its one write transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Column, Connection, MetaData, Table, Text, text

from sync.store.engine import many
from sync.store.temporary import make_empty
from sync.user import Kept, KeptClaim, UserPlan

_temporary = MetaData()
# Addresses whose holder is to be decided again, and users whose `email` is to follow, at the end of the transaction.
Table("touched", _temporary, Column("matched", Text, primary_key=True), prefixes=["TEMPORARY"])
Table("touched_user", _temporary, Column("user_id", Text, primary_key=True), prefixes=["TEMPORARY"])

EMAIL_OF = (
    '(coalesce((select c.spelt from claim c where c.user_id = "user".id and c.held'
    " order by c.is_primary desc, c.dropped_at is not null, c.position, c.matched limit 1), ''))"
)
"""An address that the user holds: the primary, else the first listed, else none."""
_INSERT_USER = (
    'insert into "user" (id, source, external_id, place, username, name, email, state, inactive_since, expires_at, fingerprint, entry_digest,'
    " dropped, created_at, updated_at, missing_reads) values (:id, :source, :external_id, :place, :username, :name, '', :state,"
    " case when :state <> 'active' then :now end, :expires_at, :fingerprint, :entry_digest, :dropped, :now, :now, 0)"
)
_UPDATE_USER = (
    'update "user" set place = :place, username = :username, name = :name, state = :state, expires_at = :expires_at, fingerprint = :fingerprint,'
    " entry_digest = :entry_digest,"
    " inactive_since = case when :state = 'active' then null else coalesce(inactive_since, :now) end,"
    " dropped = :dropped, updated_at = :now, last_seen_at = null, unproven_since = null, missing_since = null, missing_reads = 0, removed_at = null"
    " where id = :id"
)
_INSERT_CLAIM = (
    "insert into claim (user_id, matched, spelt, position, marked, is_primary, since, dropped_at, held)"
    " values (:user_id, :matched, :spelt, :position, :marked, :is_primary, :since, :dropped_at, :held)"
)
_UPDATE_CLAIM = (
    "update claim set spelt = :spelt, position = :position, marked = :marked, is_primary = :is_primary, since = :since, dropped_at = :dropped_at"
    " where user_id = :user_id and matched = :matched"
)
_DELETE_CLAIM = "delete from claim where user_id = :user_id and matched = :matched"


class Keeping(NamedTuple):
    """One user to write: as kept (None = new), as planned, the fingerprint to remember (b"" = compare again next time), and by what the entry
    it was made of is recognised."""

    kept: Kept | None
    plan: UserPlan
    fingerprint: bytes
    dropped: str
    digest: bytes | None = None

    @property
    def changes(self) -> bool:
        """Tell whether anything but the fingerprint will be different."""
        return bool(self.plan.kinds) or self.kept is None or self.kept.claims != self.plan.claims


class Keeper:
    """Writes users, claims and memberships of one source in batches, and remembers what it touched."""

    def __init__(self, connection: Connection, source: str, now: int) -> None:
        self._connection = connection
        self._source = source
        self._now = now
        self._group_ids: dict[str, int] = {}
        self.back: set[str] = set()
        """Users who were removed and are here again: what they held before may be somebody else's now."""
        make_empty(connection, _temporary)

    def keep(self, batch: Sequence[Keeping]) -> None:
        """Write one batch: new users, changed users, their claims and memberships."""
        self._run(_INSERT_USER, [self._user_row(one) for one in batch if one.kept is None])
        self._run(_UPDATE_USER, [self._user_row(one) for one in batch if one.kept is not None])
        self._claims(batch)
        self._memberships(batch)
        self.back |= {one.plan.user_id for one in batch if one.kept is not None and one.kept.state == "removed"}

    def missing(self, user_ids: Sequence[str], read_at: int | None) -> None:
        """Mark these users missing: their addresses stay held, their keys are inactive from now on."""
        self._each(
            "update \"user\" set state = 'missing', inactive_since = coalesce(inactive_since, :now),"
            " missing_since = :now, missing_reads = 0, unproven_since = null, updated_at = :now,"
            " last_seen_at = coalesce(last_seen_at, :read_at) where id = :id",
            user_ids,
            read_at=read_at,
        )
        self.touch_claims(user_ids)  # who is missing keeps what they hold, and claims nothing any more

    def unproven(self, user_ids: Sequence[str], read_at: int | None) -> None:
        """Mark these users as absent without proof; everything they have stays."""
        query = 'update "user" set unproven_since = :now, last_seen_at = coalesce(last_seen_at, :read_at) where id = :id and unproven_since is null'
        self._each(query, user_ids, read_at=read_at)

    def still_missing(self, user_ids: Sequence[str]) -> None:
        """Count one more complete read that did not show these missing users."""
        self._each('update "user" set missing_reads = missing_reads + 1 where id = :id', user_ids)

    def removed(self, user_ids: Sequence[str]) -> None:
        """Remove these users: their addresses are free; id, external id and keys stay."""
        self._each(
            "update \"user\" set state = 'removed', removed_at = :now, updated_at = :now, missing_since = null, unproven_since = null where id = :id",
            user_ids,
        )
        self.touch_claims(user_ids)
        self._each("update claim set held = false where user_id = :id", user_ids)
        self.touch((), user_ids)

    def release(self, addresses: Iterable[tuple[str, str]]) -> None:
        """End the quarantine of these (matched, user id), but for those listed again meanwhile."""
        rows = [{"matched": matched, "user_id": user_id} for matched, user_id in addresses]
        self._run(f"{_DELETE_CLAIM} and dropped_at is not null", rows)
        self.touch((row["matched"] for row in rows), (row["user_id"] for row in rows))

    def refresh_emails(self) -> None:
        """Make `email` of every touched user an address the user holds."""
        self._connection.execute(text(f'update "user" set email = {EMAIL_OF} where id in (select user_id from touched_user)'))

    def gained(self, *, everybody: bool) -> list[tuple[str, str]]:
        """Return (source, external id) of active people whose addresses this commit decided again although their entries were not read; with
        `everybody` all of this source were."""
        unread = "false" if everybody else "not exists (select 1 from staged s where s.external_id = u.external_id)"
        query = (
            'select u.source, u.external_id from touched_user t cross join "user" u'
            f" where u.id = t.user_id and u.state = 'active' and u.email <> '' and (u.source <> :source or {unread})"
        )
        return [(row[0], row[1]) for row in self._connection.execute(text(query), {"source": self._source})]

    def _user_row(self, one: Keeping) -> dict[str, Any]:
        plan = one.plan
        return {
            "id": plan.user_id, "source": self._source, "external_id": plan.external_id, "place": plan.place, "username": plan.username,
            "name": plan.name, "state": plan.state, "expires_at": plan.expires_at, "fingerprint": one.fingerprint, "dropped": one.dropped,
            "entry_digest": one.digest, "now": self._now,
        }  # fmt: skip

    def _claims(self, batch: Sequence[Keeping]) -> None:
        inserts: list[dict[str, Any]] = []
        updates: list[dict[str, Any]] = []
        deletes: list[dict[str, Any]] = []
        addresses: set[str] = set()
        users: set[str] = set()
        for one in batch:
            old = {claim.matched: claim for claim in one.kept.claims} if one.kept else {}
            new = {claim.matched: claim for claim in one.plan.claims}
            inserts += [_row(one, claim) for claim in one.plan.claims if claim.matched not in old]
            updates += [_row(one, claim) for claim in one.plan.claims if claim.matched in old and old[claim.matched] != claim]
            deletes += [_row(one, claim) for matched, claim in old.items() if matched not in new]
            moved = one.kept is None or one.kept.state != one.plan.state
            addresses |= set(old) | set(new) if moved else {m for m in set(old) | set(new) if old.get(m) != new.get(m)}
            if moved or old != new:
                users.add(one.plan.user_id)
        for statement, rows in ((_DELETE_CLAIM, deletes), (_UPDATE_CLAIM, updates), (_INSERT_CLAIM, inserts)):
            self._run(statement, rows)
        self.touch(addresses, users)

    def _memberships(self, batch: Sequence[Keeping]) -> None:
        left: list[dict[str, Any]] = []
        joined: list[dict[str, Any]] = []
        for one in batch:
            old = one.kept.groups if one.kept else frozenset()
            left += [{"user_id": one.plan.user_id, "group_id": self.group(group)} for group in old - one.plan.groups]
            joined += [{"user_id": one.plan.user_id, "group_id": self.group(group)} for group in one.plan.groups - old]
        self._run("delete from membership where user_id = :user_id and group_id = :group_id", left)
        self._run("insert into membership (user_id, group_id) values (:user_id, :group_id)", joined)

    def group(self, external_id: str) -> int:
        """Return the row id of a group, made at first sight."""
        if not self._group_ids:
            rows = self._connection.execute(text("select external_id, id from directory_group where source = :s"), {"s": self._source})
            self._group_ids = {row[0]: row[1] for row in rows}
        if external_id not in self._group_ids:
            added = self._connection.execute(
                text("insert into directory_group (source, external_id) values (:s, :e) returning id"), {"s": self._source, "e": external_id}
            )
            self._group_ids[external_id] = int(added.scalar_one())
        return self._group_ids[external_id]

    def touch_claims(self, user_ids: Sequence[str]) -> None:
        """Let every address that these users claim be decided again."""
        self._each("insert into touched (matched) select matched from claim where user_id = :id on conflict do nothing", user_ids)

    def touch(self, addresses: Iterable[str], users: Iterable[str]) -> None:
        """Let these addresses be decided again, and the `email` of these users follow."""
        for table, column, values in (("touched", "matched", addresses), ("touched_user", "user_id", users)):
            rows = [{column: value} for value in sorted(set(values))]
            self._run(f"insert into {table} ({column}) values (:{column}) on conflict do nothing", rows)

    def _each(self, statement: str, user_ids: Sequence[str], **facts: Any) -> None:
        facts = {**facts, "now": self._now} if ":now" in statement else facts
        self._run(statement, [{"id": user_id, **facts} for user_id in user_ids])

    def _run(self, statement: str, rows: list[dict[str, Any]]) -> None:
        many(self._connection, statement, rows)


def _row(one: Keeping, claim: KeptClaim) -> dict[str, Any]:
    return {"user_id": one.plan.user_id, **msgspec.structs.asdict(claim)}
