"""Which encryption keys the store was sealed with, and sealing everything anew when a newer one is there."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, text

from sync.errors import ConfigError, Conflict, RosterError
from sync.store.engine import Store, many
from sync.vault import Vault

_NAMES = "vault"
BATCH = 500
"""Keys sealed anew in one transaction: other writers wait some ten milliseconds."""


def bind_vault(store: Store, vault: Vault) -> None:
    """Make sure that the key file is the one this store was sealed with; remember the newest key of a new one. Raises ConfigError."""
    with store.read() as connection:
        names = _names(connection)
    lost = names - set(vault.key_names)
    if lost:
        raise ConfigError(
            [
                f"[keys] encryption_key_file: lacks the key {', '.join(sorted(lost))} that this store was sealed with;"
                " put that line back (below newer ones), or restore the store that belongs to this file"
            ]
        )
    if vault.key_names[0] in names:
        return
    with store.write() as connection:
        _remember(connection, _names(connection) | {vault.key_names[0]})


def check_vault(connection: Connection, vault: Vault) -> None:
    """Make sure, inside a transaction that stores sealed values, that the key they were sealed with is still in use. Raises Conflict."""
    names = _names(connection)
    if names and vault.key_names[0] not in names:
        raise Conflict(
            "vault_key_retired",
            f"The encryption key {vault.key_names[0]} was taken out of use while this went on; nothing was changed.",
            "Try again: the key file is read anew.",
        )


def rewrap(store: Store, vault: Vault, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Seal every value with the newest key and find it by the newest digest; return how many were not yet. Raises VaultError.

    May be stopped and started again at any moment; lookups go on, for every key opens and finds what it sealed. At the end the older
    keys are out of use: their lines may leave the key file. `progress(done, total)` counts keys.
    """
    bind_vault(store, vault)
    newest, done = bytes.fromhex(vault.key_names[0]), 0
    with store.read() as connection:
        total = sum(int(connection.execute(text(_COUNT[table]), {"newest": newest}).scalar_one()) for table in _TABLES)
    while True:
        for table in _TABLES:
            after: str | bytes = _FIRST[table]
            while batch := _next(store, table, newest, after):
                done += _seal_anew(store, vault, table, batch)
                after = batch[-1][0]
                progress(done, max(total, done))
        if _retire_older(store, newest):
            return done


_TABLES = ("virtual_key", "retired_value")
_FIRST: dict[str, str | bytes] = {"virtual_key": "", "retired_value": b""}
_OLDER = "sealed is not null and substr(sealed, 2, 4) <> :newest"
_COUNT = {table: f"select count(*) from {table} where {_OLDER}" for table in _TABLES}
_BATCH = {
    "virtual_key": f"select id, id, user_id, sealed from virtual_key where {_OLDER} and id > :after order by id limit {BATCH}",
    "retired_value": (
        "select r.digest, k.id, k.user_id, r.sealed from retired_value r join virtual_key k on k.id = r.key_id"
        f" where r.sealed is not null and substr(r.sealed, 2, 4) <> :newest and r.digest > :after order by r.digest limit {BATCH}"
    ),
}
_UPDATE = {
    "virtual_key": "update virtual_key set sealed = :sealed, digest = :digest where id = :place and sealed = :old",
    "retired_value": "update retired_value set sealed = :sealed, digest = :digest where digest = :place and sealed = :old",
}


def _next(store: Store, table: str, newest: bytes, after: str | bytes) -> list[tuple[str | bytes, str, str, bytes]]:
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(text(_BATCH[table]), {"newest": newest, "after": after})]


def _seal_anew(store: Store, vault: Vault, table: str, batch: list[tuple[str | bytes, str, str, bytes]]) -> int:
    """Seal outside the transaction; a value that somebody changed meanwhile is left to the next round."""
    rows = []
    for place, key_id, user_id, sealed in batch:
        value = vault.open(sealed, key_id, user_id)
        rows.append({"place": place, "old": sealed, "sealed": vault.seal(value, key_id, user_id), "digest": vault.digest(value)})
    with store.write() as connection:
        check_vault(connection, vault)
        many(connection, _UPDATE[table], rows)
    return len(rows)


def _retire_older(store: Store, newest: bytes) -> bool:
    """Take the older keys out of use if nothing is sealed with them any more; from then on nothing can be."""
    with store.write() as connection:
        if any(connection.execute(text(_COUNT[table]), {"newest": newest}).scalar_one() for table in _TABLES):
            return False
        _remember(connection, {newest.hex()})
    return True


def _names(connection: Connection) -> set[str]:
    known = connection.execute(text("select value from meta where name = :name"), {"name": _NAMES}).scalar_one_or_none()
    try:
        return set(msgspec.json.decode(known, type=list[str])) if known else set()
    except msgspec.DecodeError as error:
        raise RosterError("store_damaged", "The store's list of encryption keys cannot be read.", "Restore the store.") from error


def _remember(connection: Connection, names: set[str]) -> None:
    connection.execute(
        text("insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value"),
        {"name": _NAMES, "value": msgspec.json.encode(sorted(names)).decode()},
    )
