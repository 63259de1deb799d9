"""The real daemon against its own description: whatever Schemathesis sends is answered as described."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

from daemon.demo.responder import Responder
from tests.daemon.installation import ROOT, Installation

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = int(os.environ.get("ROSTERD_SCHEMA_EXAMPLES", "20"))
SEED = os.environ.get("ROSTERD_SCHEMA_SEED", "20260131")


def jti_of(bearer: str) -> str:
    """Return the id of a token."""
    return str(json.loads(urlsafe_b64decode(bearer.split(".")[1] + "=="))["jti"])


def test_whatever_is_sent_is_answered_as_described(tmp_path: Path) -> None:
    """Every check of Schemathesis on every operation of the live document, as an administrator: no failure."""
    with Responder() as responder:
        installation = Installation(tmp_path, responder)
        installation.configure(http='port = 0\ntrusted_proxies = ["127.0.0.1"]')
        with installation.serve() as daemon:
            daemon.ready()
            installation.ended_runs(1)
            bearer = installation.token("admin")["Authorization"]
            command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run", f"{daemon.url}/openapi.json"]
            command += ["--max-examples", str(EXAMPLES), "--seed", SEED, "--continue-on-failure"]
            users = daemon.get("/api/users?search=ada.okafor", {"Authorization": bearer}).json()["users"]
            device = installation.token("device", user_id=users[0]["id"])["Authorization"]
            tokens = {"ROSTERD_BEARER": bearer, "ROSTERD_JTI": jti_of(bearer), "ROSTERD_DEVICE": device}
            environment = os.environ | tokens | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
            (tmp_path / "schemathesis.log").write_text(done.stdout + done.stderr)
            assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
            operations = sum(len(methods) for methods in daemon.get("/openapi.json", {"Authorization": bearer}).json()["paths"].values())
            assert f"Tested: {operations - 1}\n" in done.stdout, "all but the document itself, which it has read already"
            assert daemon.end() == 0
            assert "unexpected error" not in daemon.log
