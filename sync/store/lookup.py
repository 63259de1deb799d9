"""The hot path: whose keys an address, a user or a key value leads to, each in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

import msgspec

from sync.store.engine import Store


class Shown(NamedTuple):
    """What a token of rosterd says of itself. It stands only while its row says the same: whoever learns a secret cannot make more of a token."""

    jti: str | None = None
    role: str = ""
    bearer: str | None = None
    domain: str | None = None
    cidr: str | None = None
    max_users: int | None = None


NO_TOKEN = Shown()


class StoredKey(msgspec.Struct):
    """A key as the lookup needs it; `is_active` is derived here, never stored."""

    id: str
    name: str
    sealed: bytes
    is_active: bool


class Found(msgspec.Struct):
    """What one lookup found. `outcome` is found, user_not_found, user_removed or address_contested.

    `standing` = the user is active, not expired, not blocked, and the source not failed closed; `token_ok` = the shown token
    stands unrevoked; `holds_asked` = the user holds the asked address; `key_id`/`key_active` = the key that authenticates.
    """

    outcome: str
    token_ok: bool = False
    user_id: str = ""
    email: str = ""
    source: str = ""
    synced_at: int | None = None
    standing: bool = False
    holds_asked: bool = False
    keys: list[StoredKey] = []
    key_id: str = ""
    key_active: bool = False


_NONE = NO_TOKEN._asdict()


def _same(column: str, said: str = "") -> str:
    """Return the condition that a token's row and what the token says are the same, be it nothing: not every database has one word for that."""
    said = said or column
    return f"(t.{column} = :{said} or (t.{column} is null and :{said} is null))"


_COLUMNS = f"""
select (select 1 from token t where t.jti = :jti and t.revoked_at is null and t.expires_at > :now and t.role = :role
    and {_same("user_id", "bearer")} and {_same("domain")} and {_same("cidr")} and {_same("max_users")}),
  u.id, u.email, u.state, u.blocked_at, u.expires_at, u.source, s.read_at, s.succeeded_at, s.fail_closed_after_ms,
  k.id, k.name, k.sealed, k.enabled, k.expires_at, k.created_at,
"""
_USER = """
left join source s on s.name = u.source
left join virtual_key k on k.user_id = u.id and k.deleted_at is null
"""
_BY_ADDRESS = f"""{_COLUMNS}
  case when u.id is null then (
    select max(case when o.state = 'removed' then 1 else 2 end) from claim x join "user" o on o.id = x.user_id
    where x.matched = :matched and (o.state = 'removed' or x.dropped_at is null)) end
from (select 1) as one left join claim c on c.matched = :matched and c.held left join "user" u on u.id = c.user_id {_USER}"""
_HOLDS = """exists (select 1 from claim c where c.matched = :asked and c.user_id = u.id and c.held)"""
_BY_USER = f"""{_COLUMNS} {_HOLDS} from (select 1) as one left join "user" u on u.id = :user_id {_USER}"""
_BEARER = f"""{_COLUMNS} {_HOLDS}, b.id, b.enabled, b.expires_at
from virtual_key b join "user" u on u.id = b.user_id {_USER} where b.deleted_at is null and"""
_NAMED = """{columns} {holds} from "user" u {user} where {among} and u.state <> 'removed'"""
_AMONG = {  # each by an index that is there: that of user names, not that of sources
    "username": "u.username = :name and u.source || '' = :source",
    "external_id": "u.source = :source and u.external_id = :name",
}
_BY_NAME = {column: _NAMED.format(columns=_COLUMNS, holds=_HOLDS, user=_USER, among=among) for column, among in _AMONG.items()}
_BY_KEY = """{bearer} b.id in (select id from virtual_key where digest in ({digests})
  union all select key_id from retired_value where digest in ({digests}) and until > :now and sealed is not null)"""
# The sealed value goes when its time is over: a clock that is turned back, or another node's that is late, brings no old one back.
_BY_KEY_ID = f"{_BEARER} b.id = :key_id and (b.rotated_at is null or b.rotated_at <= :issued_at)"
_KNOWN = "select 1 from retired_value where digest in ({digests}) union all select 1 from virtual_key where digest in ({digests}) limit 1"


