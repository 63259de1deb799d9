"""A stock scim2-server in a process of its own: somebody else's reading of RFC 7643 and RFC 7644."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.servers.ports import free_port


class Scim2:
    """Serves users and groups from memory, to whoever shows the bearer token."""

    token = "scim2-token-of-the-tests"

    def __init__(self, announced: Path | None = None) -> None:
        """`announced` = a JSON file with the ServiceProviderConfig to go by; without one every feature but cursors is there."""
        self._announced = ["--service-provider-config", str(announced)] if announced else []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, trust_env=False)

    def __enter__(self) -> Scim2:
        program = str(Path(sys.executable).with_name("scim2-server"))
        command = [program, "--port", str(self.port), "--bearer-token", self.token, *self._announced]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if self._client.get("/ServiceProviderConfig").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("scim2-server does not answer")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def add(self, name: str, /, **facts: Any) -> str:
        """Create a user with one address; return the id."""
        told = {"userName": name, "displayName": name.title(), "active": True, "emails": [{"value": f"{name}@example.com", "primary": True}]}
        return self._create("Users", "User", told | facts)

    def group(self, name: str, *members: str) -> str:
        """Create a group; return the id."""
        return self._create("Groups", "Group", {"displayName": name, "members": [{"value": one} for one in members]})

    def change(self, external_id: str, **values: Any) -> None:
        """Replace attributes of a user."""
        operations = [{"op": "replace", "path": name, "value": value} for name, value in values.items()]
        told = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations}
        self._client.patch(f"/Users/{external_id}", json=told).raise_for_status()

    def regroup(self, group: str, *members: str) -> None:
        """Replace the members of a group."""
        operations = [{"op": "replace", "path": "members", "value": [{"value": one} for one in members]}]
        told = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations}
        self._client.patch(f"/Groups/{group}", json=told).raise_for_status()

    def delete(self, external_id: str) -> None:
        """Delete a user."""
        self._client.delete(f"/Users/{external_id}").raise_for_status()

    def _create(self, path: str, kind: str, told: dict[str, Any]) -> str:
        answer = self._client.post(f"/{path}", json={"schemas": [f"urn:ietf:params:scim:schemas:core:2.0:{kind}"], **told})
        answer.raise_for_status()
        return str(answer.json()["id"])
