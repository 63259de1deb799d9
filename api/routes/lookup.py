"""The lookup: the virtual keys of one user. Runs on the event loop itself, for the store answers in microseconds."""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp, Scope

from api.auth.asking import Asking, Trail
from api.auth.bearers import read_credential
from api.desk import Desk, event_id_of
from api.errors import Refusal, refuse
from api.negotiation import has_already, wants_text
from api.paths import decode_segment
from api.reply import JSON, TEXT, Reply, error_reply
from api.shapes import KeyValue, LookupAnswer
from sync.store.lookup import Found
from sync.store.views import rfc3339


@get(
    "/api/users/email/{email:str}/virtual-keys",
    operation_id="look_up_by_email",
    status_code=200,
    tags=["lookup"],
)
async def look_up_by_email(scope: Scope, email: FromPath[str]) -> ASGIApp:
    """Answer for one address."""
    return answer(scope["litestar_app"].state.desk, scope, email)


@get(
    "/api/governance/users/email/{email:str}/virtual-keys",
    operation_id="look_up_by_email_in_governance",
    status_code=200,
    tags=["lookup"],
)
async def look_up_in_governance(scope: Scope, email: FromPath[str]) -> ASGIApp:
    """Answer for one address."""
    return answer(scope["litestar_app"].state.desk, scope, email)


@get(
    "/api/users/me/virtual-keys",
    operation_id="look_up_me",
    status_code=200,
    tags=["lookup"],
)
async def look_up_me(scope: Scope) -> ASGIApp:
    """Answer for the bearer's own user."""
    return answer(scope["litestar_app"].state.desk, scope, None)


ROUTES = (look_up_by_email, look_up_in_governance, look_up_me)


class Asked(NamedTuple):
    """Which lookup a path is: the segment that is an address, still percent-encoded, or None for the bearer's own user."""

    segment: str | None


def which_lookup(path: str) -> Asked | None:
    """Return the lookup that a raw path is, None when it is none or is spelt in a way that Litestar must judge.

    The front asks this first: finding a route and its parameters costs Litestar a fifth of a whole lookup.
    """
    match = _PATHS.fullmatch(path)
    return Asked(match[match.lastindex] if match.lastindex else None) if match else None


_PATHS = re.compile("|".join(re.sub(r"\{\w+:str\}", "([^/]+)", path) for route in ROUTES for path in route.paths))


def answer(desk: Desk, scope: Any, segment: str | None) -> Reply:
    """Answer, and leave one audit record however it ends."""
    event_id = event_id_of(scope)
    trail = Trail(desk.client(scope))
    outcome, began = "", time.perf_counter()
    try:
        reply, outcome = _look_up(desk, scope["headers"], desk.assertion(scope), segment, trail)
        return reply
    except Exception as error:
        refusal = desk.slow_down(refuse(error, event_id), trail.client)
        outcome = refusal.code
        return error_reply(refusal, event_id)
    finally:
        _record(desk, event_id, trail, outcome)
        desk.context.metrics.count_lookup(outcome, time.perf_counter() - began)


def _look_up(desk: Desk, headers: Any, assertion: bytes | None, segment: str | None, trail: Trail) -> tuple[Reply, str]:
    desk.check_confirmed()  # first of all: not even a bearer is to be believed before
    credential = read_credential(headers, assertion)
    try:
        address = None if segment is None else decode_segment(segment, "email")
    except Refusal:
        address = ""  # no address either; but first the caller is identified
    found = Asking(desk, address, trail).find(credential)
    own = trail.key_id if desk.context.settings.key_sees == "own" else None
    return _reply(desk, headers, found, own)


def _reply(desk: Desk, headers: Any, found: Found, own: str | None) -> tuple[Reply, str]:
    """Return the answer and its outcome for the audit. `own` = the only key to show."""
    vault = desk.context.vault
    keys = [
        KeyValue(key.id, key.name, vault.open(key.sealed, key.id, found.user_id), key.is_active) for key in found.keys if own is None or key.id == own
    ]
    if wants_text(headers):
        kind, body = TEXT, next((f"{key.value}\n".encode() for key in keys if key.is_active), b"")
    else:
        kind, body = JSON, msgspec.json.encode(LookupAnswer(found.user_id, found.email, keys))
    etag = b'"%s"' % vault.tag("etag", kind, body)[:32].encode()
    sent = [(b"cache-control", b"no-store"), (b"vary", b"Accept"), (b"etag", etag)]
    if found.synced_at is not None:
        sent.append((b"x-roster-synced-at", (rfc3339(found.synced_at) or "").encode()))
    if has_already(headers, etag):
        return Reply(304, sent), "not_modified"
    if not body:
        return Reply(204, sent), "no_active_key"
    return Reply(200, sent, body, kind), "found"


def _record(desk: Desk, event_id: str, trail: Trail, outcome: str) -> None:
    asked = desk.context.vault.tag("asked", trail.matched.encode()) if trail.matched is not None else None
    stands_for = {"key_id": trail.key_id} if trail.role == "virtual-key" else {}
    desk.context.audit.record(
        kind="lookup", event_id=event_id, role=trail.role, caller=trail.caller, client=trail.client, asked=asked, user_id=trail.user_id,
        outcome=outcome, **stands_for,
    )  # fmt: skip
