"""Virtual keys: listed, minted, named, switched. A value is shown once, when it is minted."""

from __future__ import annotations

import msgspec
from litestar import Router, get, post, put
from litestar.params import FromPath, JSONBody

from api.auth.admitting import admit_admin, caller_of
from api.desk import Call, context_of
from api.paths import decode_segment
from api.shapes import KeyAnswer, KeyChange, KeyRequest, KeysAnswer, MintedKey, MintedKeyAnswer
from sync.errors import InvalidRequest
from sync.store import keys, people


@get("/users/{user_id:str}/virtual-keys", sync_to_thread=True, operation_id="list_keys_of_user")
def list_keys_of_user(request: Call, user_id: FromPath[str]) -> KeysAnswer:
    """The keys of one user."""
    store = context_of(request).store
    return KeysAnswer(keys.list_keys(store, people.get_user(store, decode_segment(user_id, "id")).id))


@post("/users/{user_id:str}/virtual-keys", sync_to_thread=True, status_code=200, operation_id="mint_key")
def mint_key(request: Call, user_id: FromPath[str], data: JSONBody[KeyRequest]) -> MintedKeyAnswer:
    """Give a user a new key."""
    context = context_of(request)
    expires_at = None if data.expires_at is None else int(data.expires_at.timestamp() * 1000)
    if expires_at is not None and expires_at <= context.store.now():
        raise InvalidRequest("invalid_expiry", "A key cannot have expired before it is made.", param="expires_at")
    key, value = keys.issue(
        context.store, context.vault, decode_segment(user_id, "id"), name=data.name, by=caller_of(request).name, expires_at=expires_at
    )  # fmt: skip
    request.scope["state"]["target"] = {"key_id": key.id}
    return MintedKeyAnswer(msgspec.convert({**msgspec.to_builtins(key), "value": value}, MintedKey))


@get("/virtual-keys", sync_to_thread=True, operation_id="list_keys")
def list_keys(request: Call) -> KeysAnswer:
    """Every key, by owner."""
    return KeysAnswer(keys.list_keys(context_of(request).store))


@get("/virtual-keys/{key_id:str}", sync_to_thread=True, operation_id="show_key")
def show_key(request: Call, key_id: FromPath[str]) -> KeyAnswer:
    """One key."""
    return KeyAnswer(keys.get_key(context_of(request).store, decode_segment(key_id, "id")))


@put("/virtual-keys/{key_id:str}", sync_to_thread=True, operation_id="change_key")
def change_key(request: Call, key_id: FromPath[str], data: JSONBody[KeyChange]) -> KeyAnswer:
    """Name a key, or switch it on or off; no sync undoes an admin's switch."""
    store, key = context_of(request).store, decode_segment(key_id, "id")
    changed = keys.get_key(store, key)
    if data.name is not None:
        changed = keys.rename(store, key, data.name)
    if data.is_active is not None:
        changed = keys.set_enabled(store, key, data.is_active, caller_of(request).name)
    return KeyAnswer(changed)


router = Router(
    "/api/governance", route_handlers=[list_keys_of_user, mint_key, list_keys, show_key, change_key], guards=[admit_admin], tags=["virtual keys"]
)  # fmt: skip
