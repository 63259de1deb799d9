"""Users as callers see them, and the one thing an admin does to them directly: block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, String, bindparam, text
from sqlalchemy.engine import Row

from sync.address import MalformedAddress, normalise
from sync.errors import InvalidRequest, NotFound
from sync.store import events
from sync.store.engine import Store
from sync.store.views import EmailView, KeyView, UserPage, UserView, must_rfc3339, rfc3339

MOST_PER_PAGE = 100


def list_users(store: Store, *, page: int = 1, limit: int = 20, search: str = "", state: str | None = None, source: str | None = None) -> UserPage:
    """Return one page of users ordered by username; `search` is found in username, name and addresses, in any case."""
    limit, page = max(1, min(limit, MOST_PER_PAGE)), max(1, page)
    wheres = ["true"]
    facts: dict[str, Any] = {"limit": limit, "skip": (page - 1) * limit, "state": state, "source": source}
    if state:
        wheres.append("u.state = :state")
    if source:
        wheres.append("u.source = :source")
    if search:
        facts["like"] = "%" + search.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        found = [f"lower({column}) like :like escape '\\'" for column in ("u.username", "u.name", "u.email")]
        found.append("exists (select 1 from claim c where c.user_id = u.id and c.matched like :like escape '\\')")
        wheres.append(f"({' or '.join(found)})")
    where = " and ".join(wheres)
    with store.read() as connection:
        total = int(connection.execute(text(f'select count(*) from "user" u where {where}'), facts).scalar_one())
        rows = connection.execute(text(f'select u.* from "user" u where {where} order by u.username, u.id limit :limit offset :skip'), facts).all()
        users = views(connection, rows, store.now())
    pages = -(-total // limit)
    return UserPage(users, total, page, limit, pages, page < pages)


def get_user(store: Store, user_id: str) -> UserView:
    """Return one user by id. Raises NotFound."""
    with store.read() as connection:
        rows = connection.execute(text('select * from "user" where id = :id'), {"id": user_id}).all()
        if not rows:
            raise NotFound("user_not_found", f"There is no user {user_id}.")
        return views(connection, rows, store.now())[0]


def find_user(store: Store, address: str) -> UserView:
    """Return whoever holds the address, else the only one whose entry lists it. Raises NotFound, InvalidRequest."""
    matched = matched_form(address)
    query = text(
        "select u.* from claim c join \"user\" u on u.id = c.user_id where c.matched = :m order by c.held desc, u.state = 'removed', c.since limit 1"
    )
    with store.read() as connection:
        rows = connection.execute(query, {"m": matched}).all()
        if not rows:
            raise NotFound("user_not_found", "No user holds or lists this address.", "`rosterd explain` says more.")
        return views(connection, rows, store.now())[0]


def block(store: Store, user_id: str, by: str) -> UserView:
    """Make a user's keys inactive from the next request on, whatever any directory says. Raises NotFound."""
    return _switch(store, user_id, "blocked_at = :now, blocked_by = :by", "blocked_at is null", "user.blocked", by)


def unblock(store: Store, user_id: str, by: str) -> UserView:
    """Take an admin's block back. Raises NotFound."""
    return _switch(store, user_id, "blocked_at = null, blocked_by = null", "blocked_at is not null", "user.unblocked", by)


def matched_form(address: str) -> str:
    """Return the compared form of an address that a caller gave. Raises InvalidRequest."""
    try:
        return normalise(address)
    except MalformedAddress as error:
        raise InvalidRequest("invalid_email", f"The address {error}.", "Give it as local-part@domain.", "email") from None


def views(connection: Connection, rows: Sequence[Row[Any]], now: int) -> list[UserView]:
    """Return rows of the user table as the contract shows them, in the same order."""
    ids = [row.id for row in rows]
    emails, keys, groups = _claims(connection, ids), _keys(connection, ids), _groups(connection, ids)
    seen = {row.name: row.read_at for row in connection.execute(text("select name, read_at from source"))}
    return [_view(row, emails[row.id], keys[row.id], groups[row.id], seen.get(row.source), now) for row in rows]


def is_standing(row: Row[Any], now: int) -> bool:
    """Tell whether a user's keys may be active (but for a source that failed closed, which only the lookup judges)."""
    return bool(row.state == "active" and row.blocked_at is None and (row.expires_at is None or row.expires_at > now))


def _switch(store: Store, user_id: str, sets: str, unless: str, kind: str, by: str) -> UserView:
    with store.write() as connection:
        facts = {"now": store.now(), "by": by, "id": user_id}
        if connection.execute(text(f'update "user" set {sets} where id = :id and {unless}'), facts).rowcount:
            events.record(connection, kind, by, store.now(), user_id=user_id)
    return get_user(store, user_id)


def _view(row: Row[Any], emails: list[EmailView], keys: list[Row[Any]], groups: list[str], read_at: int | None, now: int) -> UserView:
    standing = is_standing(row, now)
    shown = [
        KeyView(key.id, key.name, key.origin, standing and bool(key.enabled) and (key.expires_at is None or key.expires_at > now),
                must_rfc3339(key.created_at), rfc3339(key.expires_at))
        for key in keys
    ]  # fmt: skip
    return UserView(
        id=row.id, source=row.source, external_id=row.external_id, username=row.username, name=row.name, email=row.email, emails=emails,
        state=row.state, blocked=row.blocked_at is not None, groups=groups, virtual_keys=shown, created_at=must_rfc3339(row.created_at),
        updated_at=must_rfc3339(row.updated_at), expires_at=rfc3339(row.expires_at),
        last_seen_at=rfc3339(row.last_seen_at if row.last_seen_at is not None else read_at),
    )  # fmt: skip


def _claims(connection: Connection, ids: list[str]) -> dict[str, list[EmailView]]:
    found: dict[str, list[EmailView]] = defaultdict(list)
    query = "select user_id, spelt, is_primary, held from claim where user_id in :ids order by is_primary desc, dropped_at is not null, position"
    for user_id, spelt, primary, held in _of(connection, query, ids):
        found[user_id].append(EmailView(spelt, bool(primary), bool(held)))
    return found


def _keys(connection: Connection, ids: list[str]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in _of(connection, "select * from virtual_key where user_id in :ids and deleted_at is null order by created_at, id", ids):
        found[row.user_id].append(row)
    return found


def _groups(connection: Connection, ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    query = "select m.user_id, g.external_id from membership m join directory_group g on g.id = m.group_id where m.user_id in :ids order by 2"
    for user_id, group in _of(connection, query, ids):
        found[user_id].append(group)
    return found


def _of(connection: Connection, query: str, ids: list[str]) -> Sequence[Any]:
    return connection.execute(text(query).bindparams(bindparam("ids", expanding=True, type_=String())), {"ids": ids}).all()
