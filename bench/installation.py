"""A rosterd of one's own for measuring: configuration, secrets and store in a folder, and its commands."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Self

from bench.measure import Failed, Measured, measure
from tests.servers.ports import free_port
from tests.servers.slapd import Slapd

CONFIG = """\
[store]
url = "{store}"
[http]
port = {port}
public_url = "https://keys.example.com"
[audit]
file = "audit.jsonl"
[auth]
secret_file = "jwt.secret"
[keys]
encryption_key_file = "vault.keys"
[[keys.issue]]
name = "default"
{tables}"""
LDAP = """\
[[source]]
name = "corp"
kind = "ldap"
urls = ["{url}"]
tls = "plain"
allow_plaintext = true
bind_dn = "{bind_dn}"
password_file = "ldap.password"
base = "{base}"
page_size = {page_size}
[source.schedule]
every = "24h"
"""


class Installation:
    """One rosterd with the sources, policies and other tables that `tables` holds (TOML), and a store of its own."""

    def __init__(self, folder: Path, tables: str, store: str = "sqlite:///rosterd.db") -> None:
        self.folder, self.port, self._config = folder, free_port(), folder / "config.toml"
        self._secret("jwt.secret", secrets.token_urlsafe(48))
        self._secret("vault.keys", base64.b64encode(os.urandom(32)).decode())
        self._config.write_text(CONFIG.format(port=self.port, tables=tables, store=store))

    @classmethod
    def of_slapd(cls, folder: Path, slapd: Slapd, page_size: int, **more: Any) -> Self:
        """Return one that reads one slapd."""
        settings = {"url": slapd.url, "bind_dn": slapd.bind_dn, "base": slapd.base, "page_size": page_size}
        installation = cls(folder, LDAP.format(**settings), **more)
        installation._secret("ldap.password", slapd.password)
        return installation

    @property
    def store(self) -> Path:
        """The file that is its store."""
        return self.folder / "rosterd.db"

    def select(self, statement: str) -> Iterator[Any]:
        """Yield what a statement finds in the store."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as store:
            yield from store.execute(statement)

    def user_rows(self) -> list[int]:
        """Return a digest of each row of the users, in the order of their ids; what is different afterwards was written."""
        return [hash(repr(row)) for row in self.select('select * from "user" order by id')]

    def beside(self) -> Installation:
        """Return a second daemon on the same store, with a port and an audit file of its own."""
        other = copy(self)
        other.port, other._config = free_port(), self.folder / "beside.toml"
        said = self._config.read_text().replace(f"port = {self.port}\n", f"port = {other.port}\n")
        other._config.write_text(said.replace("audit.jsonl", "beside.jsonl"))
        return other

    @property
    def _log(self) -> Path:
        return self._config.with_suffix(".log")

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `rosterd ARGUMENTS`."""
        return [sys.executable, "-m", "daemon", "--config", str(self._config), *arguments]

    def sync(self, *options: str) -> tuple[Measured, dict[str, Any]]:
        """Run `rosterd sync` in the foreground; return what it took, and its run."""
        done = measure(self.command("sync", "--json", *options), self.folder / "sync.json")
        said = json.loads(done.output)
        run: dict[str, Any] = said.get("run", said)
        if run["state"] != "succeeded" or (run["mode"] == "full" and not run["complete"]):
            raise Failed(f"the sync ended as {run['state']}: {run.get('error')}")
        return done, run

    def token(self, role: str, *options: str) -> str:
        """Return a new token."""
        command = self.command("token", "issue", "--role", role, *options)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    @contextmanager
    def serving(self) -> Iterator[tuple[int, float]]:
        """Run the daemon; yield its process id and the seconds until it was ready."""
        began = time.perf_counter()
        with self._log.open("wb") as log, subprocess.Popen(self.command("serve"), stdout=log, stderr=log) as process:
            try:
                while not self._is_ready():
                    if process.poll() is not None or time.perf_counter() - began > 60:
                        raise Failed(f"the daemon did not become ready: {self._log.read_text()[-2000:]}")
                    time.sleep(0.01)
                yield process.pid, time.perf_counter() - began
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    def wait_until_quiet(self, admin: str) -> None:
        """Wait for the end of all runs: a daemon that starts looks at its sources at once. Raises Failed after ten minutes."""
        until = time.perf_counter() + 600
        while any(run["state"] in ("waiting", "running") for run in self.get("/api/sync/runs", admin)["runs"]):
            if time.perf_counter() > until:
                raise Failed("the daemon's runs do not end")
            time.sleep(0.2)

    def untold(self) -> int:
        """Return how many events of the store the audit file has not been told: after a first sync one for each key."""
        return sum(count for (count,) in self.select("select count(*) from event"))

    def wait_until_told(self) -> None:
        """Wait until the audit file has been told everything. Raises Failed after ten minutes."""
        until = time.perf_counter() + 600
        while self.untold():
            if time.perf_counter() > until:
                raise Failed("the audit file is not told what happened")
            time.sleep(0.2)

    def take_names_from(self, attribute: str, pid: int) -> None:
        """Let another attribute be the display name, and let the daemon know: the next sync reads everybody and changes everybody."""
        said = self._config.read_text().partition("[source.attributes]")[0]
        self._config.write_text(f'{said}[source.attributes]\nname = "{attribute}"\n')
        self._reload(pid)

    def put_key_on_top(self, pid: int) -> None:
        """Put a new encryption key on top of the key file, and let the daemon know."""
        path = self.folder / "vault.keys"
        path.write_text(base64.b64encode(os.urandom(32)).decode() + "\n" + path.read_text())
        self._reload(pid)

    def drop_older_keys(self, pid: int) -> None:
        """Leave only the newest encryption key, and let the daemon know."""
        path = self.folder / "vault.keys"
        path.write_text(path.read_text().splitlines()[0] + "\n")
        self._reload(pid)

    def _reload(self, pid: int) -> None:
        log = self._log
        before = log.read_text().count("the new configuration is in force")
        os.kill(pid, signal.SIGHUP)
        until = time.perf_counter() + 20
        while log.read_text().count("the new configuration is in force") == before:
            if time.perf_counter() > until:
                raise Failed("the daemon did not take the new configuration")
            time.sleep(0.05)

    def post(self, path: str, body: dict[str, Any], token: str) -> dict[str, Any]:
        """Send JSON to the daemon and return what it answers."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def get(self, path: str, token: str) -> dict[str, Any]:
        """Return what the daemon answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return connection.recv(16).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def _secret(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text + "\n")
