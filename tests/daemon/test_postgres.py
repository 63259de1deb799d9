"""A daemon on PostgreSQL while the server crashes, freezes, takes no writes: lookups say 503 in time, and everything returns by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.demo.responder import Responder
from tests.daemon.installation import Installation, Running, wait_for
from tests.servers.freezing import freeze, thaw
from tests.servers.postgres import Postgres

ADA = "/api/users/email/ada@example.com/virtual-keys"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return a server that a test may break, and mends again."""
    with Postgres().prepare() as running:
        yield running.start()


@pytest.fixture
def database(server: Postgres) -> str:
    """Return a new database."""
    return server.create()


@pytest.fixture
def installation(tmp_path: Path, server: Postgres, database: str) -> Iterator[Installation]:
    """Return a rosterd that keeps its store there, reached over TCP with a password."""
    store = f'[store]\nurl = "{server.tcp_url(database)}"\npassword_file = "store.password"\n[audit]\nfile = "audit.jsonl"\n'
    with Responder() as responder:
        (tmp_path / "store.password").write_text(server.password)
        (tmp_path / "store.password").chmod(0o600)
        yield Installation(tmp_path, responder, store)


@pytest.fixture
def daemon(installation: Installation) -> Iterator[Running]:
    """Return a daemon that has synced once."""
    with installation.serve() as running:
        running.ready()
        installation.ended_runs(1)
        yield running
        assert running.end() == 0
        assert "Traceback" not in running.log and Postgres.password not in running.log and "bug" not in running.log


def test_a_server_that_crashes_costs_503s_and_nothing_else(installation: Installation, daemon: Running, server: Postgres) -> None:
    """Lookups are told to come back while it is gone; when it is back they are answered, and a sync succeeds, without a restart."""
    header = installation.token("admin")
    assert daemon.get(ADA, header).status_code == 200
    server.stop()
    refused = daemon.get(ADA, header)
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
    assert daemon.get("/health/live").status_code == 200
    assert daemon.get("/health/ready").status_code == 503
    assert wait_for(lambda: "could not be asked for waiting runs" in daemon.log)
    server.start()
    assert wait_for(lambda: daemon.get(ADA, header).status_code == 200)
    assert wait_for(lambda: "the store answers again" in daemon.log)
    assert wait_for(lambda: daemon.post("/api/sync/runs", header, {"source": "corp"}).status_code == 202)
    assert installation.ended_runs(2)[0].state == "succeeded"


def test_a_frozen_server_holds_nobody_up_for_long(installation: Installation, daemon: Running, server: Postgres) -> None:
    """A server that takes connections and says nothing is a 503 within seconds; the process lives on, and nothing is left behind."""
    header = installation.token("lookup")
    processes = [int(row[0]) for row in server.sql("select pid from pg_stat_activity")]
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    for pid in [*processes, postmaster]:
        with suppress(ProcessLookupError):  # it has ended by itself
            freeze(pid)
    try:
        began = time.monotonic()
        assert daemon.get(ADA, header).status_code == 503
        assert daemon.get("/health/live").status_code == 200
        assert time.monotonic() - began < 12
    finally:
        for pid in [*processes, postmaster]:
            with suppress(ProcessLookupError):
                thaw(pid)
    assert wait_for(lambda: daemon.get(ADA, header).status_code == 200)


def test_a_server_that_takes_no_writes_still_answers_lookups(installation: Installation, daemon: Running, server: Postgres, database: str) -> None:
    """A standby, or default_transaction_read_only: lookups go on, what would write is a 503, and both are over when it is."""
    header = installation.token("admin")
    _set_read_only(server, database, "on")
    for _ in range(3):
        assert daemon.get(ADA, header).status_code == 200
    assert daemon.post("/api/sync/runs", header, {"source": "corp"}).status_code == 503
    assert daemon.get(ADA, header).status_code == 200
    _set_read_only(server, database, "off")
    assert wait_for(lambda: daemon.post("/api/sync/runs", header, {"source": "corp"}).status_code == 202)
    assert installation.ended_runs(2)[0].state == "succeeded"


def test_a_server_that_is_not_there_is_exit_5(installation: Installation, server: Postgres, database: str) -> None:
    """What cannot be reached, or refuses the password, is one sentence with a remedy, and no secret."""
    installation.secret("store.password", "hunter2")
    with installation.serve() as daemon:
        assert daemon.wait() == 5
        assert "password_file" in daemon.log and "hunter2" not in daemon.log and "Traceback" not in daemon.log
    installation.secret("store.password", server.password)
    server.sql(f"drop database {database}")
    with installation.serve() as daemon:
        assert daemon.wait() == 5
        assert "Create the user and the database first" in daemon.log and "Traceback" not in daemon.log


def _set_read_only(server: Postgres, database: str, value: str) -> None:
    server.sql(f"alter database {database} set default_transaction_read_only = {value}")
    server.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")
