"""Tokens of rosterd's own issuer: issued (shown once), listed with their last use, revoked."""

from __future__ import annotations

import msgspec
from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody

from api.auth.admitting import admit_admin, caller_of
from api.auth.tokens import issue_token
from api.desk import Call, context_of
from api.paths import decode_segment
from api.shapes import IssuedToken, IssuedTokenAnswer, TokenAnswer, TokenRequest, TokensAnswer
from api.values import parse_duration, parse_email
from sync.errors import Conflict, NotFound
from sync.store import lookup, people, sources, tokens
from sync.store.engine import Store


@post("/", sync_to_thread=True, status_code=200, operation_id="issue_token")
def issue(request: Call, data: JSONBody[TokenRequest]) -> IssuedTokenAnswer:
    """Issue a token. Its value is in this answer and nowhere else."""
    context = context_of(request)
    user_id = None if data.user is None else find_bearer(context.store, data.user)
    if data.source is not None:
        sources.get_source(context.store, data.source)
    value, view = issue_token(
        context.store, context.settings, role=data.role, ttl=parse_duration(data.ttl, "ttl"), by=caller_of(request).name, user_id=user_id,
        label=data.label, domain=data.domain, cidr=data.cidr, max_users=data.max_users, source=data.source,
    )  # fmt: skip
    request.scope["state"]["target"] = {"jti": view.jti, "role": view.role, "user_id": user_id}
    return IssuedTokenAnswer(msgspec.convert({**msgspec.to_builtins(view), "value": value}, IssuedToken))


@get("/", sync_to_thread=True, operation_id="list_tokens")
def list_tokens(request: Call) -> TokensAnswer:
    """Every token's record, newest first."""
    return TokensAnswer(tokens.list_tokens(context_of(request).store))


@delete("/{jti:str}", sync_to_thread=True, status_code=200, operation_id="revoke_token")
def revoke_token(request: Call, jti: FromPath[str]) -> TokenAnswer:
    """Revoke a token: it is refused from the next request on."""
    return TokenAnswer(tokens.revoke(context_of(request).store, decode_segment(jti, "jti"), caller_of(request).name))


def find_bearer(store: Store, user: str) -> str:
    """Return the id of the user that a device token shall stand for, named by id or by an address that they hold, not merely list."""
    if "@" not in user:
        return people.get_user(store, user).id
    found = lookup.by_address(store, parse_email(user, "user"), jti=None)
    if found.outcome == "address_contested":
        raise Conflict("address_contested", "Several entries list this address and none holds it.", "Settle it first, or name the user's id.")
    if found.outcome != "found":
        raise NotFound("user_not_found", "No user holds this address.")
    return found.user_id


router = Router("/api/tokens", route_handlers=[issue, list_tokens, revoke_token], guards=[admit_admin], tags=["tokens"])
