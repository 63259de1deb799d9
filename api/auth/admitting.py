"""Who may use the routes of administration: a token's role, read from the store at each request."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from anyio import to_thread
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.auth.bearers import Credential, read_credential
from api.auth.passes import NotOurs, Pass
from api.desk import Desk
from api.errors import Refusal, not_permitted, unauthenticated
from sync.store import lookup, tokens

Connection = ASGIConnection[Any, Any, Any, Any]
Admission = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


class Caller(msgspec.Struct, frozen=True):
    """Who does something: the role and id of a token."""

    role: str
    jti: str

    @property
    def name(self) -> str:
        """How the store remembers who did it."""
        return f"{self.role}:{self.jti}"


def caller_of(connection: Connection) -> Caller:
    """Return who was admitted."""
    caller: Caller = connection.scope["state"]["caller"]
    return caller


async def admit_admin(connection: Connection, _: BaseRouteHandler) -> None:
    """Let administrators pass. Raises Refusal."""
    await _admit(connection, frozenset({"admin"}))


async def admit_operator(connection: Connection, _: BaseRouteHandler) -> None:
    """Let operators and administrators pass. Raises Refusal."""
    await _admit(connection, frozenset({"admin", "operator"}))


async def admit_local(connection: Connection, _: BaseRouteHandler) -> None:
    """Let this machine pass without a token, and administrators from anywhere. Raises Refusal."""
    desk: Desk = connection.app.state.desk
    peer = connection.scope.get("client")
    if not desk.clients.is_local(peer[0] if peer else "", connection.scope["headers"]):
        await _admit(connection, frozenset({"admin"}))


async def admit_monitoring(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let pass who may on this machine, and whoever brings the token of [http] metrics_token_file. Raises Refusal."""
    desk: Desk = connection.app.state.desk
    token = desk.context.settings.metrics_token
    if token is not None:
        for name, value in connection.scope["headers"]:
            if name == b"authorization" and hmac.compare_digest(value, b"Bearer " + token.reveal().encode()):
                return
    await admit_local(connection, handler)


async def _admit(connection: Connection, roles: frozenset[str]) -> None:
    desk: Desk = connection.app.state.desk
    try:
        caller = await _identify(desk, read_credential(connection.scope["headers"]))
    except Refusal as refusal:
        raise desk.slow_down(refusal, desk.client(connection.scope)) from None
    connection.scope["state"]["caller"] = caller
    desk.uses.add(caller.jti)
    if caller.role not in roles:
        raise not_permitted()


async def _identify(desk: Desk, credential: Credential) -> Caller:
    """Return whose token it is. A virtual key that is good elsewhere is told that it does not reach here."""
    store = desk.context.store
    try:
        said = None if credential.is_key else desk.passes.read(credential.text)
    except NotOurs:
        credential = Credential(credential.text, True)
        said = None
    if credential.is_key:
        digests = desk.context.vault.digests(credential.text)
        found = await to_thread.run_sync(lambda: lookup.by_key(store, digests, asked=None))
        if found is not None and found.key_active:
            raise not_permitted()
    if said is None or not await to_thread.run_sync(_stands, desk, said):
        raise unauthenticated()
    return Caller(said.role, said.jti)


def _stands(desk: Desk, said: Pass) -> bool:
    """Tell whether the store knows the token as what it says it is: whoever learns a secret cannot promote a token."""
    row = tokens.usable(desk.context.store, said.jti)
    return row is not None and row.role == said.role
