"""A wall clock that is set forwards or backwards while the daemon runs: syncs go on, and nobody loses anything earlier than the rules say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.demo.tree import PEOPLE
from tests.daemon.faults.ledger import Ledger, synced
from tests.daemon.faults.staged_daemon import Stage
from tests.daemon.installation import Installation, Running, children_of, wait_for

DAY = 86_400
ADA = "/api/users/email/ada@example.com/virtual-keys"
BOB = f"uid=bruno.carvalho,{PEOPLE}"
BOBS = "/api/users/email/bruno.carvalho@example.com/virtual-keys"


class WallClock:
    """What the daemon and its children see as the time: the real one, and so many seconds more. What counts the time that passes is left alone,
    as it is when somebody sets a clock."""

    def __init__(self, folder: Path) -> None:
        library, self._file, self.python = folder / "wallclock.so", folder / "wallclock", folder / "python"
        source = Path(__file__).with_name("wallclock.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "ROSTERD_WALL_CLOCK": str(self._file)}
        told = " ".join(f"{name}={value}" for name, value in self.environment.items())
        self.python.write_text(f'#!/bin/sh\nexec env {told} {sys.executable} "$@"\n')  # a child is told nothing by its daemon's environment
        self.python.chmod(0o700)
        self._file.write_bytes(bytes(8))

    def set(self, seconds: int) -> None:
        """Set it, for all at once."""
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


@contextmanager
def scheduled(installation: Installation, wall: WallClock) -> Iterator[tuple[Running, Ledger]]:
    """Yield a daemon that syncs every two seconds by this clock, and its ledger."""
    installation.configure(every="2s")
    with synced(installation, Stage(python=str(wall.python)), **wall.environment) as (daemon, ledger):
        yield daemon, ledger
        assert daemon.post("/api/sources/corp/pause", ledger.header, {}).status_code == 200
        outcomes = re.findall(r"a sync (begins|succeeded|withholds)", daemon.log)
        assert all((one == "begins") != (other == "begins") for one, other in pairwise(outcomes)), "two runs at a time"


@pytest.fixture
def wall(tmp_path: Path) -> WallClock:
    """Return a clock that shows the time."""
    return WallClock(tmp_path)


def ended(daemon: Running) -> int:
    """Return how many scheduled runs have ended."""
    return len(re.findall(r"a sync (?:succeeded|withholds)", daemon.log))


def sync_on(daemon: Running, runs: int = 1) -> None:
    """Wait until so many more runs have ended."""
    for number in range(ended(daemon) + 1, ended(daemon) + runs + 2):  # one may have begun before
        wait_for(lambda number=number: ended(daemon) >= number, "scheduled runs to go on")


@pytest.mark.faults
def test_a_clock_that_is_set_stops_no_sync(installation: Installation, wall: WallClock) -> None:
    """A day forwards and a day backwards: within seconds syncs go on, lookups are answered, nobody's keys change."""
    with scheduled(installation, wall) as (daemon, ledger):
        before = ledger.answers(daemon)
        for seconds in (DAY, 0, -DAY):
            wall.set(seconds)
            sync_on(daemon)
            assert ledger.answers(daemon) == before
        assert daemon.log.count("the clock of this host was turned back") == 2
        ledger.change_directory()
        sync_on(daemon)
        ledger.assert_right(daemon)


@pytest.mark.faults
def test_a_clock_that_is_wrong_for_a_while_takes_nobody_away(installation: Installation, wall: WallClock) -> None:
    """Eight days ahead, beyond grace: who leaves meanwhile is held and keeps their key, who had left is not removed; set right, all is as it
    would have been, and the leaver goes."""
    with scheduled(installation, wall) as (daemon, ledger):
        installation.responder.tree.delete(f"uid=lars.mikkelsen,{PEOPLE}")
        sync_on(daemon)
        assert state(daemon, ledger, "lars.mikkelsen") == "missing"
        assert daemon.post("/api/sources/corp/pause", ledger.header, {}).status_code == 200
        wait_for(lambda: not children_of(daemon.process.pid), "the end of the run that is going on")
        wall.set(8 * DAY)
        installation.responder.tree.delete(BOB)
        assert daemon.post("/api/sources/corp/resume", ledger.header, {}).status_code == 200
        wait_for(lambda: "a sync withholds" in daemon.log, "a hold")
        sync_on(daemon, 3)
        assert [key["is_active"] for key in daemon.get(BOBS, ledger.header).json()["virtual_keys"]] == [True]
        assert state(daemon, ledger, "lars.mikkelsen") == "missing"
        wall.set(0)
        wait_for(lambda: state(daemon, ledger, "bruno.carvalho") == "missing", "the leaver to go")
        sync_on(daemon, 3)
        assert state(daemon, ledger, "lars.mikkelsen") == "missing"
        ledger.assert_right(daemon)


@pytest.mark.faults
def test_tokens_end_by_the_clock_and_begin_again_with_it(installation: Installation, wall: WallClock) -> None:
    """A token that ends within the jump is refused while the clock is wrong, for nobody can tell; set right, it is good again. One clock that
    is behind refuses nobody."""
    with scheduled(installation, wall) as (daemon, ledger):
        brief = installation.token("lookup")
        for seconds, status in ((0, 200), (DAY, 401), (0, 200), (-DAY, 200), (0, 200)):
            wall.set(seconds)
            assert daemon.get(ADA, brief).status_code == status, seconds
            assert daemon.get(ADA, ledger.header).status_code == 200


@pytest.mark.faults
def test_a_clock_far_ahead_lets_nothing_be_forgotten(installation: Installation, wall: WallClock) -> None:
    """Two years ahead every run, every audit file and every name of somebody removed is old enough to go; they stay."""
    old = installation.folder / "audit-2026-01-01.jsonl"
    old.write_text("{}\n")
    os.utime(old)
    limits = {"daemon.clock.TIDY_AFTER": 5.0, "daemon.clock.TIDY_EVERY": 5.0}
    with synced(installation, Stage(limits, python=str(wall.python)), **wall.environment) as (daemon, ledger):
        first = installation.runs()[-1].id
        wall.set(730 * DAY)
        wait_for(lambda: "nothing is forgotten" in daemon.log, "housekeeping")
        daemon.get("/health/live")
        assert first in [run.id for run in installation.runs()]
        wall.set(0)
        assert daemon.get(ADA, ledger.header).status_code == 200
        assert old.exists()


def state(daemon: Running, ledger: Ledger, uid: str) -> str:
    """Return the state of somebody as administrators see it."""
    answer = daemon.get(f"/api/users/email/{uid}@example.com", ledger.header)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["user"]["state"])
