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
FALSE = [{"op": "Replace", "path": "active", "value": value} for value in ("False", "false", False)]
FALSE += [{"op": "replace", "value": {"active": value}} for value in ("False", False)]


def test_what_is_pushed_is_what_the_next_lookup_answers(tmp_path: Path) -> None:
    """A token, a POST, a lookup with a key, a PATCH to inactive, a lookup without one; the run of that minute; and a run over everything, in a
    child, when the daemon starts and when its configuration is read again (6, 8, 15 and 16 of the acceptance list)."""
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

            def keys(address: str = "ann@corp.example") -> list[Any]:
                answer = running.get(f"/api/users/email/{address}/virtual-keys", admin)
                return [key["is_active"] for key in answer.json()["virtual_keys"]]

            def patch(user_id: str, operation: Any) -> Any:
                said = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}
                answer = httpx.patch(f"{running.url}/scim/v2/okta/Users/{user_id}", json=said, headers=scim, timeout=PATIENCE)
                assert answer.status_code == 200, answer.text
                return answer.json()

            made = running.post("/scim/v2/okta/Users", scim, USER)
            assert made.status_code == 201, made.text
            assert keys() == [True]
            ann = made.json()["id"]
            for operation in FALSE:
                assert (patch(ann, operation)["active"], keys()) == (False, [False]), operation
                assert (patch(ann, {"op": "replace", "path": "active", "value": True})["active"], keys()) == (True, [True])
            bob = running.post("/scim/v2/okta/Users", scim, {"schemas": USER["schemas"], "userName": "bob"}).json()["id"]
            patch(bob, {"op": "Add", "path": 'emails[type eq "work"].value', "value": "Bob@Corp.EXAMPLE"})
            assert keys("bob@corp.example") == keys("BOB@corp.example") == [True]
            assert httpx.delete(f"{running.url}/scim/v2/okta/Users/{ann}", headers=scim, timeout=PATIENCE).status_code == 204
            assert keys() == [False]
            again = running.post("/scim/v2/okta/Users", scim, USER)
            assert (again.status_code, again.json()["id"] != ann, keys()) == (201, True, [False])
            run = next(run for run in installation.runs() if run.counts["missing"])
            assert (run.trigger, run.mode) == ("push", "push")
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
