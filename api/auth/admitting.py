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
from api.auth.keyvalues import is_or_was_key
from api.auth.own import NotOurs
from api.auth.passes import Pass
from api.clients import Headers
from api.desk import Desk
from api.errors import Refusal, not_permitted, unauthenticated
from sync.store import lookup, tokens

Connection = ASGIConnection[Any, Any, Any, Any]
Admission = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


class Caller(msgspec.Struct, frozen=True):
    """Who does something: the role of a token, and its jti; of another issuer's, that issuer and whom it speaks of."""

    role: str
    id: str

    @property
    def name(self) -> str:
        """How the store remembers who did it."""
        return f"{self.role}:{self.id}"


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
        said = await _identify(desk, read_credential(connection.scope["headers"], desk.assertion(connection.scope)))
    except Refusal as refusal:
        raise desk.slow_down(refusal, desk.client(connection.scope)) from None
    connection.scope["state"]["caller"] = Caller(said.role, said.caller)
    if said.jti is not None:
        desk.uses.add(said.jti)
    if said.role not in roles:
        raise not_permitted()


async def admit_source(desk: Desk, headers: Headers, source: str) -> Caller:
    """Return who pushes to a source: a token of the role scim for this very one. Raises Refusal.

    Whether there is another source is not told: its name is as unknown here as one that nobody has.
    """
    said = await _identify(desk, read_credential(headers))
    if said.role != "scim" or said.jti is None:
        raise not_permitted()
    desk.uses.add(said.jti)
    row = await to_thread.run_sync(tokens.usable, desk.context.store, said.jti)
    if row is None:
        raise unauthenticated()
    if row.source != source:
        raise Refusal(404, "source_not_found", "No provider pushes to a source of this name.")
    return Caller(said.role, said.caller)


async def _identify(desk: Desk, credential: Credential) -> Pass:
    """Return what the caller's token says. Whoever stands for one user is good elsewhere, and told that this does not reach here."""
    if credential.is_asserted:
        raise not_permitted()
    try:
        said = desk.own.read(credential.text) if not credential.is_key else None
    except NotOurs:
        said = desk.foreign.read(credential.text)
    if said is None or said.jti is None:
        await to_thread.run_sync(_check_no_key, desk, credential.text, said)
    if said is None or (said.jti is not None and not await to_thread.run_sync(_stands, desk, said.jti, said.role)):
        raise unauthenticated()
    return said


def _check_no_key(desk: Desk, value: str, said: Pass | None) -> None:
    """Refuse what is, was or stands for a virtual key: a value that is also a token of another issuer is a key first."""
    digests = desk.context.vault.digests(value)
    found = lookup.by_key(desk.context.store, digests, asked=None)
    if found is None and is_or_was_key(desk, value):
        raise unauthenticated()
    if found is None and said is not None and said.key_id is not None:
        found = lookup.by_key_id(desk.context.store, said.key_id, issued_at=said.issued_at, asked=None)
        if found is None:
            raise unauthenticated()
    if found is not None:
        raise not_permitted() if found.key_active else unauthenticated()


def _stands(desk: Desk, jti: str, role: str) -> bool:
    """Tell whether the store knows the token as what it says it is: whoever learns a secret cannot promote a token."""
    row = tokens.usable(desk.context.store, jti)
    return row is not None and row.role == role
