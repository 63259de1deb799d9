"""Virtual keys as an admin sees them, without their values; what changes them is in keychanges, what a sync does in issuing."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.engine import Row

from sync.errors import NotFound
from sync.store.engine import Store
from sync.store.people import is_standing
from sync.store.views import must_rfc3339, rfc3339

MOST_PER_PAGE = 100


class OwnedKey(msgspec.Struct, omit_defaults=True):
    """A key without its value, and whose it is. `origin` = where its present value came from: issued or imported."""

    id: str
    name: str
    origin: str
    is_active: bool
    created_at: str
    created_by: str
    user_id: str
    email: str
    expires_at: str | None = None
    policy: str | None = None
    disabled_by: str | None = None
    disabled_at: str | None = None
    rotated_at: str | None = None
    overlap_until: str | None = None

    @property
    def version(self) -> str:
        """What differs whenever the key does: for `ETag` and `If-Match`."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32]


class KeyPage(msgspec.Struct):
    """One page of keys, in the shape of the gateway's management API."""

    virtual_keys: list[OwnedKey]
    count: int
    total_count: int
    limit: int
    offset: int


def list_keys(store: Store, user_id: str | None = None) -> list[OwnedKey]:
    """Return the keys of one user or of all, by owner and age; no values."""
    with store.read() as connection:
        now = store.now()
        return [owned(row, now) for row in connection.execute(text(f"{_SELECT} {_where(user_id, '')} {_ORDER}"), {"user": user_id, "now": now})]


def page_keys(store: Store, user_id: str | None = None, *, search: str = "", limit: int = MOST_PER_PAGE, offset: int = 0) -> KeyPage:
    """Return one page of keys by owner and age; `search` is found in the key's name and id and in its owner's e-mail address."""
    where, limit, offset = _where(user_id, search), max(1, min(limit, MOST_PER_PAGE)), max(0, offset)
    like = "%" + search.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    with store.read() as connection:
        now = store.now()
        facts: dict[str, Any] = {"user": user_id, "like": like, "limit": limit, "offset": offset, "now": now}
        total = int(connection.execute(text(f'select count(*) from virtual_key k join "user" u on u.id = k.user_id {where}'), facts).scalar_one())
        rows = connection.execute(text(f"{_SELECT} {where} {_ORDER} limit :limit offset :offset"), facts).all()
    return KeyPage([owned(row, now) for row in rows], len(rows), total, limit, offset)


def get_key(store: Store, key_id: str) -> OwnedKey:
    """Return one key without its value. Raises NotFound."""
    with store.read() as connection:
        return read_key(connection, key_id, store.now())


def read_key(connection: Connection, key_id: str, now: int) -> OwnedKey:
    """Return one key inside a transaction. Raises NotFound."""
    row = connection.execute(text(f"{_SELECT} where k.id = :id and k.deleted_at is null"), {"id": key_id, "now": now}).one_or_none()
    if row is None:
        raise NotFound("virtual_key_not_found", f"There is no key {key_id}.", "`rosterd keys` lists them.")
    return owned(row, now)


_SELECT = (
    "select k.id as key_id, k.name as key_name, k.origin, k.enabled, k.created_at as key_created, k.created_by, k.expires_at as key_expires,"
    " k.policy, k.disabled_by, k.disabled_at, k.rotated_at,"
    " (select max(r.until) from retired_value r where r.key_id = k.id and r.until > :now and r.sealed is not null) as overlap_until,"
    ' u.* from virtual_key k join "user" u on u.id = k.user_id'
)
_ORDER = "order by u.email, u.id, k.created_at, k.id"


def _where(user_id: str | None, search: str) -> str:
    wheres = ["k.deleted_at is null"]
    if user_id is not None:
        wheres.append("k.user_id = :user")
    if search:
        wheres.append("(" + " or ".join(f"lower({column}) like :like escape '\\'" for column in ("k.name", "k.id", "u.email")) + ")")
    return "where " + " and ".join(wheres)


def owned(row: Row[Any], now: int) -> OwnedKey:
    """Return a row of a key and its owner as admins see it."""
    key = row._mapping
    active = is_standing(row, now) and bool(key["enabled"]) and (key["key_expires"] is None or key["key_expires"] > now)
    return OwnedKey(
        id=key["key_id"], name=key["key_name"], origin=key["origin"], is_active=active, created_at=must_rfc3339(key["key_created"]),
        created_by=key["created_by"], user_id=key["id"], email=key["email"], expires_at=rfc3339(key["key_expires"]), policy=key["policy"],
        disabled_by=key["disabled_by"], disabled_at=rfc3339(key["disabled_at"]), rotated_at=rfc3339(key["rotated_at"]),
        overlap_until=rfc3339(key["overlap_until"]),
    )  # fmt: skip
