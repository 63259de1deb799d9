"""Keys that exist elsewhere already, taken in with their values: found again by their digest, never taken in twice."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import Row

from sync.errors import Conflict, InvalidRequest
from sync.ids import new_key_id
from sync.store import events
from sync.store.engine import Store
from sync.store.keychanges import check_expiry, check_name, check_owner, insert_key
from sync.store.keys import OwnedKey, read_key
from sync.vault import Vault

_VALUE = re.compile(r"[A-Za-z0-9._~+/=-]{16,4096}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


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
    check_expiry(store, expires_at)
    with store.write() as connection:
        check_owner(connection, user_id)
        known = _known_value(connection, vault, value)
        if known is not None:
            return _same_again(connection, known, user_id, key_id, store.now()), False
        _check_new(connection, user_id, name, key_id)
        key_id = key_id or new_key_id()
        facts = {"name": name, "origin": "imported", "expires": expires_at, "by": by, "on": enabled}
        insert_key(store, connection, vault, key_id, user_id, value, facts)
        events.record(connection, "key.imported", by, store.now(), user_id=user_id, key_id=key_id, detail={"name": name})
        return read_key(connection, key_id, store.now()), True


def is_known(store: Store, vault: Vault, user_id: str, value: str, *, name: str, key_id: str = "") -> bool:
    """Tell whether `take_in` would find this value there already; raises what it would raise."""
    check_value(value)
    with store.read() as connection:
        check_owner(connection, user_id)
        known = _known_value(connection, vault, value)
        if known is not None:
            _same_again(connection, known, user_id, key_id, store.now())
        else:
            _check_new(connection, user_id, name, key_id)
        return known is not None


def import_new(store: Store, vault: Vault, user_id: str, value: str, *, name: str, by: str, expires_at: int | None = None) -> OwnedKey:
    """Import a value that must be new here. Raises Conflict for one that is a key's already, and what `take_in` raises."""
    key, is_new = take_in(store, vault, user_id, value, name=name, by=by, expires_at=expires_at)
    if not is_new:
        raise Conflict("value_exists", f"This value is the key {key.id} of the same user already.")
    return key


def check_value(value: str) -> None:
    """Raise InvalidRequest for what cannot be a key's value."""
    if not _VALUE.fullmatch(value):
        raise InvalidRequest("invalid_value", "A key's value is 16 to 4,096 of the characters A-Z a-z 0-9 . _ ~ + / = and -.", param="value")


def _check_new(connection: Connection, user_id: str, name: str, key_id: str) -> None:
    """Check the name and the id (empty: one will be made) of a key to come."""
    check_name(connection, user_id, name)
    if key_id and not _ID.fullmatch(key_id):
        raise InvalidRequest("invalid_id", "An id is 1 to 128 of the characters A-Z a-z 0-9 . _ : and -.", param="id")
    if key_id and connection.execute(text("select 1 from virtual_key where id = :id"), {"id": key_id}).one_or_none():
        raise Conflict("virtual_key_exists", f"There is, or was, another key with the id {key_id}.")


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
