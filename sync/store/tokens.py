"""Tokens rosterd issued: each valid only while its row stands unrevoked. The token itself is never stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.engine import Row

from sync.errors import NotFound
from sync.store import events
from sync.store.engine import Store, many
from sync.store.rows import bad_cursor, make_cursor, open_cursor
from sync.store.views import TokenView, must_rfc3339, rfc3339

MOST_PER_PAGE = 1000


class Wanted(msgspec.Struct, frozen=True):
    """Which tokens: all, or those of one user, of one role, only those that stand (`active`; False: that do not), only those that end before (ms)."""

    user_id: str | None = None
    role: str | None = None
    active: bool | None = None
    ending_before: int | None = None


ALL = Wanted()


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a token about to be handed out, as the table `token` keeps it. Not the table's own class, whose library takes every command
    a fifth of a second to import."""

    jti: str
    role: str
    user_id: str | None = None
    source: str | None = None
    label: str = ""
    domain: str | None = None
    cidr: str | None = None
    max_users: int | None = None
    issued_at: int
    issued_by: str
    expires_at: int


def add(store: Store, rows: Sequence[NewToken]) -> None:
    """Remember tokens about to be handed out, all or none."""
    facts = [msgspec.structs.asdict(row) for row in rows]
    with store.write() as connection:
        names = facts[0].keys()
        many(connection, f"insert into token ({', '.join(names)}) values ({', '.join(':' + name for name in names)})", facts)
        told = [{"jti": row.jti, "user_id": row.user_id, "detail": {"role": row.role}} for row in rows]
        events.record_all(connection, "token.issued", rows[0].issued_by, store.now(), told)


def get_token(store: Store, jti: str) -> TokenView:
    """Return one token's record. Raises NotFound."""
    with store.read() as connection:
        row = connection.execute(text(f"{_SELECT} where t.jti = :jti"), {"jti": jti}).one_or_none()
    if row is None:
        raise NotFound("token_not_found", f"There is no token {jti}.", "`rosterd token list` lists them.")
    return _view(row)


def list_tokens(store: Store, wanted: Wanted = ALL) -> list[TokenView]:
    """Return the record of every wanted token, newest first."""
    where, facts = _where(store, wanted)
    with store.read() as connection:
        rows = connection.execute(text(f"{_SELECT} where {where} order by t.issued_at desc, t.jti"), facts)
        return [_view(row) for row in rows]


def page_tokens(store: Store, wanted: Wanted = ALL, *, limit: int, cursor: str | None = None) -> tuple[list[TokenView], str | None]:
    """Return one page of the wanted tokens, newest first, and where the next page begins. Raises InvalidRequest for a cursor that is none."""
    at, _, jti = (open_cursor(cursor) or "").partition(" ")
    if cursor is not None and not (at.isdigit() and len(at) < 16 and jti):
        raise bad_cursor()
    where, facts = _where(store, wanted)
    after = "and (t.issued_at < :at or (t.issued_at = :at and t.jti > :after))" if cursor else ""
    query = text(f"{_SELECT} where {where} {after} order by t.issued_at desc, t.jti limit :limit")
    with store.read() as connection:
        rows = connection.execute(query, {**facts, "at": int(at or 0), "after": jti, "limit": limit + 1}).all()
    more = make_cursor(f"{rows[limit - 1].issued_at} {rows[limit - 1].jti}") if len(rows) > limit else None
    return [_view(row) for row in rows[:limit]], more


def standing_devices(store: Store) -> set[tuple[str, str]]:
    """Return (user id, label) of every device token that stands."""
    query = text("select user_id, label from token where role = 'device' and revoked_at is null and expires_at > :now")
    with store.read() as connection:
        return {(row.user_id, row.label) for row in connection.execute(query, {"now": store.now()})}


def usable(store: Store, jti: str) -> TokenView | None:
    """Return the record of a token that stands, None for one unknown, revoked or expired."""
    with store.read() as connection:
        row = connection.execute(
            text(f"{_SELECT} where t.jti = :jti and t.revoked_at is null and t.expires_at > :now"), {"jti": jti, "now": store.now()}
        ).one_or_none()
    return None if row is None else _view(row)


def revoke(store: Store, jti: str, by: str) -> TokenView:
    """End a token: it is refused from the next request on. Raises NotFound."""
    get_token(store, jti)
    end = text("update token set revoked_at = :now, revoked_by = :by where jti = :jti and revoked_at is null")
    with store.write() as connection:
        if connection.execute(end, {"now": store.now(), "by": by, "jti": jti}).rowcount:
            events.record(connection, "token.revoked", by, store.now(), jti=jti)
    return get_token(store, jti)


def touch(store: Store, jtis: Iterable[str]) -> None:
    """Remember that these tokens were used just now; called in batches, off the request path."""
    rows = [{"jti": jti, "now": store.now()} for jti in sorted(set(jtis))]
    if rows:
        with store.write() as connection:
            connection.execute(text("update token set last_used_at = :now where jti = :jti"), rows)


_SELECT = 'select t.*, u.email from token t left join "user" u on u.id = t.user_id'


def _where(store: Store, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Return the condition for the wanted tokens, and its facts."""
    stands = "t.revoked_at is null and t.expires_at > :now"
    conditions = {
        "t.user_id = :user_id": wanted.user_id is not None,
        "t.role = :role": wanted.role is not None,
        stands: wanted.active is True,
        f"not ({stands})": wanted.active is False,
        "t.expires_at <= :before": wanted.ending_before is not None,
    }
    facts = {"user_id": wanted.user_id, "role": wanted.role, "before": wanted.ending_before, "now": store.now()}
    return " and ".join(["1 = 1", *(condition for condition, holds in conditions.items() if holds)]), facts


def _view(row: Row[Any]) -> TokenView:
    return TokenView(
        jti=row.jti, role=row.role, issued_at=must_rfc3339(row.issued_at), issued_by=row.issued_by, expires_at=must_rfc3339(row.expires_at),
        user_id=row.user_id, email=row.email or None, source=row.source, label=row.label or None, domain=row.domain, cidr=row.cidr,
        max_users=row.max_users, revoked_at=rfc3339(row.revoked_at), revoked_by=row.revoked_by, last_used_at=rfc3339(row.last_used_at),
    )  # fmt: skip
