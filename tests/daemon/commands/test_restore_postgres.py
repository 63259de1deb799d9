"""A database that its own tools have put back brings nothing to life that ended since, and answers nobody before every source has been read."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.commands.restoring import restore
from daemon.config import load
from daemon.demo.people import PEOPLE
from daemon.demo.responder import Responder
from daemon.relay import refuse_older
from sync.errors import RosterError, StoreUnavailable
from sync.store import people, replaying, sources, tokens
from tests.daemon.installation import ROOT, Installation, wait_for
from tests.servers.postgres import Postgres

KEYS = "/api/users/email/{}@example.com/virtual-keys"


class Company(Installation):
    """An installation of two sources whose store is a database of the role `rosterd`, dumped and put back by that role as the page says."""

    def __init__(self, folder: Path, responder: Responder, server: Postgres) -> None:
        self.server = server
        server.sql(f"create role rosterd login password '{server.password}'")
        server.sql("create database rosterd owner rosterd encoding 'UTF8' template template0")
        self.database = f"rosterd@127.0.0.1:{server.port}/rosterd"
        store = f'[store]\nurl = "postgresql+psycopg://{self.database}"\npassword_file = "store.password"\n[audit]\nfile = "audit.jsonl"\n'
        super().__init__(folder, responder, store)
        self.secret("store.password", server.password)

    def dump(self) -> None:
        self.server.run("pg_dump", "--format=custom", "--file=rosterd.dump", f"postgresql://{self.database}")

    def put_back(self) -> None:
        """Put the dump into a new database; the old one is kept under another name."""
        self.server.sql("alter database rosterd rename to rosterd_before")
        self.server.sql("create database rosterd owner rosterd encoding 'UTF8' template template0")
        url = f"postgresql://{self.database}"
        self.server.run("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={url}", "rosterd.dump")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "daemon", "--config", str(self.config), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    def split_audit(self) -> None:
        """Let every second record be in the file of another node, copied beside ours."""
        lines = (self.folder / "audit.jsonl").read_bytes().splitlines(keepends=True)
        (self.folder / "audit.jsonl").write_bytes(b"".join(lines[::2]))
        (self.folder / "audit-2026-01-31.b.jsonl").write_bytes(b"".join(lines[1::2]))


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """Return an installation whose daemon does not run yet."""
    with Postgres().prepare() as server, Responder() as responder:
        yield Company(tmp_path, responder, server.start())


def test_a_database_is_put_back_and_nothing_that_ended_lives(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody blocked, a token revoked, a key rotated, a leaver: each ended after the dump, and stays ended; who asks is told 503 until both sources
    were read. The audit files of several nodes are one record, and a run that was undone leaves no hole in it."""
    with company.serve() as daemon:
        daemon.ready()
        company.ended_runs(1)
        company.configure(sources=("corp", "partner"))  # one after the other, for they have the same people
        daemon.tell(signal.SIGHUP)
        company.ended_runs(2)
        admin, revoked = company.token("admin"), company.token("lookup")
        old = daemon.get(KEYS.format("ada"), admin).json()["virtual_keys"][0]
        assert daemon.get(KEYS.format("ada"), revoked).status_code == 200
        company.dump()

        for file, code in ((company.folder / "rosterd.dump", "restore_unsupported"), (None, "store_in_use")):
            with pytest.raises(RosterError) as refused:
                restore(load(company.config), file, dry_run=False)
            assert refused.value.code == code
        with closing(company.open()) as store:
            people.block(store, people.find_user(store, "aiko.tanabe@example.com").id, "cli:ann")
            tokens.revoke(store, next(one.jti for one in tokens.list_tokens(store) if one.role == "lookup"), "cli:ann")
        assert daemon.post(f"/api/governance/virtual-keys/{old['id']}/rotate", admin, {}).status_code == 200
        company.responder.tree.delete(f"uid=bruno.carvalho,{PEOPLE}")
        for number, dry in ((3, True), (4, False)):
            assert daemon.post("/api/sync/runs", admin, {"source": "corp", "mode": "full", "dry_run": dry}).status_code == 202
            company.ended_runs(number)
        assert daemon.end() == 0
    company.put_back()
    company.split_audit()

    with closing(company.open()) as store, pytest.raises(StoreUnavailable, match="--in-place"):
        refuse_older(store, company.folder / "audit.jsonl")
    config = load(company.config)
    preview = restore(config, None, dry_run=True)
    assert preview.unknown == 0
    with monkeypatch.context() as patch:
        patch.setattr(replaying, "replay", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(config, None, dry_run=False)
    with closing(company.open()) as store, pytest.raises(StoreUnavailable, match="not finished"):
        refuse_older(store, company.folder / "audit.jsonl")
    done = company.command("store", "restore", "--in-place")
    assert done.returncode == 0, done.stderr
    for told in ("user.blocked  aiko.tanabe@", "token.revoked", "key.rotated  ada.okafor@", "user.missing  bruno.carvalho@"):
        assert told in done.stdout
    assert "rosterd sync corp partner --full" in done.stdout and not done.stderr

    with closing(company.open()) as store:
        assert people.find_user(store, "aiko.tanabe@example.com").blocked
        sources.pause(store, "partner", by="cli:ann")
    with company.serve() as daemon:
        daemon.ready()
        company.ended_runs(3)
        assert daemon.get(KEYS.format("ada"), admin).json()["error"]["code"] == "store_restored"
        assert daemon.get("/health/ready").status_code == 503
        with closing(company.open()) as store:
            sources.resume(store, "partner", by="cli:ann")
        company.ended_runs(4)
        assert wait_for(lambda: daemon.get(KEYS.format("ada"), admin).status_code == 200)
        new = daemon.get(KEYS.format("ada"), admin).json()["virtual_keys"][0]
        assert new["id"] == old["id"] and new["value"] != old["value"]
        for gone in (revoked, {"Authorization": f"Bearer {old['value']}"}):
            assert daemon.get(KEYS.format("ada"), gone).status_code == 401
        assert daemon.end() == 0


def killed(*_: Any) -> Any:
    """End a replay before its first deed."""
    raise KeyboardInterrupt