def by_address(store: Store, matched: str, *, token: Shown = NO_TOKEN) -> Found:
    """Return whoever holds the address (in its compared form), and whether the token stands."""
    now = store.now()
    rows = store.query(_BY_ADDRESS, {"matched": matched, "now": now, **token._asdict()})
    first = rows[0]
    if first[1] is None:
        outcome = {None: "user_not_found", 1: "user_removed", 2: "address_contested"}[first[16]]
        return Found(outcome, token_ok=first[0] is not None)
    return _found(rows, now)


def by_user(store: Store, user_id: str, *, asked: str | None, token: Shown = NO_TOKEN) -> Found:
    """Return one user, whether the token stands, and whether the user holds the address `asked`."""
    now = store.now()
    rows = store.query(_BY_USER, {"user_id": user_id, "asked": asked, "now": now, **token._asdict()})
    if rows[0][1] is None:
        return Found("user_not_found", token_ok=rows[0][0] is not None)
    found = _found(rows, now)
    found.holds_asked = bool(rows[0][16])
    return found


def by_name(store: Store, column: Literal["username", "external_id"], name: str, *, source: str, asked: str | None) -> list[Found]:
    """Return the users of this name in one source, compared as it was spelt by the directory.

    Removed users have no name any more, and whoever is missing gives way to who has it now in the same source.
    """
    now = store.now()
    rows = store.query(_BY_NAME[column], {"name": name, "source": source, "asked": asked, "now": now, **_NONE})
    shown = [row for row in rows if row[3] != "missing"] or rows
    users = []
    for _, group in groupby(sorted(shown, key=_user_of), key=_user_of):
        own = list(group)
        found = _found(own, now)
        found.holds_asked = bool(own[0][16])
        users.append(found)
    return users


def by_key(store: Store, digests: Sequence[bytes], *, asked: str | None) -> Found | None:
    """Return the owner of the key whose value has one of these digests, now or in the overlap of a rotation; None when no key has."""
    names, facts = _bound(digests)
    return _by_bearer(store, _BY_KEY.format(bearer=_BEARER, digests=names), facts, asked)


def by_key_id(store: Store, key_id: str, *, issued_at: int, asked: str | None) -> Found | None:
    """Return the owner of a key for a bearer that names it, issued at `issued_at` (ms); None when there is none, or it was rotated since."""
    return _by_bearer(store, _BY_KEY_ID, {"key_id": key_id, "issued_at": issued_at}, asked)


def is_known(store: Store, digests: Sequence[bytes]) -> bool:
    """Tell whether a value with one of these digests is a key's, or was."""
    names, facts = _bound(digests)
    return bool(store.query(_KNOWN.format(digests=names), facts))


def _bound(digests: Sequence[bytes]) -> tuple[str, dict[str, Any]]:
    facts = {f"d{number}": digest for number, digest in enumerate(digests)}
    return ", ".join(f":{name}" for name in facts), facts


def _by_bearer(store: Store, statement: str, facts: dict[str, Any], asked: str | None) -> Found | None:
    now = store.now()
    rows = store.query(statement, {"asked": asked, "now": now, **_NONE, **facts})
    if not rows:
        return None
    found = _found(rows, now)
    found.holds_asked = bool(rows[0][16])
    found.key_id = rows[0][17]
    found.key_active = found.standing and bool(rows[0][18]) and not _past(rows[0][19], now)
    return found


def _found(rows: list[Any], now: int) -> Found:
    token, user_id, email, state, blocked_at, expires_at, source, read_at, succeeded_at, closed_after = rows[0][:10]
    closed = closed_after is not None and (succeeded_at is None or now - succeeded_at > closed_after)
    standing = state == "active" and blocked_at is None and not _past(expires_at, now) and not closed
    rows = sorted((row[10:16] for row in rows if row[10] is not None), key=lambda key: (key[5], key[0]))
    keys = [StoredKey(key[0], key[1], key[2], standing and bool(key[3]) and not _past(key[4], now)) for key in rows]
    keys.sort(key=lambda key: not key.is_active)
    outcome = "user_removed" if state == "removed" else "found"
    return Found(outcome, token is not None, user_id, email, source, read_at, standing, False, keys)


def _user_of(row: Any) -> str:
    return str(row[1])


def _past(at: int | None, now: int) -> bool:
    return at is not None and at <= now
