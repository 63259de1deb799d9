"""What admins do to keys: issue, import, name, switch, let expire, rotate, delete. Each change is one transaction and one event."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.engine import Row

from sync.errors import Conflict, InvalidRequest, NotFound
from sync.ids import new_key_id
from sync.store import events
from sync.store.engine import Store
from sync.store.keyring import check_vault
from sync.store.keys import OwnedKey, read_key
from sync.store.views import rfc3339
from sync.vault import Mint, Vault, mint_value

LONGEST_OVERLAP = 30 * 86_400_000
"""Milliseconds that a rotated value may go on working."""

_VALUE = re.compile(r"[A-Za-z0-9._~+/=-]{16,4096}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
LONGEST_NAME = 200


class Stamp(msgspec.Struct, frozen=True):
    """Who changes a key, and which version of it they have seen (None: whichever it is)."""

    by: str
    seen: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What shall be different about a key; what is UNSET stays. `expires_at` in ms, None = never."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    is_active: bool | msgspec.UnsetType = msgspec.UNSET
    expires_at: int | msgspec.UnsetType | None = msgspec.UNSET


def issue(
    store: Store, vault: Vault, user_id: str, *, name: str, by: str, expires_at: int | None = None, mint: Mint = mint_value
) -> tuple[OwnedKey, str]:
    """Give a user a new key and return it with its value, which nobody can ask for again here. Raises NotFound, Conflict, InvalidRequest."""
    key_id = new_key_id()
    value = mint(user_id, key_id, check_expiry(store, expires_at))
    with store.write() as connection:
        _check_owner(connection, user_id)
        _check_name(connection, user_id, name)
        _insert(store, connection, vault, key_id, user_id, value, {"name": name, "origin": "issued", "expires": expires_at, "by": by, "on": True})
        events.record(connection, "key.issued", by, store.now(), user_id=user_id, key_id=key_id, detail={"name": name})
        return read_key(connection, key_id, store.now()), value


def take_in(
    store: Store,
    vault: Vault,
    user_id: str,
    value: str,
    *,
    name: str,
    by: str,
    expires_at: int | None = None,
    key_id: str = "",
    enabled: bool = True,
) -> tuple[OwnedKey, bool]:
    """Import an existing value as a key of a user; return the key, and whether it is new: the same value of the same user changes nothing.

    `key_id` = the id it has at the gateway, if it has one. Raises NotFound, Conflict, InvalidRequest.
    """
    check_value(value)
    if key_id and not _ID.fullmatch(key_id):
        raise InvalidRequest("invalid_id", "An id is 1 to 128 of the characters A-Z a-z 0-9 . _ : and -.", param="id")
    check_expiry(store, expires_at)
    with store.write() as connection:
        _check_owner(connection, user_id)
        known = _known_value(connection, vault, value)
        if known is not None:
            return _same_again(connection, known, user_id, key_id, store.now()), False
        _check_name(connection, user_id, name)
        if key_id and connection.execute(text("select 1 from virtual_key where id = :id"), {"id": key_id}).one_or_none():
            raise Conflict("virtual_key_exists", f"There is, or was, another key with the id {key_id}.")
        key_id = key_id or new_key_id()
        facts = {"name": name, "origin": "imported", "expires": expires_at, "by": by, "on": enabled}
        _insert(store, connection, vault, key_id, user_id, value, facts)
        events.record(connection, "key.imported", by, store.now(), user_id=user_id, key_id=key_id, detail={"name": name})
        return read_key(connection, key_id, store.now()), True


def is_known(store: Store, vault: Vault, user_id: str, value: str, *, key_id: str = "") -> bool:
    """Tell whether `take_in` would find this value there already; raises what it would raise about value and owner."""
    check_value(value)
    with store.read() as connection:
        _check_owner(connection, user_id)
        known = _known_value(connection, vault, value)
        if known is not None:
            _same_again(connection, known, user_id, key_id, store.now())
        return known is not None


def import_new(store: Store, vault: Vault, user_id: str, value: str, *, name: str, by: str, expires_at: int | None = None) -> OwnedKey:
    """Import a value that must be new here. Raises Conflict for one that is a key's already, and what `take_in` raises."""
    key, is_new = take_in(store, vault, user_id, value, name=name, by=by, expires_at=expires_at)
    if not is_new:
        raise Conflict("value_exists", f"This value is the key {key.id} of the same user already.")
    return key


