"""A day of a real daemon, with everything that goes wrong on such a day; then nothing that it wrote anywhere holds any of its secrets."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from daemon.demo.responder import Responder
from tests.daemon.installation import Installation, Running, children_of, wait_for
from tests.servers.receiver import Receiver

ADA = "ada.okafor@example.com"
SECRET_FILES = {"config.toml", "ldap.password", "jwt.secret", "vault.keys", "webhook.secret", "webhook.url", "metrics.token", "sitecustomize.py"}
LOUD = """
import logging
usual = logging.Logger.setLevel
logging.Logger.setLevel = lambda self, level: usual(self, logging.DEBUG if level == logging.INFO else level)
"""
"""Whoever logs by the level of the daemon says everything."""


class Day:
    """What is done, and which secrets are known meanwhile. `heard` is everything that callers were told beside what they asked for."""

    def __init__(self, installation: Installation, daemon: Running) -> None:
        self.installation, self.daemon = installation, daemon
        self.known: dict[str, str] = {}
        self.heard: list[tuple[str, bytes]] = []
        self.processes: set[bytes] = set()
        self._client = httpx.Client(base_url=daemon.url, timeout=40)
        self._watching = threading.Event()
        self._watch = threading.Thread(target=self._look_at_processes, daemon=True)
        self._watch.start()

    def know(self, name: str, secret: str) -> str:
        """Remember a secret."""
        self.known[name] = secret
        return secret

    def bearer(self, role: str, **more: Any) -> dict[str, str]:
        """Return the header of a new token, which is a secret."""
        header = self.installation.token(role, **more)
        self.know(f"{role} token {len(self.known)}", header["Authorization"].removeprefix("Bearer "))
        return header

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Ask, and keep the headers of every answer and the body of every error."""
        answer = self._client.request(method, path, headers=headers or {}, **more)
        self.heard.append((f"headers of {method} {path}", str(answer.headers.multi_items()).encode()))
        if answer.status_code >= 400:
            self.heard.append((f"{answer.status_code} of {method} {path[:30]}", answer.content))
        return answer

    def sync(self, admin: dict[str, str]) -> str:
        """Sync and return how it ended."""
        run = self.ask("POST", "/api/sync/runs", admin, json={"source": "corp"}).json()["run"]["id"]
        return str(wait_for(lambda: next((one.state for one in self.installation.runs() if one.id == run and one.finished_at), None), "a sync"))

    def end(self) -> None:
        """Look at no processes any more."""
        self._watching.set()
        self._watch.join()
        self._client.close()

    def _look_at_processes(self) -> None:
        while not self._watching.wait(0.05):
            for pid in (self.daemon.process.pid, *children_of(self.daemon.process.pid)):
                for name in ("cmdline", "environ"):
                    try:
                        self.processes.add(Path(f"/proc/{pid}/{name}").read_bytes())
                    except OSError:
                        continue


def forms(secret: str) -> Iterator[bytes]:
    """Yield a secret as it is and as programs like to write one: Base64 at every place, hexadecimal, percent-encoded, in JSON, reversed."""
    raw = secret.encode()
    yield from (
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        urllib.parse.quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        raw[::-1],
    )
    for shift in range(3):
        whole = (len(raw) + shift) // 3 * 3 - shift
        text = base64.b64encode(bytes(shift) + raw[:whole])[4 if shift else 0 :]
        yield from (text, text.replace(b"+", b"-").replace(b"/", b"_"))


def lose_credentials(day: Day, admin: dict[str, str], value: str) -> None:
    """Put credentials where they do not belong, and what is secret into requests that are wrong."""
    token = admin["Authorization"].removeprefix("Bearer ")
    for secret in (token, value, day.bearer("lookup")["Authorization"].removeprefix("Bearer ")):
        for path in (
            "/{}",
            "/api/users/{}",
            "/api/users/email/{}/virtual-keys",
            "/api/users/email/{}@example.com",
            "/api/sync/runs/{}",
            "/api/explain?email={}",
        ):
            day.ask("GET", path.format(secret), admin)
        for query in ("?access_token={}", "?search={}", "?cursor={}", "?state={}", "?{}=1&{}=2", "?limit={}"):
            day.ask("GET", "/api/users" + query.format(secret, secret), admin)
            day.ask("GET", "/api/sync/runs" + query.format(secret, secret), admin)
        for path in ("/api/users/{}/block", "/api/sources/{}/pause", "/api/sync/runs/{}/approve", "/api/governance/virtual-keys/{}/rotate"):
            day.ask("POST", path.format(secret), admin)
        day.ask("DELETE", f"/api/tokens/{secret}", admin)
        day.ask("DELETE", f"/api/governance/virtual-keys/{secret}", admin)
        bodies: tuple[Any, ...] = (
            {"source": secret}, {"source": "corp", "only": secret}, {"source": "corp", secret: 1}, {"source": "corp", "mode": secret},
            {"role": secret}, {"role": "device", "user": secret}, {"role": "lookup", "domain": secret + "!"}, {"role": "lookup", "cidr": secret},
            {"role": "lookup", "ttl": secret}, {"name": 1, "value": secret}, {"name": "x", "value": secret + "!"}, {"overlap": secret},
            {"address": secret, "user_id": secret}, {"address": "a@b.example", "user_id": secret}, [secret], secret,
        )  # fmt: skip
        for body in bodies:
            for path in ("/api/sync/runs", "/api/tokens", "/api/addresses/give", "/api/governance/users/nobody/virtual-keys"):
                day.ask("POST", path, admin, json=body)
        day.ask("POST", "/api/tokens", {**admin, "Content-Type": "application/json"}, content=f'{{"role": "{secret}')
        day.ask("POST", "/api/tokens", {**admin, "Content-Type": "application/json"}, content=f'{{"{secret}": 1, "{secret}": 2}}')
        for header in ("Authorization", "X-Api-Key", "X-Bf-Vk", "Cookie", "Origin", "Host", "X-Forwarded-For", "If-Match", "If-None-Match", "Accept"):
            day.ask("GET", "/api/users/me/virtual-keys", {header: f"{secret}x"})
            day.ask("POST", "/api/sources/nosuch/pause", {**admin, header: f"{secret}x"})


