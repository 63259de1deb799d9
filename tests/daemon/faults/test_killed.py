"""A sync killed, or hung, at each seam, and the daemon killed above it: lookups are answered as before, and the next run is right."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.daemon.faults.ledger import Ledger, serve, stopped_child
from tests.daemon.faults.staged_daemon import Stage
from tests.daemon.faults.stopping_child import SEAMS
from tests.daemon.installation import Installation, Running, children_of, is_alive, wait_for

SILENT_FOR = 15.0
"""Seconds after which a daemon of these tests takes a silent child for hung; the real one waits ten minutes, one for a child that does not begin."""


class Play:
    """A daemon whose children stop at seams, and its ledger."""

    def __init__(self, installation: Installation, stack: ExitStack, limits: dict[str, int | float]) -> None:
        self.installation, self.stack = installation, stack
        self.seam = installation.folder / "seam"
        self.seam.write_text("")
        self.stage = Stage(limits, seam=str(self.seam))
        self.daemon = stack.enter_context(self.serve())
        self.daemon.ready()
        installation.ended_runs(1)
        self.ledger = Ledger(installation)
        self.ledger.assert_right(self.daemon)

    def serve(self) -> Running:
        """Start a daemon."""
        return serve(self.installation, self.stage)

    def stop_at(self, seam: str) -> tuple[str, int]:
        """Change the directory, let a run stop at a seam, and return its id and its process; lookups are answered as before meanwhile, or
        as the run has it when it has committed."""
        before = self.ledger.answers(self.daemon)
        self.ledger.change_directory()
        self.seam.write_text(seam)
        run = self.ledger.run(self.daemon)
        child = stopped_child(self.daemon)
        self.seam.write_text("")
        if seam == "finish":
            self.ledger.assert_right(self.daemon)
        else:
            now = self.ledger.answers(self.daemon)
            assert {address: now[address] for address in before} == before, "a run that has not committed changed an answer"
        return run, child

    def assert_recorded(self, run: str, seam: str) -> None:
        """The run is recorded as killed, or has succeeded where the seam is after its commit; one that had not begun is carried out."""
        ended = self.ledger.end_of(self.daemon, run)
        if seam in ("start", "finish"):
            assert ended["state"] == "succeeded", ended
        else:
            assert (ended["state"], ended["error"]["code"]) == ("failed", "killed"), ended
        self.ledger.assert_next_run_is_right(self.daemon)


@pytest.fixture
def play(installation: Installation, request: pytest.FixtureRequest) -> Iterator[Play]:
    """Return a daemon that has synced once, whose children stop where they are told to; its limits may be a parameter."""
    with ExitStack() as stack:
        playing = Play(installation, stack, getattr(request, "param", {}))
        yield playing
        wait_for(lambda: not children_of(playing.daemon.process.pid), "the end of its children")
        assert playing.daemon.end() == 0
        assert "Traceback" not in playing.daemon.log


@pytest.mark.faults
def test_a_child_killed_at_any_seam_costs_its_run_only(play: Play) -> None:
    """SIGKILL before the lease, in each phase, in the middle of the write transaction, after the commit."""
    for seam in SEAMS:
        _kill_the_child_at(play, seam)


def test_a_daemon_killed_while_its_child_writes_comes_back_right(play: Play) -> None:
    """SIGKILL of the daemon in the middle of the write transaction."""
    _kill_the_daemon_at(play, "apply")


@pytest.mark.faults
def test_a_daemon_killed_at_any_seam_comes_back_right(play: Play) -> None:
    """SIGKILL of the daemon: its child goes with it, and the next daemon records the run and is right after one more."""
    for seam in SEAMS:
        _kill_the_daemon_at(play, seam)


@pytest.mark.faults
@pytest.mark.parametrize("play", [{"daemon.children.SILENT_FOR": SILENT_FOR, "daemon.children.START_WITHIN": SILENT_FOR + 10}], indirect=True)
def test_a_child_that_hangs_at_any_seam_is_ended(play: Play) -> None:
    """A child that is stopped and says nothing more is killed after its time, and keeps nobody from syncing after that, also one that has done
    everything and does not end."""
    for seam in SEAMS:
        run, child = play.stop_at(seam)
        began = time.monotonic()
        wait_for(lambda child=child: not is_alive(child), f"the end of a child that hangs at {seam}")
        assert time.monotonic() - began < SILENT_FOR + 30
        play.assert_recorded(run, seam)


def _kill_the_child_at(play: Play, seam: str) -> None:
    run, child = play.stop_at(seam)
    os.kill(child, signal.SIGKILL)
    play.assert_recorded(run, seam)


def _kill_the_daemon_at(play: Play, seam: str) -> None:
    run, child = play.stop_at(seam)
    play.daemon.tell(signal.SIGKILL)
    play.daemon.wait()
    wait_for(lambda: not is_alive(child), "the end of the child")
    play.daemon = play.stack.enter_context(play.serve()).ready()
    play.assert_recorded(run, seam)
