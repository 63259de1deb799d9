"""A PostgreSQL of one's own on a unix socket and a loopback port, with a database for each test copied from a template in some 30 ms."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.ports import free_port

SETTINGS = {
    "listen_addresses": "127.0.0.1", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off",
    "max_connections": "200", "shared_buffers": "64MB", "wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "64MB",
    "min_wal_size": "32MB", "dynamic_shared_memory_type": "mmap", "log_min_messages": "fatal",
}  # fmt: skip
"""For tests only: nothing of this survives a power cut."""


class Postgres:
    """One server in a folder of its own that goes with it, and ends at the latest when its parent does, however that ends. As root it runs as
    nobody, for PostgreSQL refuses root; so the folder cannot lie below pytest's, whose every session closes it to others."""

    password = "p g/secret%41"

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="rosterd-pg-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.data = self.folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._as = _unprivileged()
        bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self._bin = bins[-1] if bins else Path(shutil.which("initdb") or "/usr/bin/initdb").parent

    def prepare(self) -> Postgres:
        """Make an empty cluster whose superuser `postgres` needs a password on the port and none on the socket."""
        if self._as:
            shutil.chown(self.folder, "nobody")
        (self.folder / "password").write_text(self.password)
        (self.folder / "password").chmod(0o644)
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync", f"--pwfile={self.folder / 'password'}")  # fmt: skip
        return self

    def start(self, **settings: str) -> Postgres:
        """Start the server and wait until it answers; settings come on top of SETTINGS."""
        given = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder), **settings}
        options = [word for name, value in given.items() if value for word in ("-c", f"{name}={value}")]
        command = [*self._as, str(self._bin / "postgres"), "-D", str(self.data), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + 60
        while not self._is_ready():
            assert time.monotonic() < until and self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Let the server crash, as for the clients so for its data."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)
        self._process = None

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop()
        self._temporary.cleanup()

    def sql(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run one statement as the superuser."""
        with psycopg.connect(host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's own programs in its folder; the port's password is at hand."""
        command = [*self._as, str(self._bin / program), *arguments]
        with (self.folder / "commands.log").open("ab") as log:
            environment = os.environ | {"PGPASSWORD": self.password}
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=environment, timeout=90)
        assert done.returncode == 0, (self.folder / "commands.log").read_text()

    def create(self, template: str = "template0") -> str:
        """Make one more database and return its name."""
        name = f"t_{secrets.token_hex(6)}"
        self.sql(f"create database {name} template {template} strategy file_copy")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever still has it open."""
        self.sql(f"drop database {database} with (force)")

    def url(self, database: str) -> str:
        """Return the address of a database on the socket, where no password is asked."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}&port={self.port}"

    def tcp_url(self, database: str) -> str:
        """Return the address of a database on the port, where the password is asked."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def _is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            return self._process is not None and (lines[0], lines[7].strip()) == (str(self._process.pid), "ready")
        except (OSError, IndexError):
            return False


def _unprivileged() -> list[str]:
    """Return the words that begin a command whose process is not root's, and is told to stop at once when ours has ended."""
    nobody = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *nobody, "--pdeathsig=QUIT", "env", "HOME=/tmp"]