def change(store: Store, key_id: str, wanted: Wanted, stamp: Stamp) -> OwnedKey:
    """Name a key, switch it, or let it expire, all or nothing; an admin's switch is undone by no sync. Raises NotFound, Conflict, InvalidRequest."""
    if isinstance(wanted.expires_at, int):
        check_expiry(store, wanted.expires_at)
    with store.write() as connection:
        key = _seen(connection, key_id, stamp, store.now())
        if not isinstance(wanted.name, msgspec.UnsetType) and wanted.name != key.name:
            _check_name(connection, key.user_id, wanted.name)
            _set(connection, key, "name = :name", "key.renamed", stamp, store.now(), {"name": wanted.name}, {"from": key.name, "to": wanted.name})
        if not isinstance(wanted.expires_at, msgspec.UnsetType):
            detail = {"from": key.expires_at, "to": rfc3339(wanted.expires_at)}
            _set(connection, key, "expires_at = :expires", "key.expiry", stamp, store.now(), {"expires": wanted.expires_at}, detail)
        if wanted.is_active is True:
            _set(connection, key, "enabled = true, disabled_by = null, disabled_at = null", "key.enabled", stamp, store.now())
        elif wanted.is_active is False:
            _set(connection, key, "enabled = false, disabled_by = :by, disabled_at = :now", "key.disabled", stamp, store.now())
        return read_key(connection, key_id, store.now())


def rotate(store: Store, vault: Vault, key_id: str, stamp: Stamp, *, overlap: int = 0, mint: Mint = mint_value) -> tuple[OwnedKey, str]:
    """Give a key a new value under the same id; return both. The old value works `overlap` milliseconds longer; with none, every older value
    is dead at once. Raises NotFound, Conflict, InvalidRequest."""
    if not 0 <= overlap <= LONGEST_OVERLAP:
        raise InvalidRequest("invalid_overlap", "An overlap is at most 30 days.", param="overlap")
    with store.read() as connection:
        key, expires_at = read_key(connection, key_id, store.now()), _expiry(connection, key_id)
    value = mint(key.user_id, key_id, expires_at)
    with store.write() as connection:
        key, now = _seen(connection, key_id, stamp, store.now()), store.now()
        if _expiry(connection, key_id) != expires_at:
            raise _changed_meanwhile(key_id)
        check_vault(connection, vault)
        retire(connection, key_id, until=now + overlap, now=now, older_too=not overlap)
        facts = {"id": key_id, "sealed": vault.seal(value, key_id, key.user_id), "digest": vault.digest(value), "now": now}
        connection.execute(
            text("update virtual_key set sealed = :sealed, digest = :digest, origin = 'issued', rotated_at = :now where id = :id"), facts
        )
        events.record(
            connection, "key.rotated", stamp.by, now, user_id=key.user_id, key_id=key_id, detail={"old_value_until": rfc3339(now + overlap)}
        )  # fmt: skip
        return read_key(connection, key_id, now), value


def delete(store: Store, key_id: str, stamp: Stamp) -> OwnedKey:
    """Delete a key; return what it was. Its value is known as dead for ever, and its policy issues no other. Raises NotFound, Conflict."""
    with store.write() as connection:
        key, now = _seen(connection, key_id, stamp, store.now()), store.now()
        retire(connection, key_id, until=now, now=now, older_too=True)
        gone = "sealed = null, digest = null, enabled = false, deleted_at = :now, deleted_by = :by"
        connection.execute(text(f"update virtual_key set {gone} where id = :id"), {"id": key_id, "now": now, "by": stamp.by})
        events.record(connection, "key.deleted", stamp.by, now, user_id=key.user_id, key_id=key_id, detail={"name": key.name})
        return key


def retire(connection: Connection, key_id: str, *, until: int, now: int, older_too: bool) -> None:
    """Make the present value of a key an old one that works until `until`; `older_too` = those before it end now."""
    if older_too:
        connection.execute(
            text("update retired_value set until = :now, sealed = null where key_id = :id and until > :now"), {"id": key_id, "now": now}
        )
    connection.execute(
        text(
            "insert into retired_value (digest, key_id, sealed, until, retired_at)"
            " select digest, id, case when :until > :now then sealed end, :until, :now from virtual_key where id = :id and digest is not null"
        ),
        {"id": key_id, "until": until, "now": now},
    )


def forget_overlaps(store: Store) -> int:
    """Forget the sealed values whose overlap is over; their digests stay. Return how many."""
    with store.write() as connection:
        gone = "update retired_value set sealed = null where sealed is not null and until <= :now"
        return int(connection.execute(text(gone), {"now": store.now()}).rowcount)


