"""A rosterd of one's own for a test: a folder with everything, and the real process, listened to as systemd would."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from api.auth.tokens import Order, issue_token
from daemon.config import load
from daemon.demo.responder import Responder
from sync.store import runs
from sync.store.engine import Store, open_store
from sync.store.views import RunView
from sync.vault import generate_key_line
from tests.daemon.forked import SERVING, Fork, Forked
from tests.stores import STORES

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
"""Seconds after which a test gives up waiting for what ought to be immediate."""


def wait_for(condition: Callable[[], Any], what: str = "it") -> Any:
    """Return the first true answer of `condition`."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.03)
    raise AssertionError(f"waited {PATIENCE:g} seconds for {what}")


class Installation:
    """A configuration for one source, its secrets and its store (`store` = the lines that say where, else wherever tests keep theirs).
    `more` goes into [http], `schedule` says how often."""

    def __init__(self, folder: Path, responder: Responder, store: str = "") -> None:
        self.folder, self.responder = folder, responder
        self._store = store or STORES.table(folder / "rosterd.db")
        self.config = folder / "config.toml"
        self.secret("ldap.password", responder.password)
        self.secret("jwt.secret", secrets.token_urlsafe(48))
        self.secret("vault.keys", generate_key_line())
        self.configure()

    def secret(self, name: str, text: str) -> Path:
        """Write a secret file."""
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    def configure(self, *, http: str = "port = 0", sources: tuple[str, ...] = ("corp",), every: str = "1h", more: str = "") -> None:
        """Write the configuration."""
        policy = f'[[keys.issue]]\nname = "default"\nsources = {list(sources)!r}\n'.replace("'", '"')
        head = f'{self._store}[http]\n{http}\n[auth]\nsecret_file = "jwt.secret"\n'
        self.config.write_text(
            head + f'[keys]\nencryption_key_file = "vault.keys"\n{policy}' + "".join(self._source(s, every) for s in sources) + more
        )

    def _source(self, name: str, every: str) -> str:
        responder = self.responder
        return f"""
[[source]]
name = "{name}"
kind = "ldap"
urls = ["{responder.url}"]
tls = "plain"
allow_plaintext = true
bind_dn = "{responder.bind_dn}"
password_file = "ldap.password"
base = "{responder.people}"
[source.schedule]
every = "{every}"
"""

    def open(self) -> Store:
        """Open the store, as another process would."""
        return open_store(load(self.config).store)

    def token(self, role: str, *, ttl: int = 3600, **more: Any) -> dict[str, str]:
        """Return the header of a new token that is good for `ttl` seconds."""
        config = load(self.config)
        store = open_store(config.store)
        try:
            token, _ = issue_token(store, config.api, Order(role=role, ttl=ttl, by="tests", **more))
        finally:
            store.close()
        return {"Authorization": f"Bearer {token}"}

    def runs(self) -> list[RunView]:
        """Return the runs, newest first."""
        with closing(self.open()) as store:
            return runs.list_runs(store, limit=50)[0]

    def reading_run(self) -> RunView:
        """Return the newest run once it reads its directory."""
        with closing(self.open()) as store:

            def reads() -> RunView | None:
                newest = runs.list_runs(store, limit=1)[0]
                return newest[0] if newest and (newest[0].state, newest[0].phase) == ("running", "read") else None

            return wait_for(reads, "a run that reads")  # type: ignore[no-any-return]

    def ended_runs(self, count: int) -> list[RunView]:
        """Return the runs once so many have ended."""
        with closing(self.open()) as store:

            def ended() -> list[RunView]:
                found = runs.list_runs(store, limit=50)[0]
                return found if sum(bool(run.finished_at) for run in found) >= count else []

            return wait_for(ended, f"{count} runs")  # type: ignore[no-any-return]

    def serve(self, *, module: str = "daemon", **environment: str) -> Running:
        """Start the daemon, or a `module` that runs it; it may not be ready yet."""
        return Running(self, module, environment)


class Running:
    """The daemon's process. Its context ends it."""

    def __init__(self, installation: Installation, module: str, environment: dict[str, str]) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"rosterd-test-{os.getpid()}-{secrets.token_hex(6)}"
        self._line.bind("\0" + name)
        self._line.settimeout(PATIENCE)
        self._log = (installation.folder / "serve.log").open("wb")
        self.log_path = installation.folder / "serve.log"
        self.process = _start(("--config", str(installation.config), "serve"), {"NOTIFY_SOCKET": "@" + name} | environment, self._log, module)

    def hear(self, state: str) -> list[str]:
        """Return the states of the next datagram that holds `state`."""
        while True:
            try:
                states = self._line.recv(65536).decode().split("\n")
            except TimeoutError:
                raise AssertionError(f"never heard {state}:\n{self.log}") from None
            if any(said.startswith(state) for said in states):
                return states

    def ready(self) -> Running:
        """Wait until it says that it is ready."""
        self.hear("READY=1")
        return self

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.log_path.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where it answers."""
        return wait_for(lambda: re.search(r'at="?(https?://[^\s,"]+)', self.log), "the address")[1]  # type: ignore[no-any-return]

    def get(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Ask it."""
        return httpx.get(self.url + path, headers=headers or {}, timeout=PATIENCE, **more)

    def post(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> httpx.Response:
        """Ask it to do something."""
        return httpx.post(self.url + path, headers=headers, json=body, timeout=PATIENCE)

    def tell(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.tell(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return the exit status."""
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self._line.close()


_BEGUN: list[subprocess.Popen[bytes]] = []


def _start(arguments: tuple[str, ...], more: dict[str, str], log: BinaryIO, module: str) -> subprocess.Popen[bytes] | Forked:
    """Start `rosterd ARGUMENTS`, or another `module` with them: from nothing the first time, and where `more` says how Python is to begin, and
    later from a process that has imported everything."""
    environment = dict(os.environ) | more
    if module == "daemon" and _BEGUN and not any(name.startswith("PYTHON") for name in more):
        return _fork().start(arguments, environment, ROOT, log.fileno(), log.fileno())
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    if module == "daemon":
        _BEGUN.append(process)
    return process


@cache
def _fork() -> Fork:
    return Fork(dict(os.environ), SERVING)


def children_of(pid: int) -> list[int]:
    """Return the living child processes of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid and words[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
