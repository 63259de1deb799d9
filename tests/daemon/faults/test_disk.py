"""A disk that is full, or takes no writes: lookups go on, nothing is torn, and when there is room again everything returns by itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.demo.responder import Responder
from sync.errors import StoreUnavailable
from sync.settings import StoreSettings
from sync.store.engine import open_store
from tests.daemon.faults.ledger import Ledger, serve, stopped_child, synced
from tests.daemon.faults.staged_daemon import Stage
from tests.daemon.installation import Installation, Running, children_of, wait_for

pytestmark = pytest.mark.sqlite
ADA = "/api/users/email/ada@example.com/virtual-keys"
DISK = 16 << 20
MANY = 800
BEFORE_IT_BEGAN = "a child process ended before it could begin its run"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a small disk of one's own, in memory; store, staging, audit file and log are all on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", f"size={DISK}", "none", at=folder):
        (folder / "temporary").mkdir()
        yield folder


@pytest.fixture
def installation(disk: Path, responder: Responder) -> Installation:
    """Return a configured rosterd on that disk."""
    return Installation(disk, responder)


@contextmanager
def mounted(*what: str, at: Path) -> Iterator[None]:
    """Mount something while the context is open (needs root, as the rest of the tests does)."""
    subprocess.run(["mount", *what, str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@contextmanager
def filled(disk: Path, *, but: int = 0) -> Iterator[None]:
    """Fill the disk, `but` for so many octets."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            pass
        if but:
            file.truncate(max(0, ballast.stat().st_size - but))
    try:
        yield
    finally:
        ballast.unlink()


def test_a_full_disk_stops_no_lookup_and_loses_no_audit_record(installation: Installation, disk: Path) -> None:
    """What would write is refused with 503, not half done; the audit file has every lookup once there is room again."""
    with synced(installation, TMPDIR=str(disk / "temporary")) as (daemon, ledger):
        ledger.change_directory()
        with filled(disk):
            before = ledger.answers(daemon)
            asked = [daemon.post("/api/sync/runs", ledger.header, {"source": "corp"}).status_code for _ in range(3)]
            assert set(asked) == {503}
            assert ledger.answers(daemon) == before
            assert daemon.get("/health/ready").status_code == 200
        ledger.assert_next_run_is_right(daemon)
        lookups = ledger.looked_up(daemon)
        wait_for(lambda: ledger.audited() == lookups, "every lookup in the audit file")


def test_a_store_that_is_opened_on_a_full_disk_says_that_the_disk_is_full(disk: Path) -> None:
    """SQLite calls it an I/O error, which would send an operator looking for a broken disk."""
    settings = StoreSettings(f"sqlite:///{disk / 'rosterd.db'}")
    open_store(settings).close()
    with filled(disk), pytest.raises(StoreUnavailable, match="disk is full") as caught:
        open_store(settings)
    assert "Free some space" in (caught.value.remedy or "")
    open_store(settings).close()


@pytest.mark.faults
@pytest.mark.parametrize("room", [0, 64 << 10, 512 << 10, 2 << 20])
def test_a_disk_that_fills_during_a_run_undoes_the_run(installation: Installation, disk: Path, room: int) -> None:
    """Wherever the room ends, in what is staged, in the commit or in the record of the run: no answer changes, and the next run does it all."""
    with synced(installation, Stage({"sync.store.sqlite.RUN_CACHE_KIB": 64}), TMPDIR=str(disk / "temporary")) as (daemon, ledger):
        before = ledger.answers(daemon)
        run = ledger.run(daemon, mode="full")
        ledger.end_of(daemon, run)
        for number in range(MANY):
            installation.responder.tree.add_person(f"many{number}", displayName="x" * 200, mail=f"many{number}@{'y' * 40}.example.com")
        run = ledger.run(daemon, mode="full")
        with filled(disk, but=room):
            wait_for(lambda: not is_under_way(daemon, ledger, run), "the end of the run")
            now = daemon.get(ADA, ledger.header)
            assert now.status_code == 200
            assert (now.json()["user_id"], len(now.json()["virtual_keys"])) == (before["ada@example.com"][0], 1)
            assert daemon.get("/api/users/email/many7@" + "y" * 40 + ".example.com/virtual-keys", ledger.header).status_code == 404
        never_began = BEFORE_IT_BEGAN in daemon.log
        assert ledger.end_of(daemon, run)["state"] == ("succeeded" if never_began else "failed")
        ledger.assert_returns(daemon)


@pytest.mark.faults
def test_a_store_that_a_sync_may_not_write_is_waited_for(installation: Installation) -> None:
    """A file system that became read-only for whoever opens the store now: the run waits, is tried again and again, and happens when it can."""
    store, seam = installation.folder / "rosterd.db", installation.folder / "seam"
    seam.write_text("start")
    with serve(installation, Stage(seam=str(seam))) as daemon:
        ledger = Ledger(installation)
        child = stopped_child(daemon.ready())
        seam.write_text("")
        with mounted("--bind", str(store), at=store):
            subprocess.run(["mount", "-o", "remount,ro,bind", str(store)], check=True)
            os.kill(child, signal.SIGCONT)
            wait_for(lambda: daemon.log.count("it is tried again") > 1, "children that could not begin")
            assert "readonly" in daemon.log
            assert daemon.get("/health/ready").status_code == 200
        (run,) = installation.ended_runs(1)
        assert run.state == "succeeded"
        ledger.assert_returns(daemon)
        assert daemon.end() == 0


def is_under_way(daemon: Running, ledger: Ledger, run: str) -> bool:
    """Tell whether a run still has a process, or has not had one yet."""
    waits = daemon.get(f"/api/sync/runs/{run}", ledger.header).json()["run"]["state"] == "waiting"
    return bool(children_of(daemon.process.pid)) or (waits and BEFORE_IT_BEGAN not in daemon.log)
