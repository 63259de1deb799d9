"""Virtual keys as an admin sees and changes them; what a sync does to them is in issuing."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, text

from sync.errors import ConfigError, Conflict, NotFound
from sync.ids import new_key_id
from sync.store.engine import Store
from sync.store.people import is_standing
from sync.store.views import must_rfc3339, rfc3339
from sync.vault import Vault, mint_value

_VAULT_NAMES = "vault"


class OwnedKey(msgspec.Struct, omit_defaults=True):
    """A key without its value, and whose it is."""

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


def issue(store: Store, vault: Vault, user_id: str, *, name: str, by: str, expires_at: int | None = None) -> tuple[OwnedKey, str]:
    """Give a user a new key and return it with its value, which nobody can ask for again here. Raises NotFound, Conflict."""
    key_id, value = new_key_id(), mint_value()
    with store.write() as connection:
        user = connection.execute(text('select * from "user" where id = :id'), {"id": user_id}).one_or_none()
        if user is None:
            raise NotFound("user_not_found", f"There is no user {user_id}.")
        if user.state == "removed":
            raise Conflict(
                "user_removed", f"The user {user.username or user_id} was removed.", "Only somebody whom a directory shows can have a new key."
            )
        connection.execute(
            text(
                "insert into virtual_key (id, user_id, name, origin, sealed, digest, enabled, expires_at, created_at, created_by)"
                " values (:id, :user, :name, 'issued', :sealed, :digest, true, :expires, :now, :by)"
            ),
            {
                "id": key_id, "user": user_id, "name": name, "sealed": vault.seal(value, key_id, user_id), "digest": vault.digest(value),
                "expires": expires_at, "now": store.now(), "by": by,
            },
        )  # fmt: skip
        return _get(connection, key_id, store.now()), value


def list_keys(store: Store, user_id: str | None = None) -> list[OwnedKey]:
    """Return the keys of one user or of all, by owner and age; no values."""
    query = f"{_SELECT} where k.deleted_at is null and k.user_id = coalesce(:user, k.user_id) order by u.email, u.id, k.created_at, k.id"
    with store.read() as connection:
        now = store.now()
        return [_owned(row, now) for row in connection.execute(text(query), {"user": user_id})]


def set_enabled(store: Store, key_id: str, enabled: bool, by: str) -> OwnedKey:
    """Enable or disable a key in the name of an admin, which no sync undoes. Raises NotFound."""
    change = (
        "update virtual_key set enabled = true, disabled_by = null, disabled_at = null where id = :id"
        if enabled
        else "update virtual_key set enabled = false, disabled_by = :by, disabled_at = :now where id = :id"
    )
    with store.write() as connection:
        _get(connection, key_id, store.now())
        connection.execute(text(change), {"id": key_id} if enabled else {"id": key_id, "by": by, "now": store.now()})
        return _get(connection, key_id, store.now())


def rename(store: Store, key_id: str, name: str) -> OwnedKey:
    """Give a key another name. Raises NotFound."""
    with store.write() as connection:
        _get(connection, key_id, store.now())
        connection.execute(text("update virtual_key set name = :name where id = :id"), {"name": name, "id": key_id})
        return _get(connection, key_id, store.now())


def get_key(store: Store, key_id: str) -> OwnedKey:
    """Return one key without its value. Raises NotFound."""
    with store.read() as connection:
        return _get(connection, key_id, store.now())


def bind_vault(store: Store, vault: Vault) -> None:
    """Make sure that the key file is the one this store was sealed with; remember the newest key of a new one. Raises ConfigError."""
    with store.write() as connection:
        known = connection.execute(text("select value from meta where name = :name"), {"name": _VAULT_NAMES}).scalar_one_or_none()
        names = set(msgspec.json.decode(known)) if known else set()
        lost = names - set(vault.key_names)
        if lost:
            raise ConfigError(
                [
                    f"[keys] encryption_key_file: lacks the key {', '.join(sorted(lost))} that this store was sealed with;"
                    " put that line back (below newer ones), or restore the store that belongs to this file"
                ]
            )
        value = msgspec.json.encode(sorted(names | {vault.key_names[0]})).decode()
        connection.execute(
            text("insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = :value"),
            {"name": _VAULT_NAMES, "value": value},
        )


_SELECT = (
    "select k.id as key_id, k.name as key_name, k.origin, k.enabled, k.created_at as key_created, k.created_by, k.expires_at as key_expires,"
    ' k.policy, k.disabled_by, u.* from virtual_key k join "user" u on u.id = k.user_id'
)


def _get(connection: Connection, key_id: str, now: int) -> OwnedKey:
    row = connection.execute(text(f"{_SELECT} where k.id = :id and k.deleted_at is null"), {"id": key_id}).one_or_none()
    if row is None:
        raise NotFound("virtual_key_not_found", f"There is no key {key_id}.", "`rosterd keys` lists them.")
    return _owned(row, now)


def _owned(row: object, now: int) -> OwnedKey:
    key = row._mapping  # type: ignore[attr-defined]
    active = is_standing(row, now) and bool(key["enabled"]) and (key["key_expires"] is None or key["key_expires"] > now)  # type: ignore[arg-type]
    return OwnedKey(
        id=key["key_id"], name=key["key_name"], origin=key["origin"], is_active=active, created_at=must_rfc3339(key["key_created"]),
        created_by=key["created_by"], user_id=key["id"], email=key["email"], expires_at=rfc3339(key["key_expires"]), policy=key["policy"],
        disabled_by=key["disabled_by"],
    )  # fmt: skip
