"""Tokens rosterd issued: each valid only while its row stands unrevoked. The token itself is never stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Row

from sync.errors import NotFound
from sync.store import events
from sync.store.engine import Store
from sync.store.tables import Token
from sync.store.views import TokenView, must_rfc3339, rfc3339


def add(store: Store, token: Token) -> TokenView:
    """Remember a token about to be handed out."""
    facts = token.model_dump(exclude={"revoked_at", "revoked_by", "last_used_at"})
    with store.write() as connection:
        connection.execute(text(f"insert into token ({', '.join(facts)}) values ({', '.join(':' + name for name in facts)})"), facts)
        events.record(connection, "token.issued", token.issued_by, store.now(), jti=token.jti, user_id=token.user_id, detail={"role": token.role})
    return get_token(store, token.jti)


def get_token(store: Store, jti: str) -> TokenView:
    """Return one token's record. Raises NotFound."""
    with store.read() as connection:
        row = connection.execute(text(f"{_SELECT} where t.jti = :jti"), {"jti": jti}).one_or_none()
    if row is None:
        raise NotFound("token_not_found", f"There is no token {jti}.", "`rosterd token list` lists them.")
    return _view(row)


def list_tokens(store: Store) -> list[TokenView]:
    """Return every token's record, newest first."""
    with store.read() as connection:
        return [_view(row) for row in connection.execute(text(f"{_SELECT} order by t.issued_at desc, t.jti"))]


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


def _view(row: Row[Any]) -> TokenView:
    return TokenView(
        jti=row.jti, role=row.role, issued_at=must_rfc3339(row.issued_at), issued_by=row.issued_by, expires_at=must_rfc3339(row.expires_at),
        user_id=row.user_id, email=row.email or None, source=row.source, label=row.label or None, domain=row.domain, cidr=row.cidr,
        max_users=row.max_users, revoked_at=rfc3339(row.revoked_at), revoked_by=row.revoked_by, last_used_at=rfc3339(row.last_used_at),
    )  # fmt: skip
