"""What admins do to keys: issue, name, switch, let expire, rotate, delete. Each change is one transaction and one event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, text

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

LONGEST_NAME = 200
_LAST_MS = 253_402_300_799_999
"""The end of the year 9999, the last that RFC 3339 can write."""

End = Callable[[bytes, str, str], int | None]
"""end(sealed value, key id, user id) returns when the value itself ends (ms), whatever the store says; None: never."""


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
        check_owner(connection, user_id)
        check_name(connection, user_id, name)
        insert_key(store, connection, vault, key_id, user_id, value, {"name": name, "origin": "issued", "expires": expires_at, "by": by, "on": True})
        events.record(connection, "key.issued", by, store.now(), user_id=user_id, key_id=key_id, detail={"name": name})
        return read_key(connection, key_id, store.now()), value


def change(store: Store, key_id: str, wanted: Wanted, stamp: Stamp, *, end: End | None = None) -> OwnedKey:
    """Name a key, switch it, or let it expire, all or nothing; an admin's switch is undone by no sync. With `end`, no key outlives its value.

    Raises NotFound, Conflict, InvalidRequest.
    """
    if isinstance(wanted.expires_at, int):
        check_expiry(store, wanted.expires_at)
    with store.write() as connection:
        key = _seen(connection, key_id, stamp, store.now())
        if not isinstance(wanted.name, msgspec.UnsetType) and wanted.name != key.name:
            check_name(connection, key.user_id, wanted.name)
            _set(connection, key, "name = :name", "key.renamed", stamp, store.now(), {"name": wanted.name}, {"from": key.name, "to": wanted.name})
        if not isinstance(wanted.expires_at, msgspec.UnsetType):
            if end is not None:
                _check_end(connection, key, wanted.expires_at, end)
            detail = {"from": key.expires_at, "to": rfc3339(wanted.expires_at)}
            _set(connection, key, "expires_at = :expires", "key.expiry", stamp, store.now(), {"expires": wanted.expires_at}, detail)
        if wanted.is_active is True:
            _set(connection, key, "enabled = true, disabled_by = null, disabled_at = null", "key.enabled", stamp, store.now())
        elif wanted.is_active is False:
            _set(connection, key, "enabled = false, disabled_by = :by, disabled_at = :now", "key.disabled", stamp, store.now())
        return read_key(connection, key_id, store.now())


def rotate(
    store: Store, vault: Vault, key_id: str, stamp: Stamp, *, overlap: int = 0, expires_at: int | None = None, mint: Mint = mint_value
) -> tuple[OwnedKey, str]:
    """Give a key a new value under the same id, and with `expires_at` (ms) a new expiry; return both. The old value works `overlap` milliseconds
    longer, but not beyond its own expiry; with none, every older value is dead at once. Raises NotFound, Conflict, InvalidRequest."""
    if not 0 <= overlap <= LONGEST_OVERLAP:
        raise InvalidRequest("invalid_overlap", "An overlap is at most 30 days.", param="overlap")
    with store.read() as connection:
        key, before = read_key(connection, key_id, store.now()), _expiry(connection, key_id)
    wanted = before if expires_at is None else check_expiry(store, expires_at)
    value = mint(key.user_id, key_id, wanted)
    with store.write() as connection:
        key, now = _seen(connection, key_id, stamp, store.now()), store.now()
        if _expiry(connection, key_id) != before:
            raise _changed_meanwhile(key_id)
        check_vault(connection, vault)
        until = now + overlap if before is None else max(now, min(now + overlap, before))
        retire(connection, key_id, until=until, now=now, older_too=not overlap)
        _replace(connection, vault, key, value, wanted, now)
        detail = {"old_value_until": rfc3339(until)} | ({} if wanted == before else {"expires_at": rfc3339(wanted)})
        events.record(connection, "key.rotated", stamp.by, now, user_id=key.user_id, key_id=key_id, detail=detail)
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


def check_expiry(store: Store, expires_at: int | None) -> int | None:
    """Return `expires_at` (ms). Raises InvalidRequest for one that has passed, and for one that no calendar reaches."""
    if expires_at is not None and expires_at > _LAST_MS:
        raise InvalidRequest("invalid_expiry", "That moment is out of reach.", param="expires_at")
    if expires_at is not None and expires_at <= store.now():
        raise InvalidRequest("invalid_expiry", "That moment has passed already.", "Disable the key to end it now.", param="expires_at")
    return expires_at


def insert_key(store: Store, connection: Connection, vault: Vault, key_id: str, user_id: str, value: str, facts: dict[str, Any]) -> None:
    """Store a key; `facts`: name, origin, expires (ms or None), by, on."""
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


def check_owner(connection: Connection, user_id: str) -> None:
    """Raise NotFound or Conflict for somebody who cannot be given a key."""
    user = connection.execute(text('select id, username, state from "user" where id = :id'), {"id": user_id}).one_or_none()
    if user is None:
        raise NotFound("user_not_found", f"There is no user {user_id}.")
    if user.state == "removed":
        why = f"The user {user.username or user_id} was removed."
        raise Conflict("user_removed", why, "Only somebody whom a directory shows can have a new key.")


def check_name(connection: Connection, user_id: str, name: str) -> None:
    """Raise InvalidRequest for what is no name, Conflict for one that another key of the user has."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidRequest("invalid_name", f"A name is 1 to {LONGEST_NAME} printable characters.", param="name")
    query = text("select 1 from virtual_key where user_id = :user and name = :name and deleted_at is null")
    if connection.execute(query, {"user": user_id, "name": name}).first():
        raise Conflict("name_taken", f"This user has a key named {name} already.", "Give it another name.")


def _expiry(connection: Connection, key_id: str) -> int | None:
    found: int | None = connection.execute(text("select expires_at from virtual_key where id = :id"), {"id": key_id}).scalar_one_or_none()
    return found


def _replace(connection: Connection, vault: Vault, key: OwnedKey, value: str, expires_at: int | None, now: int) -> None:
    new = "sealed = :sealed, digest = :digest, expires_at = :expires, origin = 'issued', rotated_at = :now"
    facts = {"sealed": vault.seal(value, key.id, key.user_id), "digest": vault.digest(value), "expires": expires_at}
    connection.execute(text(f"update virtual_key set {new} where id = :id"), {**facts, "id": key.id, "now": now})


def _check_end(connection: Connection, key: OwnedKey, expires_at: int | None, end: End) -> None:
    """Raise Conflict for an expiry after the one inside the value: whoever checks the value itself would refuse it while we call it active."""
    before = _expiry(connection, key.id)
    if before is not None and expires_at is not None and expires_at <= before:
        return  # an end that comes earlier needs no look at the value
    sealed = connection.execute(text("select sealed from virtual_key where id = :id"), {"id": key.id}).scalar_one()
    ends = end(sealed, key.id, key.user_id)
    if ends is not None and (expires_at is None or expires_at // 1000 * 1000 > ends):
        facts = f"The value of the key {key.id} is a JWT that itself ends at {rfc3339(ends)}; nothing was done."
        raise Conflict("value_ends_first", facts, "Rotate the key with the later expiry: the new value has it inside.")


def _changed_meanwhile(key_id: str) -> Conflict:
    return Conflict("changed_meanwhile", f"The key {key_id} has been changed since you saw it; nothing was done.", "Look at it again, then decide.")
