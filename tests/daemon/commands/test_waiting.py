"""A foreground sync beside other processes that sync the same source."""

from __future__ import annotations

import pytest

from daemon.commands.carrying import status_of
from sync.store import runs
from sync.store.views import RunError, RunView
from tests.daemon.commands.place import Place
from tests.servers.slapd import Slapd


def test_a_sync_waits_for_the_one_that_is_going_on(place: Place, slapd: Slapd) -> None:
    """While another process syncs the source, a sync says whom it waits for, and then does its own work."""
    slapd.add_people(2)
    place.run("sync")
    slapd.pause()
    first = place.start("sync")
    assert first.stderr is not None
    assert first.stderr.readline() == "corp: connecting\n"
    store = place.store()
    try:
        running: list[RunView] = []
        while not running:
            running, _ = runs.list_runs(store, state="running")
        second = place.start("sync", "--json")
        assert second.stderr is not None
        assert f"corp: waiting for run {running[0].id} of cli:" in second.stderr.readline()
        slapd.resume()
        assert first.wait(60) == 0
        out, err = second.communicate(timeout=60)
        assert second.returncode == 0, err
        assert '"unchanged":2' in out
        assert [run.state for run in runs.list_runs(store)[0]] == ["succeeded"] * 3
    finally:
        store.close()
        first.communicate()


def ended(state: str, code: str = "") -> RunView:
    """Return a run that has ended."""
    return RunView("r", "s", "cli", "x", "full", False, state, 0, 0, {}, "x", error=RunError(code, "It failed.") if code else None)


@pytest.mark.parametrize(
    ("runs_ended", "status"),
    [
        ([ended("succeeded")], 0),
        ([ended("held")], 3),
        ([ended("failed", "unreachable")], 4),
        ([ended("failed", "killed")], 4),
        ([ended("failed", "store_unavailable")], 5),
        ([ended("failed", "config_invalid")], 78),
        ([ended("failed", "bug")], 1),
        ([ended("cancelled")], 6),
        ([ended("waiting")], 6),
        ([ended("succeeded"), ended("held"), ended("failed", "unreachable")], 4),
        ([ended("held"), ended("succeeded")], 3),
        ([], 0),
    ],
)
def test_the_exit_status_of_runs(runs_ended: list[RunView], status: int) -> None:
    """4 comes before 3 before 0, and what is worse than a directory's failure before that."""
    assert status_of(runs_ended) == status
