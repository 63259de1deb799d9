"""The daemon and a provider that pushes: what it is sent is what the next lookup answers."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.audit import AuditLog
from daemon.demo.responder import Responder
from daemon.relay import relay
from tests.daemon.installation import PATIENCE, Installation
from tests.sync.provider import Provider
from tests.sync.world import World

OKTA = '\n[[source]]\nname = "okta"\nkind = "scim-push"\n'
USER = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "emails": [{"value": "ann@corp.example", "type": "work"}]}
FALSE = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "Replace", "path": "active", "value": "False"}],
}


def test_what_is_pushed_is_what_the_next_lookup_answers(tmp_path: Path) -> None:
    """A token, a POST, a lookup with a key, a PATCH to inactive, a lookup without one; the run of that minute; and a run over everything, in a
    child, when the daemon starts and when its configuration is read again."""
    with Responder() as responder:
        installation = Installation(tmp_path, responder)
        installation.configure(http='port = 0\npublic_url = "https://keys.example.com"', sources=(), more=OKTA)
        text = installation.config.read_text().replace("sources = []\n", "")
        installation.config.write_text(text)
        with installation.serve() as running:
            running.ready()
            [first] = installation.ended_runs(1)
            assert (first.source, first.mode, first.state, first.mode_reason) == ("okta", "full", "succeeded", "first read")
            scim = installation.token("scim", source="okta") | {"Content-Type": "application/scim+json"}
            admin = installation.token("admin")

            def keys() -> list[Any]:
                answer = running.get("/api/users/email/ann@corp.example/virtual-keys", admin)
                return [key["is_active"] for key in answer.json()["virtual_keys"]]

            made = running.post("/scim/v2/okta/Users", scim, USER)
            assert made.status_code == 201, made.text
            assert keys() == [True]
            patched = httpx.patch(f"{running.url}/scim/v2/okta/Users/{made.json()['id']}", json=FALSE, headers=scim, timeout=PATIENCE)
            assert patched.status_code == 200, patched.text
            assert keys() == [False]
            run = installation.runs()[0]
            assert (run.trigger, run.mode, run.counts["added"], run.counts["disabled"]) == ("push", "push", 1, 1)
            running.tell(signal.SIGHUP)
            assert installation.ended_runs(3)[0].mode == "incremental"


def test_a_push_that_is_withheld_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No child process ends with a push, so the daemon says itself that a human is asked, and tells the audit file."""
    world = World(tmp_path)
    world.settings.pop("corp")
    okta = Provider(world)
    ids = [okta.post(name, f"{name}@corp.example") for name in ("ann", "bob", "cy")]
    world.clock.forward(days=2)
    okta.guard(max_removed=0, max_removed_percent=0)
    for one in ids:
        okta.delete(one)
    audit = AuditLog(tmp_path / "audit.jsonl", 86_400)
    relay(world.store, audit)
    audit.close()
    assert [record.__dict__["source"] for record in caplog.records if record.__dict__.get("event") == "run.held"] == ["okta"]
    assert (tmp_path / "audit.jsonl").read_text().count('"run.held"') == 1
    world.store.close()
