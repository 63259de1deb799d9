"""`rosterd demo` from the outside: what it prints works when pasted, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import daemon.demo.stage
from daemon.demo.stage import pick_port
from sync.errors import CannotListen
from tests.daemon.installation import PATIENCE, ROOT, children_of, is_alive, wait_for

pytestmark = pytest.mark.sqlite  # the demo's store is a file


class Show:
    """A running demo."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon", "demo", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []

    def until(self, begins: str) -> str:
        """Read lines until one begins so; return it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if line.startswith(begins):
                return line
        raise AssertionError(f"it ended without saying {begins!r}:\n" + "\n".join(self.said))

    def lines(self) -> list[str]:
        """Return the three lines to paste."""
        self.until("Ctrl-C")
        return [line.strip() for line in self.said if line.startswith("  ")]

    def end(self, number: int = signal.SIGINT) -> int:
        """Tell it to end and return the exit status."""
        self.process.send_signal(number)
        self.said += self.process.communicate(timeout=PATIENCE)[0].splitlines()
        return self.process.returncode


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Show]:
    """Yield a demo that ends with the context, whatever happens."""
    show = Show(folder, *arguments)
    try:
        yield show
    finally:
        if show.process.poll() is None:
            show.end(signal.SIGTERM)


def paste(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Do what somebody does who pastes a line into another terminal, in another directory."""
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a directory that has nothing to do with the project."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_shows_what_it_promises_and_leaves_nothing(tmp_path: Path, elsewhere: Path, number: int) -> None:
    """The printed lookup answers with a key, the printed sync and list of runs work; then no process, folder or port, whichever signal ends it."""
    stage = tmp_path / "tmp"
    stage.mkdir()
    with running(stage, "--port", "0") as show:
        lookup, resync, list_of_runs = show.lines()
        assert "eyJ" not in "\n".join(show.said), "no token in a line that is pasted"
        if number == signal.SIGINT:  # what is printed is the same whatever comes
            answer = json.loads(paste(lookup, elsewhere).stdout)
            assert answer["email"] == "ada.okafor@example.com"
            assert [key["is_active"] for key in answer["virtual_keys"]] == [True] and answer["virtual_keys"][0]["value"].startswith("sk-bf-")
            synced = paste(resync, elsewhere)
            assert synced.returncode == 0, synced.stdout + synced.stderr
            listed = paste(list_of_runs, elsewhere)
            assert listed.returncode == 0 and listed.stdout.count("succeeded") == 2, listed.stdout + listed.stderr
        (folder,) = stage.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
        port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", lookup)[0])
        (serving,) = children_of(show.process.pid)
        assert show.end(number) == 0
        assert show.said[-1] == "The demo has ended; nothing is left behind."
    assert not is_alive(serving)
    assert not list(stage.iterdir())
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_ending_it_before_it_is_ready_leaves_nothing_either(tmp_path: Path) -> None:
    """Somebody who changes their mind at once."""
    show = Show(tmp_path, "--port", "0")
    wait_for(lambda: any(tmp_path.iterdir()) and children_of(show.process.pid), "the daemon's process")
    (serving, *_) = children_of(show.process.pid)
    assert show.end(signal.SIGINT) == 0
    assert not is_alive(serving)
    assert not list(tmp_path.iterdir())


def test_a_port_that_was_asked_for_and_is_taken_is_exit_7(tmp_path: Path) -> None:
    """Nobody is given another port than the one they asked for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        show = Show(tmp_path, "--port", str(taken.getsockname()[1]))
        said = show.process.communicate(timeout=PATIENCE)[0]
    assert show.process.returncode == 7
    assert "is taken" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_the_usual_port_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the usual port is taken another is picked, and that is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("daemon.demo.stage.USUAL_PORT", taken.getsockname()[1])
        port, meant = pick_port(None)
        assert port != taken.getsockname()[1] and not meant
        with pytest.raises(CannotListen):
            pick_port(taken.getsockname()[1])
    assert pick_port(None) == (daemon.demo.stage.USUAL_PORT, True)


def test_a_demo_whose_daemon_dies_says_so(tmp_path: Path) -> None:
    """It does not sit there as if all were well."""
    with running(tmp_path, "--port", "0") as show:
        show.lines()
        (serving,) = children_of(show.process.pid)
        os.kill(serving, signal.SIGKILL)
        said = show.process.communicate(timeout=PATIENCE)[0]
        assert show.process.returncode == 1
        assert "ended by itself" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())
