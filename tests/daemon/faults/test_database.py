"""A database that goes in the middle of a commit, or that somebody else holds: the outcome is recorded with the data or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemon.demo.responder import Responder
from tests.daemon.faults.ledger import Ledger, stopped_child, synced
from tests.daemon.faults.staged_daemon import Stage
from tests.daemon.installation import Installation, Running, is_alive, wait_for
from tests.servers.cutter import Cutter
from tests.servers.postgres import Postgres

ADA = "/api/users/email/ada@example.com/virtual-keys"


class Line:
    """The line to a PostgreSQL, through which all goes until it is `armed`: then the server's word that something was committed is swallowed,
    and the connection cut."""

    def __init__(self, server: Postgres) -> None:
        self.armed = False
        self.cuts = 0
        self.proxy = Cutter(server.port, self._mangle)
        self.port = self.proxy.url.rpartition(":")[2]

    def _mangle(self, sent: int, chunk: bytes) -> tuple[bytes, bool]:
        if self.armed and b"COMMIT\0" in chunk:
            self.cuts += 1
            return b"", False
        return chunk, True


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return a server that a test may break, and mends again."""
    with Postgres().prepare() as running:
        yield running.start()


@pytest.fixture
def line(server: Postgres) -> Iterator[Line]:
    """Return a line to it."""
    made = Line(server)
    with made.proxy:
        yield made


@contextmanager
def on_postgres(folder: Path, server: Postgres, line: Line) -> Iterator[tuple[Running, Ledger, Path]]:
    """Yield a daemon on a database behind the line that has synced once, and the file that says where its next child stops."""
    url = server.tcp_url(server.create()).replace(f":{server.port}/", f":{line.port}/")
    store = f'[store]\nurl = "{url}"\npassword_file = "store.password"\n[audit]\nfile = "audit.jsonl"\n'
    (folder / "store.password").write_text(server.password)
    (folder / "store.password").chmod(0o600)
    seam = folder / "seam"
    seam.write_text("")
    with Responder() as responder, synced(Installation(folder, responder, store), Stage(seam=str(seam))) as (daemon, ledger):
        yield daemon, ledger, seam


def test_a_line_cut_between_a_commit_and_its_answer_leaves_it_whole(tmp_path: Path, server: Postgres, line: Line) -> None:
    """The run stands as succeeded with all that it changed, though its process never learnt of it; the next one is right."""
    with on_postgres(tmp_path, server, line) as (daemon, ledger, seam):
        run, child = stop_in_the_commit(daemon, ledger, seam)
        line.armed = True
        os.kill(child, signal.SIGCONT)
        wait_for(lambda: not is_alive(child), "the end of the child")
        line.armed = False
        assert line.cuts
        assert ledger.end_of(daemon, run)["state"] == "succeeded"
        ledger.assert_right(daemon)
        ledger.assert_next_run_is_right(daemon)


@pytest.mark.faults
def test_a_server_that_crashes_in_the_middle_of_a_commit_undoes_it(tmp_path: Path, server: Postgres, line: Line) -> None:
    """All was written and nothing committed when the server went: the run changes nothing, lookups return with the server, without a restart."""
    with on_postgres(tmp_path, server, line) as (daemon, ledger, seam):
        before = ledger.answers(daemon)
        run, child = stop_in_the_commit(daemon, ledger, seam)
        server.stop()
        os.kill(child, signal.SIGCONT)
        assert daemon.get(ADA, ledger.header).status_code == 503
        wait_for(lambda: not is_alive(child), "the end of the child")
        server.start()
        began = time.monotonic()
        assert wait_for(lambda: daemon.get(ADA, ledger.header).status_code == 200)
        assert time.monotonic() - began < 15
        assert ledger.end_of(daemon, run)["state"] == "failed"
        now = ledger.answers(daemon)
        assert {address: now[address] for address in before} == before
        ledger.assert_returns(daemon)


@pytest.mark.faults
def test_an_answer_that_was_given_is_never_of_a_commit_that_was_not(tmp_path: Path, server: Postgres, line: Line) -> None:
    """A change whose commit was not confirmed is no 200: it is a 503, whatever became of it; and the user is one thing, wholly."""
    with on_postgres(tmp_path, server, line) as (daemon, ledger, _):
        user = daemon.get(ADA, ledger.header).json()["user_id"]
        line.armed = True
        asked = daemon.post(f"/api/users/{user}/block", ledger.header, {})
        line.armed = False
        assert (asked.status_code, asked.json()["error"]["code"]) == (503, "store_unavailable")
        assert wait_for(lambda: daemon.post(f"/api/users/{user}/unblock", ledger.header, {}).status_code == 200)
        ledger.assert_returns(daemon)


@pytest.mark.sqlite
@pytest.mark.faults
def test_a_file_that_somebody_holds_makes_changes_wait(installation: Installation) -> None:
    """A foreign BEGIN EXCLUSIVE, be it for long: lookups go on, changes wait for it and then happen, the sync too."""
    with synced(installation) as (daemon, ledger), closing(sqlite3.connect(installation.folder / "rosterd.db", isolation_level=None)) as foreign:
        ledger.change_directory()
        foreign.execute("BEGIN EXCLUSIVE")
        before = ledger.answers(daemon)
        answers: list[int] = []
        asking = [in_thread(lambda: answers.append(daemon.post("/api/sync/runs", ledger.header, {"source": "corp"}).status_code)) for _ in range(50)]
        until = time.monotonic() + 4
        while time.monotonic() < until:
            began = time.monotonic()
            assert daemon.get(ADA, ledger.header).status_code == 200
            assert daemon.get("/health/ready").status_code == 200
            assert time.monotonic() - began < 4
        assert (ledger.answers(daemon), answers) == (before, [])
        foreign.execute("ROLLBACK")
        for one in asking:
            one.join(30)
        assert set(answers) == {202}
        ledger.assert_returns(daemon)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    """Do it in a thread of its own."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def stop_in_the_commit(daemon: Running, ledger: Ledger, seam: Path) -> tuple[str, int]:
    """Return a run and its process, which has stopped when all was written and nothing committed."""
    ledger.change_directory()
    seam.write_text("apply")
    run = ledger.run(daemon)
    child = stopped_child(daemon)
    seam.write_text("")
    return run, child
