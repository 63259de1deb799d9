"""scim2-tester, an independent reading of the RFCs, against the real daemon (check 1 of the acceptance list)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from scim2_client import BaseSyncSCIMClient
from scim2_tester import Status, check_server

from daemon.demo.responder import Responder
from tests.daemon.installation import Installation, Running

MORE = '[[source]]\nname = "okta"\nkind = "scim-push"\n'


class Wire(BaseSyncSCIMClient):
    """The client of scim2-tester over a network, by the httpx that we have."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__()
        self._http = http

    def request(self, method: str, url: str, **more: Any) -> Any:
        """Send one request below the source's URL."""
        path = httpx.URL(url).path.rpartition("/scim/v2/okta")[2]
        return self._http.request(method, f"{self._http.base_url}/{path.lstrip('/')}", **more)

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return True

    def _parse_json(self, response: Any) -> Any:
        return response.json()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Installation, Running]]:
    """Run a daemon with one directory and one provider that pushes."""
    with Responder() as responder:
        installation = Installation(tmp_path, responder)
        installation.configure(http='port = 0\npublic_url = "https://keys.example.com"', more=MORE)
        with installation.serve() as running:
            running.ready()
            yield installation, running


def test_scim2_tester_finds_nothing_wrong(daemon: tuple[Installation, Running]) -> None:
    """1: every check of scim2-tester succeeds."""
    installation, running = daemon
    with httpx.Client(base_url=f"{running.url}/scim/v2/okta", headers=installation.token("scim", source="okta"), timeout=30) as http:
        results = check_server(Wire(http))
    wrong = [f"{one.title}: {one.reason}" for one in results if one.status != Status.SUCCESS]
    assert wrong == []
    assert len(results) > 100
