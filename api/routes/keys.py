"""Virtual keys: listed, minted, imported, named, switched, rotated, deleted. A value is shown once, when it is made."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from api.auth.admitting import admit_admin, caller_of
from api.auth.minting import value_end
from api.desk import Call, context_of
from api.negotiation import expected_version
from api.paths import decode_segment
from api.shapes import KeyAnswer, KeyChange, KeyRequest, MintedKey, MintedKeyAnswer, RotateRequest
from api.values import parse_duration
from sync.errors import InvalidRequest
from sync.store import keychanges, keyimports, keys, people
from sync.store.keychanges import Stamp, Wanted
from sync.store.keys import MOST_PER_PAGE, KeyPage, OwnedKey

Limit = Annotated[int, QueryParameter(ge=1, le=MOST_PER_PAGE)]
Offset = Annotated[int, QueryParameter(ge=0, le=100_000_000)]
Search = Annotated[str, QueryParameter(max_length=254)]


@get("/users/{user_id:str}/virtual-keys", sync_to_thread=True, operation_id="list_keys_of_user")
def list_keys_of_user(request: Call, user_id: FromPath[str], limit: Limit = MOST_PER_PAGE, offset: Offset = 0, search: Search = "") -> KeyPage:
    """One page of the keys of one user."""
    store = context_of(request).store
    user = people.get_user(store, decode_segment(user_id, "id"))
    return keys.page_keys(store, user.id, search=search, limit=limit, offset=offset)


@post("/users/{user_id:str}/virtual-keys", sync_to_thread=True, status_code=200, operation_id="mint_key")
def mint_key(request: Call, user_id: FromPath[str], data: JSONBody[KeyRequest]) -> MintedKeyAnswer:
    """Give a user a new key, or with `value` one that exists elsewhere already."""
    context, user, by = context_of(request), decode_segment(user_id, "id"), caller_of(request).name
    expires_at = _millis(data.expires_at)
    if data.value is None:
        key, value = keychanges.issue(
            context.store, context.vault, user, name=data.name, by=by, expires_at=expires_at, mint=context.mint
        )  # fmt: skip
    else:
        key, value = keyimports.import_new(context.store, context.vault, user, data.value, name=data.name, by=by, expires_at=expires_at), data.value
    return _minted(request, key, value)


@get("/virtual-keys", sync_to_thread=True, operation_id="list_keys")
def list_keys(request: Call, limit: Limit = MOST_PER_PAGE, offset: Offset = 0, search: Search = "") -> KeyPage:
    """One page of all keys, by owner; `search` is found in their name, id and owner's address."""
    return keys.page_keys(context_of(request).store, search=search, limit=limit, offset=offset)


@get("/virtual-keys/{key_id:str}", sync_to_thread=True, operation_id="show_key")
def show_key(request: Call, key_id: FromPath[str]) -> Response[KeyAnswer]:
    """One key. Its `ETag` can be sent back as `If-Match` with a change."""
    return _versioned(keys.get_key(context_of(request).store, decode_segment(key_id, "id")))


@put("/virtual-keys/{key_id:str}", sync_to_thread=True, operation_id="change_key")
def change_key(request: Call, key_id: FromPath[str], data: JSONBody[KeyChange]) -> Response[KeyAnswer]:
    """Name a key, switch it on or off, or let it expire; what is left out stays. No sync undoes an admin's switch."""
    wanted = Wanted(
        name=msgspec.UNSET if data.name is None else data.name,
        is_active=msgspec.UNSET if data.is_active is None else data.is_active,
        expires_at=msgspec.UNSET if data.expires_at is msgspec.UNSET else _millis(data.expires_at),
    )
    context = context_of(request)
    changed = keychanges.change(context.store, decode_segment(key_id, "id"), wanted, _stamp(request), end=partial(value_end, context.vault))
    return _versioned(changed)


@post("/virtual-keys/{key_id:str}/rotate", sync_to_thread=True, status_code=200, operation_id="rotate_key")
def rotate_key(request: Call, key_id: FromPath[str], data: JSONBody[RotateRequest | None] = None) -> MintedKeyAnswer:
    """Give a key a new value under the same id; the old one goes on working for `overlap`. With `expires_at` a new expiry too."""
    context, data = context_of(request), data or RotateRequest()
    key, value = keychanges.rotate(
        context.store, context.vault, decode_segment(key_id, "id"), _stamp(request), overlap=parse_duration(data.overlap, "overlap") * 1000,
        expires_at=_millis(data.expires_at), mint=context.mint,
    )  # fmt: skip
    return _minted(request, key, value)


@delete("/virtual-keys/{key_id:str}", sync_to_thread=True, status_code=200, operation_id="delete_key")
def delete_key(request: Call, key_id: FromPath[str]) -> KeyAnswer:
    """Delete a key; the answer is what it was. To take it away for a while, switch it off instead."""
    return KeyAnswer(keychanges.delete(context_of(request).store, decode_segment(key_id, "id"), _stamp(request)))


def _stamp(request: Call) -> Stamp:
    return Stamp(caller_of(request).name, expected_version(request.scope["headers"]))


def _millis(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    try:
        return int(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        raise InvalidRequest("invalid_expiry", "That moment is out of reach.", param="expires_at") from None


def _versioned(key: OwnedKey) -> Response[KeyAnswer]:
    return Response(KeyAnswer(key), headers={"ETag": f'"{key.version}"'})


def _minted(request: Call, key: OwnedKey, value: str) -> MintedKeyAnswer:
    request.scope["state"]["target"] = {"key_id": key.id}
    return MintedKeyAnswer(msgspec.convert({**msgspec.to_builtins(key), "value": value}, MintedKey))


router = Router(
    "/api/governance",
    route_handlers=[list_keys_of_user, mint_key, list_keys, show_key, change_key, rotate_key, delete_key],
    guards=[admit_admin],
    tags=["virtual keys"],
)
