"""A small company in a real store, and the app in front of it: what the tests of the API ask."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from api.app import build
from api.audit import AuditLog
from api.auth.fanout import Fanout
from api.auth.tokens import Order, issue_token
from api.context import ApiContext
from api.settings import ApiSettings
from sync.address import normalise
from sync.ids import new_key_id, new_user_id, now_ms
from sync.settings import Secret, SourceSettings
from sync.store import sources
from sync.store.engine import many, open_store
from sync.store.tables import Claim, User, VirtualKey
from sync.vault import Vault, generate_key_line, mint_value
from tests.stores import STORES

SECRET = Secret("newest-secret-of-the-issuer-0123456789abcdef")
OLDER = Secret("older-secret-of-the-issuer-0123456789abcdefg")
SETTINGS = ApiSettings("rosterd", "rosterd", (SECRET, OLDER))


class Company:
    """A store with the source `corp`, users put straight into its tables, and an app that answers for them."""

    def __init__(self, folder: Path, settings: ApiSettings = SETTINGS) -> None:
        self.folder = folder
        self.settings = settings
        self.store = open_store(STORES.settings(folder / "rosterd.db"))
        self.vault = Vault.parse(Secret(generate_key_line() + "\n"))
        self.audit = AuditLog(folder / "audit.jsonl", 86_400)
        self.stopping = asyncio.Event()
        self.fanout = Fanout()
        self.woken = 0
        sources.declare(self.store, [SourceSettings("corp", "ldap", 0)], [])
        self.app = self.build(settings)

    def build(self, settings: ApiSettings) -> Any:
        """Return one more app on the same store, and make it the one that is asked."""
        self.settings = settings
        self.app = build(ApiContext(self.store, self.vault, settings, self.audit, self._wake, self.stopping, "0.1.0", fanout=self.fanout))
        return self.app

    def configure(self, **facts: Any) -> None:
        """Build the app anew with other settings."""
        self.build(replace(self.settings, **facts))

    def close(self) -> None:
        self.audit.close()
        self.store.close()

    def add_user(self, *addresses: str, keys: Sequence[str] = ("default",), **facts: Any) -> str:
        """Add an active user who holds these addresses, the first being primary, with one key of each name."""
        user_id, now = new_user_id(), now_ms()
        row = {
            "id": user_id, "source": "corp", "external_id": f"id-{user_id}", "place": "", "username": addresses[0] if addresses else user_id,
            "name": "Somebody", "email": addresses[0] if addresses else "", "state": "active", "fingerprint": b"", "dropped": [],
            "created_at": now, "updated_at": now, "missing_reads": 0,
        }  # fmt: skip
        with self.store.write() as connection:
            connection.execute(insert(User), {**row, **facts})
        for position, address in enumerate(addresses):
            self.claim(user_id, address, position=position)
        for number, name in enumerate(keys):
            self.add_key(user_id, name, created_at=now + number)
        return user_id

    def claim(self, user_id: str, address: str, *, position: int = 0, held: bool = True) -> None:
        """Let a user's entry list an address, and hold it or not."""
        row = {"matched": normalise(address), "user_id": user_id, "spelt": address, "position": position, "is_primary": position == 0}
        with self.store.write() as connection:
            connection.execute(insert(Claim), {**row, "marked": False, "since": now_ms(), "held": held})

    def add_key(self, user_id: str, name: str, *, value: str | None = None, **facts: Any) -> str:
        """Give a user a key and return its value."""
        key_id, value = facts.pop("id", None) or new_key_id(), value or mint_value()
        row = {"id": key_id, "user_id": user_id, "name": name, "origin": "issued", "enabled": True, "created_at": now_ms(), "created_by": "test"}
        sealed = {"sealed": self.vault.seal(value, key_id, user_id), "digest": self.vault.digest(value)}
        with self.store.write() as connection:
            connection.execute(insert(VirtualKey), {**row, **sealed, **facts})
        return value

    def change(self, table: str, id_: str, **facts: Any) -> None:
        """Change a row in place, as a run or an admin elsewhere would."""
        column = {"token": "jti", "source": "name"}.get(table, "id")
        with self.store.write() as connection:
            sets = ", ".join(f"{name} = :{name}" for name in facts)
            many(connection, f'update "{table}" set {sets} where {column} = :id_', [{**facts, "id_": id_}])

    def change_claims(self, user_id: str, **facts: Any) -> None:
        """Change every claim of a user in place."""
        with self.store.write() as connection:
            sets = ", ".join(f"{name} = :{name}" for name in facts)
            many(connection, f"update claim set {sets} where user_id = :user", [{**facts, "user": user_id}])

    def token(self, role: str = "admin", *, ttl: int = 3600, **facts: Any) -> str:
        """Return a token of rosterd's own issuer."""
        return issue_token(self.store, self.settings, Order(role=role, ttl=ttl, by="test", **facts))[0]

    def client(self, token: str | None = None, peer: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
        """Return a client that calls the app directly, with this bearer."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self.app, client=(peer, 50_000), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost:8321", headers={"accept": "*/*", **headers})

    def ask(self, method: str, path: str, token: str | None = None, *, peer: str = "127.0.0.1", body: Any = None, **headers: str) -> httpx.Response:
        """Send one request and return the answer. Underscores in header names are hyphens."""

        async def send() -> httpx.Response:
            async with self.client(token, peer) as client:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.request(method, path, json=body, headers=named)

        return asyncio.run(send())

    def look_up(self, address: str, token: str | None, **headers: str) -> httpx.Response:
        """Ask for the keys of an address, percent-encoded by the test where it matters."""
        return self.ask("GET", f"/api/users/email/{address}/virtual-keys", token, **headers)

    def records(self) -> list[dict[str, Any]]:
        """Return every audit record so far."""
        assert self.audit.flush()
        return [json.loads(line) for line in self.audit.path.read_text().splitlines()] if self.audit.path.exists() else []

    def _wake(self) -> None:
        self.woken += 1


def send_octets(port: int, request: bytes) -> bytes:
    """Send octets as they are and return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(request)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
        return answer
