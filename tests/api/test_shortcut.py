"""Lookups are answered before Litestar looks for a route; nobody can tell, whatever the path."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import api.front
from api.routes.lookup import which_lookup
from tests.api.world import Company

PARTS = [
    "api", "users", "governance", "email", "me", "virtual-keys", "ann@example.com", "ANN%40example.com", "a%2Fb@example.com", "%zz", "%00", "%0A",
    "{email}", "{email:str}", "..", ".", "", "Virtual-Keys", "virtual-keys%2F", "virtual-keys\n", "jörg@example.com", "nobody",
]  # fmt: skip
LIKE_LOOKUPS = [
    ["api", "users", "email", "ann@example.com", "virtual-keys"],
    ["api", "governance", "users", "email", "ann@example.com", "virtual-keys"],
    ["api", "users", "me", "virtual-keys"],
]
METHODS = ["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "PUT"]


def make_path(chance: random.Random) -> str:
    """Return a path near one of a lookup: parts replaced, added, left out, slashes at the end."""
    parts = list(chance.choice(LIKE_LOOKUPS))
    for _ in range(chance.choice((0, 1, 1, 2))):
        place = chance.randrange(len(parts))
        parts[place : place + chance.randint(0, 1)] = chance.sample(PARTS, chance.choice((0, 1, 1, 2)))
        parts = parts or [""]
    return "/" + "/".join(parts) + chance.choice(("", "", "", "/", "//"))


async def ask(app: Any, method: str, path: str, token: str) -> dict[str, Any]:
    """Return status, headers and body of one request, without what differs each time."""
    heads = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path, "query_string": b"",
        "raw_path": path.encode(), "root_path": "", "headers": heads, "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8321), "state": {},
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = dict(sent[0]["headers"])
    event_id = headers.pop(b"x-request-id")
    body = b"".join(message.get("body", b"") for message in sent[1:]).replace(event_id, b"ID")
    return {"status": sent[0]["status"], "headers": headers, "body": body}


def test_the_shortcut_answers_as_the_routes_do(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand paths near those of lookups: the same status, headers, body and audit record with the shortcut and without it."""
    company.add_user("ann@example.com", "a/b@example.com")
    token, chance = company.token("lookup"), random.Random(7)
    asked = [(chance.choice(METHODS), make_path(chance)) for _ in range(1000)]
    taken = [path for method, path in asked if method in ("GET", "HEAD") and which_lookup(path)]
    assert len(taken) > 100, "the shortcut was tried"

    async def ask_all() -> list[dict[str, Any]]:
        return [await ask(company.app, method, path, token) for method, path in asked]

    short = asyncio.run(ask_all())
    records = company.records()
    monkeypatch.setattr(api.front, "which_lookup", lambda path: None)
    long = asyncio.run(ask_all())
    for request, one, other in zip(asked, short, long, strict=True):
        assert one == other, request
    kept = [{name: value for name, value in record.items() if name not in ("time", "event_id")} for record in company.records()]
    assert kept[: len(records)] == kept[len(records) :]
    assert {answer["status"] for answer in short} >= {200, 400, 403, 404, 405}


@pytest.mark.parametrize("path", ["/api/users/email/a%2Fb@example.com/virtual-keys", "/api/governance/users/email/x/virtual-keys"])
def test_the_shortcut_is_taken(company: Company, path: str) -> None:
    """The paths that device management asks take it, with the segment as it was sent; what lies beside them does not."""
    asked = which_lookup(path)
    assert asked is not None
    assert asked.segment == path.split("/")[-2]
    assert which_lookup("/api/users/me/virtual-keys") == (None,)
    assert which_lookup(path + "/") is None
    assert which_lookup(path.replace("email", "email/")) is None