def check_value(value: str) -> None:
    """Raise InvalidRequest for what cannot be a key's value."""
    if not _VALUE.fullmatch(value):
        raise InvalidRequest("invalid_value", "A key's value is 16 to 4,096 of the characters A-Z a-z 0-9 . _ ~ + / = and -.", param="value")


def check_expiry(store: Store, expires_at: int | None) -> int | None:
    """Return `expires_at` (ms). Raises InvalidRequest for one that has passed."""
    if expires_at is not None and expires_at <= store.now():
        raise InvalidRequest("invalid_expiry", "That moment has passed already.", "Disable the key to end it now.", param="expires_at")
    return expires_at


def _insert(store: Store, connection: Connection, vault: Vault, key_id: str, user_id: str, value: str, facts: dict[str, Any]) -> None:
    check_vault(connection, vault)
    now = store.now()
    off = {"off_by": None, "off_at": None} if facts["on"] else {"off_by": facts["by"], "off_at": now}
    connection.execute(
        text(
            "insert into virtual_key"
            " (id, user_id, name, origin, sealed, digest, enabled, disabled_by, disabled_at, expires_at, created_at, created_by)"
            " values (:id, :user, :name, :origin, :sealed, :digest, :on, :off_by, :off_at, :expires, :now, :by)"
        ),
        {"id": key_id, "user": user_id, "sealed": vault.seal(value, key_id, user_id), "digest": vault.digest(value), "now": now, **off, **facts},
    )


def _set(
    connection: Connection, key: OwnedKey, sets: str, kind: str, stamp: Stamp, now: int, facts: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    connection.execute(text(f"update virtual_key set {sets} where id = :id"), {"id": key.id, "by": stamp.by, "now": now, **(facts or {})})
    events.record(connection, kind, stamp.by, now, user_id=key.user_id, key_id=key.id, detail=detail)


def _seen(connection: Connection, key_id: str, stamp: Stamp, now: int) -> OwnedKey:
    """Return the key, if it still is what the caller saw: so that of two admins none undoes the other unawares."""
    key = read_key(connection, key_id, now)
    if stamp.seen is not None and stamp.seen != key.version:
        raise _changed_meanwhile(key_id)
    return key


def _check_owner(connection: Connection, user_id: str) -> None:
    user = connection.execute(text('select id, username, state from "user" where id = :id'), {"id": user_id}).one_or_none()
    if user is None:
        raise NotFound("user_not_found", f"There is no user {user_id}.")
    if user.state == "removed":
        why = f"The user {user.username or user_id} was removed."
        raise Conflict("user_removed", why, "Only somebody whom a directory shows can have a new key.")


def _check_name(connection: Connection, user_id: str, name: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidRequest("invalid_name", f"A name is 1 to {LONGEST_NAME} printable characters.", param="name")
    query = text("select 1 from virtual_key where user_id = :user and name = :name and deleted_at is null")
    if connection.execute(query, {"user": user_id, "name": name}).first():
        raise Conflict("name_taken", f"This user has a key named {name} already.", "Give it another name.")


def _known_value(connection: Connection, vault: Vault, value: str) -> Row[Any] | None:
    """Return (id, user_id, lives) of the key whose value this is or was."""
    query = text(
        "select id, user_id, true as lives from virtual_key where digest = :digest union all"
        " select k.id, k.user_id, false from retired_value r join virtual_key k on k.id = r.key_id where r.digest = :digest"
    )
    rows = (connection.execute(query, {"digest": digest}).first() for digest in vault.digests(value))
    return next((row for row in rows if row is not None), None)


def _same_again(connection: Connection, known: Row[Any], user_id: str, key_id: str, now: int) -> OwnedKey:
    if not known.lives:
        raise Conflict("value_retired", "This value was a key's before; it was rotated away or deleted and stays dead.", "Bring the present one.")
    if known.user_id != user_id or (key_id and key_id != known.id):
        raise Conflict("value_exists", "This value is another key's already.", "Nobody shares a key: rotate one of them first.")
    return read_key(connection, known.id, now)


def _expiry(connection: Connection, key_id: str) -> int | None:
    found: int | None = connection.execute(text("select expires_at from virtual_key where id = :id"), {"id": key_id}).scalar_one_or_none()
    return found


def _changed_meanwhile(key_id: str) -> Conflict:
    return Conflict("changed_meanwhile", f"The key {key_id} has been changed since you saw it; nothing was done.", "Look at it again, then decide.")
