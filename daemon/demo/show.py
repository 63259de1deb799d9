"""`rosterd demo`: an embedded directory, the real daemon beside it, a first sync, and three lines to paste."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import daemon
from api.auth.tokens import Order, issue_token
from daemon.config import load
from daemon.demo.responder import Responder
from daemon.demo.stage import USUAL_PORT, Stage, pick_port
from daemon.process import child_command, child_environment
from sync.errors import RosterError
from sync.store import runs
from sync.store.engine import Store, open_store
from sync.store.views import RunView

_DAY = 86_400
_SOMEBODY = "ada.okafor@example.com"
_END_WITHIN = 25
_Say = Callable[[str], None]


class _Ended(Exception):
    """Somebody pressed Ctrl-C, or said SIGTERM."""


def demo(port: int | None, say: _Say) -> int:
    """Run the demo until Ctrl-C or SIGTERM; return the exit status. Raises CannotListen, or what the daemon failed with."""
    os.umask(0o077)
    with _told_to_end() as end:
        chosen, meant = pick_port(port)
        if not meant:
            say(f"Port {USUAL_PORT} is taken; the demo uses {chosen}.")
        try:
            with Responder() as responder, Stage(responder, chosen) as stage, _daemon(stage, end) as process:
                store = open_store(load(stage.config).store)
                try:
                    _tell(say, stage, responder, _first_run(store, process, stage, end), _header(stage, store))
                finally:
                    store.close()
                while not end.wait(0.2):
                    _check(process, stage)
        except _Ended:
            pass
        say("The demo has ended; nothing is left behind.")
    return 0


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """Yield an event that SIGINT, SIGTERM and SIGHUP set."""
    end = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, frame: end.set()) for number in numbers}
    try:
        yield end
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def _daemon(stage: Stage, end: threading.Event) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the daemon's process once it has said that it is ready; it ends with the context."""
    name = f"rosterd-demo-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor, stage.log.open("wb") as log:
        supervisor.bind("\0" + name)
        supervisor.settimeout(0.2)
        process = subprocess.Popen(  # noqa: S603 – our own program, our own words
            child_command("--config", str(stage.config), "serve"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=child_environment() | {"NOTIFY_SOCKET": "@" + name},
            start_new_session=True,  # Ctrl-C is ours; we tell the daemon
        )
        try:
            while not _is_ready(supervisor):
                _check(process, stage)
                if end.is_set():
                    raise _Ended
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(supervisor: socket.socket) -> bool:
    try:
        return b"READY=1" in supervisor.recv(4096).split(b"\n")
    except TimeoutError:
        return False


def _check(process: subprocess.Popen[bytes], stage: Stage) -> None:
    status = process.poll()
    if status is not None:
        said = stage.log.read_text(errors="backslashreplace")[-2000:]
        raise RosterError("demo_failed", f"The demo's daemon ended by itself (exit status {status}). It said last:\n{said}")


def _first_run(store: Store, process: subprocess.Popen[bytes], stage: Stage, end: threading.Event) -> RunView:
    """Return how the first sync ended; the daemon requests it by itself, because there has been none."""
    while True:
        newest, _ = runs.list_runs(store, limit=1)
        if newest and newest[0].state not in ("waiting", "running"):
            return newest[0]
        _check(process, stage)
        if end.wait(0.05):
            raise _Ended


def _header(stage: Stage, store: Store) -> Path:
    """Return a file for `curl -H @…` with a lookup token, so that no token stands in a command line."""
    token, _ = issue_token(store, load(stage.config).api, Order(role="lookup", ttl=_DAY, by="demo", label="demo"))
    return stage.write("lookup.header", f"Authorization: Bearer {token}")


def _tell(say: _Say, stage: Stage, responder: Responder, run: RunView, header: Path) -> None:
    if run.state != "succeeded" or run.error:
        raise RosterError("demo_failed", f"The first sync {run.state}: {run.error.message if run.error else 'see the log'}")
    people, keys = run.counts.get("added", 0), run.counts.get("keys_issued", 0)
    say(f"rosterd answers on {stage.url}. It has read {people} people from the demo's directory ({responder.url}) and issued {keys} keys.")
    say("Paste these into another terminal: a lookup, another sync, a look at the runs.")
    say("")
    say(f"  curl -s -H @{shlex.quote(str(header))} {stage.url}/api/users/email/{_SOMEBODY}/virtual-keys")
    say(f"  {_command(stage)} sync")
    say(f"  {_command(stage)} runs")
    say("")
    say("Ctrl-C ends the demo and leaves nothing behind.")


def _command(stage: Stage) -> str:
    """Return the beginning of a command line that runs this rosterd, whatever directory it is pasted in."""
    program = Path(sys.argv[0])
    if program.name == "rosterd":
        words = [str(program.absolute())]
    else:
        words = ["env", f"PYTHONPATH={Path(daemon.__file__).parents[1]}", sys.executable, "-m", "daemon"]
    return shlex.join([*words, "--config", str(stage.config)])
