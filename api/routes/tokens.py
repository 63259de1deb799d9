"""Tokens of rosterd's own issuer: issued (shown once), listed with their last use, revoked."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from api.auth.admitting import admit_admin, caller_of
from api.auth.tokens import Order, find_bearer, issue_token
from api.desk import Call, context_of
from api.paths import decode_segment
from api.shapes import IssuedToken, IssuedTokenAnswer, TokenAnswer, TokenRequest, TokensAnswer
from api.values import parse_duration
from sync.store import sources, tokens
from sync.store.tokens import MOST_PER_PAGE, Wanted

User = Annotated[str | None, QueryParameter(max_length=254)]
Role = Annotated[Literal["admin", "operator", "lookup", "device", "scim"] | None, QueryParameter()]
Active = Annotated[bool | None, QueryParameter()]
Limit = Annotated[int, QueryParameter(ge=1, le=MOST_PER_PAGE)]
Cursor = Annotated[str | None, QueryParameter(max_length=200)]


@post("/", sync_to_thread=True, status_code=200, operation_id="issue_token")
def issue(request: Call, data: JSONBody[TokenRequest]) -> IssuedTokenAnswer:
    """Issue a token. Its value is in this answer and nowhere else."""
    context = context_of(request)
    user_id = None if data.user is None else find_bearer(context.store, data.user)
    if data.source is not None:
        sources.get_source(context.store, data.source)
    order = Order(
        role=data.role, ttl=parse_duration(data.ttl, "ttl"), by=caller_of(request).name, user_id=user_id, label=data.label,
        domain=data.domain, cidr=data.cidr, max_users=data.max_users, source=data.source,
    )  # fmt: skip
    value, view = issue_token(context.store, context.settings, order)
    request.scope["state"]["target"] = {"jti": view.jti, "role": view.role, "user_id": user_id}
    return IssuedTokenAnswer(msgspec.convert({**msgspec.to_builtins(view), "value": value}, IssuedToken))


@get("/", sync_to_thread=True, operation_id="list_tokens")
def list_tokens(
    request: Call, user: User = None, role: Role = None, active: Active = None, limit: Limit = 100, cursor: Cursor = None
) -> TokensAnswer:  # fmt: skip
    """Tokens' records, newest first: of one `user` (id or address), of one `role`, only those that are `active` (or, with false, are not)."""
    store = context_of(request).store
    wanted = Wanted(None if user is None else find_bearer(store, user), role, active)
    return TokensAnswer(*tokens.page_tokens(store, wanted, limit=limit, cursor=cursor))


@delete("/{jti:str}", sync_to_thread=True, status_code=200, operation_id="revoke_token")
def revoke_token(request: Call, jti: FromPath[str]) -> TokenAnswer:
    """Revoke a token: it is refused from the next request on."""
    return TokenAnswer(tokens.revoke(context_of(request).store, decode_segment(jti, "jti"), caller_of(request).name))


router = Router("/api/tokens", route_handlers=[issue, list_tokens, revoke_token], guards=[admit_admin], tags=["tokens"])
