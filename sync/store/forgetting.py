"""Letting people go for good: those removed long ago, those of a source taken out of the configuration, one who asks for it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, text

from sync.errors import Conflict, NotFound
from sync.store import events
from sync.store.engine import Store, many
from sync.store.holders import settle
from sync.store.keeping import Keeper
from sync.store.keychanges import retire

BATCH = 500


class Forgotten(msgspec.Struct):
    """What was let go, or would be. `active` people lose keys that work now."""

    source: str
    people: int
    active: int
    dry_run: bool


def forget_removed(store: Store, after_ms: int) -> int:
    """Forget the names, addresses and groups of users removed longer ago; ids and key digests stay. Return how many, at most a batch."""
    query = text(
        "select id from \"user\" where state = 'removed' and removed_at < :before"
        f" and (fingerprint <> :forgotten or place <> '' or username <> '' or name <> '') limit {BATCH}"
    )
    with store.write() as connection:
        facts = {"before": store.now() - after_ms, "forgotten": b""}
        found = [row[0] for row in connection.execute(query, facts)]
        _blank(connection, found)
    return len(found)


def forget_source(store: Store, source: str, people: int, by: str, *, dry_run: bool = False) -> Forgotten:
    """Remove everybody of a source that is not in the configuration any more: their keys are inactive, their addresses free.

    `people` = how many active people the caller expects to let go. Raises NotFound, and Conflict for a source that is
    still configured or another number.
    """
    with store.write() as connection:
        row = connection.execute(text("select configured from source where name = :name"), {"name": source}).one_or_none()
        if row is None:
            raise NotFound("source_not_found", f"There is no source {source}.", "`rosterd sources` lists them.")
        if row.configured:
            why = f"The source {source} is in the configuration: its directory decides about its people."
            raise Conflict("source_configured", why, "Take its [[source]] table out and reload first.")
        query = text("select id, state from \"user\" where source = :source and state <> 'removed' order by id")
        found = connection.execute(query, {"source": source}).all()
        active = sum(one.state == "active" for one in found)
        if not dry_run and active != people:
            raise Conflict("people_differ", f"{source} has {active} active people, not {people}; nobody was let go.", f"Say --people {active}.")
        if not dry_run:
            _remove(connection, source, [one.id for one in found], by, store.now())
    return Forgotten(source, len(found), active, dry_run)


def erase(store: Store, user_id: str, by: str, *, shown_too: bool = False) -> None:
    """Forget one user who is gone: name, addresses, groups, what runs noted about them, and the values of their keys; the id stays.

    Raises NotFound, and unless `shown_too` Conflict while a configured source still shows them.
    """
    with store.write() as connection:
        query = text('select u.state, u.source, s.configured from "user" u join source s on s.name = u.source where u.id = :id')
        user = connection.execute(query, {"id": user_id}).one_or_none()
        if user is None:
            raise NotFound("user_not_found", f"There is no user {user_id}.")
        if user.configured and user.state in ("active", "disabled") and not shown_too:
            why = f"The source {user.source} still shows this user; the next sync would bring everything back."
            raise Conflict("user_shown", why, "Take the entry out of the directory, sync, then erase.")
        now = store.now()
        _remove(connection, user.source, [user_id], by, now)
        _blank(connection, [user_id])
        _forget_keys(connection, user_id, by, now)
        connection.execute(
            text("update change set email = null, before = null, after = null, reason = null, evidence = null where user_id = :id"), {"id": user_id}
        )
        events.record(connection, "user.erased", by, now, user_id=user_id)


def _remove(connection: Connection, source: str, user_ids: list[str], by: str, now: int) -> None:
    keeper = Keeper(connection, source, now)
    keeper.removed(user_ids)
    for _ in settle(connection, now, frozenset()):
        pass
    keeper.refresh_emails()
    events.record_all(connection, "user.removed", by, now, ({"user_id": user_id, "detail": {"source": source}} for user_id in user_ids))


def _blank(connection: Connection, user_ids: Iterable[str]) -> None:
    """Forget everything about these users but that they were, also what a provider pushed about them."""
    rows = [{"id": user_id, "none": b""} for user_id in user_ids]
    for table in ("claim", "membership", "user_before"):
        many(connection, f"delete from {table} where user_id = :id", rows)
    for table, column in (("pushed_email", "user_id"), ("pushed_membership", "value"), ("pushed_user", "id")):
        whose = '(select u.source, u.external_id from "user" u where u.id = :id)'
        many(connection, f"delete from {table} where (source, {column}) in {whose}", rows)
    blank = "place = '', username = '', name = '', email = '', dropped = '[]', fingerprint = :none"
    many(connection, f'update "user" set {blank} where id = :id', rows)


def _forget_keys(connection: Connection, user_id: str, by: str, now: int) -> None:
    """Delete the user's keys and revoke their device tokens; digests stay, so that no value comes back to life."""
    query = text("select id from virtual_key where user_id = :id and deleted_at is null")
    for key_id in connection.execute(query, {"id": user_id}).scalars().all():
        retire(connection, key_id, until=now, now=now, older_too=True)
        gone = "sealed = null, digest = null, enabled = false, name = '', deleted_at = :now, deleted_by = :by"
        connection.execute(text(f"update virtual_key set {gone} where id = :id"), {"id": key_id, "now": now, "by": by})
        events.record(connection, "key.deleted", by, now, user_id=user_id, key_id=key_id)
    end = text("update token set revoked_at = :now, revoked_by = :by where user_id = :id and revoked_at is null")
    connection.execute(end, {"id": user_id, "now": now, "by": by})
