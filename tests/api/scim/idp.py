"""An identity provider that pushes: a rosterd with two sources to push to, served as the daemon serves it, and a client with a token for each."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection

from api.app import build
from api.context import ApiContext
from api.settings import ApiSettings
from sync.settings import SourceSettings
from sync.store import sources
from tests.api.conftest import served
from tests.api.world import SECRET, Company

PUBLIC = "https://keys.example.com"
SETTINGS = ApiSettings("rosterd", "rosterd", (SECRET,), public_url=PUBLIC, pushed=("okta", "entra"))
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


class Pushed(Company):
    """A company whose sources `okta` and `entra` are pushed to. `applied` collects (source, user ids) of every commit; `fails` is raised instead."""

    def __init__(self, folder: Path) -> None:
        self.applied: list[tuple[str, tuple[str, ...]]] = []
        self.fails: Exception | None = None
        super().__init__(folder, SETTINGS)
        sources.declare(self.store, [SourceSettings(name, "scim-push", rank) for rank, name in enumerate(SETTINGS.pushed)], [])

    def build(self, settings: ApiSettings) -> Any:
        """Return the app, whose commits are written down."""
        self.settings = settings
        context = ApiContext(self.store, self.vault, settings, self.audit, self._wake, self.stopping, "0.1.0", applied=self._note)
        self.app = build(context)
        return self.app

    def _note(self, connection: Connection, source: str, user_ids: Sequence[str]) -> None:
        if self.fails is not None:
            raise self.fails
        self.applied.append((source, tuple(user_ids)))


class Idp:
    """The provider of one source: requests as it sends them."""

    def __init__(self, world: Pushed, port: int, source: str) -> None:
        self.world, self.port, self.source = world, port, source
        self.token = world.token("scim", source=source)
        self.url = f"http://localhost:{port}/scim/v2/{source}"
        self.http = httpx.Client(headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"}, timeout=60)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send one request; a body that is no octets is sent as JSON. Whatever comes back speaks SCIM."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.http.request(method, self.url + path, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert len(answer.headers["x-request-id"]) == 32
        if answer.content:
            assert answer.headers["content-type"] == "application/scim+json"
        if answer.status_code >= 400:
            assert answer.json()["schemas"] == [ERROR]
            assert answer.json()["status"] == str(answer.status_code)
        return answer

    def get(self, path: str) -> Any:
        """Return what a request that must succeed answers."""
        answer = self.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def find(self, what: str, asked: str, **more: Any) -> Any:
        """Return the list that a filter leads to."""
        answer = self.http.get(f"{self.url}/{what}", params={"filter": asked, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def user(self, name: str = "", /, **more: Any) -> Any:
        """Create a user, of a new name unless one is given."""
        answer = self.send("POST", "/Users", {"schemas": [USER], "userName": name or f"u-{uuid.uuid4().hex[:12]}@example.com", **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def group(self, *members: str, **more: Any) -> Any:
        """Create a group with these members."""
        said = {"schemas": [GROUP], "displayName": f"g-{uuid.uuid4().hex[:12]}", "members": [{"value": one} for one in members], **more}
        answer = self.send("POST", "/Groups", said)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def patch(self, path: str, *operations: Any, query: str = "", **headers: str) -> httpx.Response:
        """Send operations."""
        return self.send("PATCH", path + query, {"schemas": [PATCH], "Operations": list(operations)}, **headers)

    def members(self, group: Any) -> list[str]:
        """Return the ids in a group, sorted."""
        return sorted(one["value"] for one in self.get(f"/Groups/{group['id']}").get("members", []))


def op(name: str, path: str | None = None, value: Any = ...) -> dict[str, Any]:
    """Return one operation of a PATCH."""
    said: dict[str, Any] = {"op": name}
    if path is not None:
        said["path"] = path
    if value is not ...:
        said["value"] = value
    return said


def running(folder: Path) -> Iterator[tuple[Pushed, int]]:
    """Serve a pushed company on a free port; no log of it may hold what was sent."""
    world = Pushed(folder)
    logging.getLogger("api").setLevel(logging.DEBUG)
    try:
        for port in served(world):
            yield world, port
    finally:
        world.close()
