"""Keys in a running daemon: its encryption key changed under it, a person disabled, and what the audit file is told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from daemon.demo.responder import Responder
from sync.vault import generate_key_line
from tests.daemon.installation import ROOT, Installation, Running, wait_for
from tests.servers.idp import Idp

ADA = "ada.okafor@example.com"
LOOKUP = f"/api/users/email/{ADA}/virtual-keys"
ME = "/api/users/me/virtual-keys"


def rosterd(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daemon", "--config", str(installation.config), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def reload(daemon: Running) -> None:
    daemon.tell(signal.SIGHUP)
    daemon.hear("RELOADING=1")
    daemon.hear("READY=1")


def sync(installation: Installation, daemon: Running) -> None:
    run = daemon.post("/api/sync/runs", installation.token("admin"), {"source": "corp", "mode": "full"}).json()["run"]["id"]
    wait_for(lambda: next((one for one in installation.runs() if one.id == run and one.state == "succeeded"), None), "the sync")


def audit(installation: Installation) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (installation.folder / "audit.jsonl").read_text().splitlines()]


def test_the_encryption_key_is_changed_under_a_running_daemon(installation: Installation) -> None:
    """Rewrap waits until the daemon knows the new key; before, during and after every answer is the same; then the old line can go."""
    keys = installation.folder / "vault.keys"
    old, new = keys.read_text(), generate_key_line() + "\n"
    with installation.serve().ready() as daemon:
        installation.ended_runs(1)
        lookup = installation.token("lookup")
        before = daemon.get(LOOKUP, lookup).json()
        value = before["virtual_keys"][0]["value"]
        installation.secret("vault.keys", new + old)
        early = rosterd(installation, "store", "rewrap")
        assert early.returncode == 6 and "does not know the newest encryption key" in early.stderr
        reload(daemon)
        done = rosterd(installation, "store", "rewrap")
        assert (done.returncode, "29 were not before" in done.stdout or "30 were not before" in done.stdout) == (0, True), done
        assert daemon.get(LOOKUP, lookup).json() == before
        installation.secret("vault.keys", new)
        reload(daemon)
        assert daemon.get(LOOKUP, lookup).json() == before
        assert daemon.get(ME, {"x-bf-vk": value}).status_code == 200
        assert daemon.end() == 0
    stored = b"".join(file.read_bytes() for file in installation.folder.glob("rosterd.db*"))
    assert value.encode() not in stored


def test_a_person_who_is_disabled_is_refused_in_the_next_request(installation: Installation, responder: Responder) -> None:
    """After the sync that says so the lookup and the device token show inactive keys; the key itself, and a gateway's JWT for it, are nobody's."""
    gateway = Idp()
    (installation.folder / "gateway.jwks").write_text(gateway.jwks)
    installation.configure(
        more=f'\n[[auth.issuer]]\nissuer = "{gateway.issuer}"\naudience = "rosterd"\njwks_file = "gateway.jwks"\nmay = ["virtual-key"]\n'
    )
    with installation.serve().ready() as daemon:
        installation.ended_runs(1)
        lookup = installation.token("lookup")
        found = daemon.get(LOOKUP, lookup).json()
        (hers,) = found["virtual_keys"]
        key, device = {"x-api-key": hers["value"]}, installation.token("device", user_id=found["user_id"])
        signed = {"Authorization": f"Bearer {gateway.token(vk=hers['id'])}"}
        assert [daemon.get(ME, bearer).json() for bearer in (key, signed, device)] == [found, found, found]
        dn = next(entry.dn for entry in responder.tree.under(responder.people) if ADA in entry.attributes.get("mail", ()))
        responder.tree.modify(dn, pwdAccountLockedTime=["000001010000Z"])
        sync(installation, daemon)
        for bearer, path in ((lookup, LOOKUP), (device, ME)):
            assert [key["is_active"] for key in daemon.get(path, bearer).json()["virtual_keys"]] == [False]
        assert [daemon.get(ME, bearer).status_code for bearer in (key, signed)] == [401, 401]


def test_the_audit_file_is_told_what_anybody_does_to_keys(installation: Installation) -> None:
    """Syncs, commands and the API alike, each with who it was, while the daemon runs; nothing is told twice, and no value ever."""
    with installation.serve().ready() as daemon:
        installation.ended_runs(1)
        admin = installation.token("admin")
        key = daemon.get("/api/governance/virtual-keys?search=ada.okafor", admin).json()["virtual_keys"][0]["id"]
        value = daemon.post(f"/api/governance/virtual-keys/{key}/rotate", admin, {"overlap": "1h"}).json()["virtual_key"]["value"]
        assert rosterd(installation, "keys", "disable", key).returncode == 0
        wait_for(lambda: any(one.get("action") == "key.disabled" for one in audit(installation)), "the audit record")
        assert daemon.end() == 0
    changes = [one for one in audit(installation) if one["kind"] == "change"]
    mine = [(one["action"], one["by"].partition(":")[0]) for one in changes if one.get("key_id") == key]
    assert mine == [("key.issued", "sync"), ("key.rotated", "admin"), ("key.disabled", "cli")]
    assert len({one["event"] for one in changes}) == len(changes)
    assert value not in (installation.folder / "audit.jsonl").read_text()