def live(day: Day, responder: Responder, receiver: Receiver) -> None:
    """Do what is done in a day."""
    admin = day.bearer("admin")
    users = day.ask("GET", "/api/users?search=ada.okafor", admin).json()["users"]
    user = users[0]["id"]
    found = day.ask("GET", f"/api/users/email/{ADA}/virtual-keys", day.bearer("lookup")).json()["virtual_keys"]
    issued = day.know("issued value", found[0]["value"])
    for headers in (day.bearer("device", user_id=user), {"X-Bf-Vk": issued}, {"Authorization": f"Bearer {issued}", "Accept": "text/plain"}):
        assert day.ask("GET", "/api/users/me/virtual-keys", headers).status_code == 200
    given = day.know("imported value", "sk-bf-" + secrets.token_urlsafe(24))
    keys = f"/api/governance/users/{user}/virtual-keys"
    for _ in range(2):
        day.ask("POST", keys, admin, json={"name": "gateway", "value": given})
    minted = day.ask("POST", keys, admin, json={"name": "laptop"}).json()["virtual_key"]
    day.know("minted value", minted["value"])
    for overlap in ("1h", "0s"):
        rotated = day.ask("POST", f"/api/governance/virtual-keys/{minted['id']}/rotate", admin, json={"overlap": overlap}).json()
        day.know(f"value rotated with {overlap}", rotated["virtual_key"]["value"])
    day.ask("DELETE", f"/api/governance/virtual-keys/{minted['id']}", admin)
    device = day.ask("POST", "/api/tokens", admin, json={"role": "device", "user": ADA}).json()["token"]
    day.know("issued token", device["value"])
    day.ask("DELETE", f"/api/tokens/{device['jti']}", admin)
    lose_credentials(day, admin, issued)
    receiver.status = 500
    assert day.sync(admin) == "succeeded"
    wrong = day.know("wrong password", "wr0ng-" + secrets.token_urlsafe(18))
    day.installation.secret("ldap.password", wrong)
    day.daemon.tell(signal.SIGHUP)
    assert day.sync(admin) == "failed"
    day.heard.append(("metrics", day.ask("GET", "/metrics", {"Authorization": f"Bearer {day.known['metrics token']}"}).content))
    for path in ("/openapi.json", "/docs", "/health/ready", "/api/sources", "/api/sync/runs", "/api/tokens", "/api/governance/virtual-keys"):
        day.heard.append((path, day.ask("GET", path, admin).content))


def test_nothing_that_was_written_holds_a_secret(tmp_path: Path) -> None:
    """Log (as loud as it gets), audit file, store, process list, errors, metrics: not as it is, not in Base64, hexadecimal or percent-encoded."""
    webhook = secrets.token_urlsafe(32)
    with Responder(password="ldap-" + secrets.token_urlsafe(18)) as responder, Receiver(webhook) as receiver:
        installation = Installation(tmp_path, responder)
        installation.secret("webhook.secret", webhook)
        installation.secret("webhook.url", receiver.url)
        metrics = secrets.token_urlsafe(32)
        installation.secret("metrics.token", metrics)
        hook = '[[webhook]]\nurl_file = "webhook.url"\nsecret_file = "webhook.secret"\nevents = ["run.failed", "key.issued", "key.disabled"]\n'
        installation.configure(http='port = 0\nmetrics_token_file = "metrics.token"', more=hook)
        (tmp_path / "sitecustomize.py").write_text(LOUD)
        with installation.serve(PYTHONPATH=str(tmp_path)) as daemon:
            daemon.ready()
            installation.ended_runs(1)
            day = Day(installation, daemon)
            for name in ("ldap.password", "jwt.secret", "vault.keys"):
                day.know(name, (tmp_path / name).read_text().strip())
            day.know("half of vault.keys", (tmp_path / "vault.keys").read_text().strip().split(":")[-1])
            day.know("webhook secret", webhook)
            day.know("webhook URL", "T0P-S3CR3T")
            day.know("metrics token", metrics)
            live(day, responder, receiver)
            wait_for(lambda: receiver.seen, "a delivery")
            day.end()
            assert daemon.end() == 0
            assert " DEBUG " in daemon.log
        written = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name not in SECRET_FILES}
        assert {"serve.log", "audit.jsonl"} <= set(written) and len(day.processes) > 2
        places = [*written.items(), *day.heard, *(("/proc", one) for one in day.processes)]
        leaks = sorted({(name, place) for name, secret in day.known.items() for form in forms(secret) for place, text in places if form in text})
        assert leaks == [], "\n".join(f"{name} in {place}" for name, place in leaks)


def test_the_search_finds_what_it_looks_for() -> None:
    """Every form of a secret is found in a text that holds it, at any place."""
    secret = "sk-bf-0123456789abcdef"
    for before in (b"", b"a", b"ab", b"abc"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode, lambda raw: raw.hex().encode(), lambda raw: raw):
            assert any(form in encode(before + secret.encode() + b"xyz") for form in forms(secret)), (before, encode)
