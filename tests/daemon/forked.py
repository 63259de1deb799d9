"""Processes of the `rosterd` command, or another, that need not import everything first: forked from one that has, and otherwise like any other."""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from daemon.command import COMMANDS

ROOT = Path(__file__).parents[2]
COMMANDING = (
    *(f"daemon.commands.{module}" for module in dict.fromkeys(COMMANDS.values())),
    "daemon.commands.carrying", "daemon.commands.looking", "daemon.relay", "api.audit", "api.auth.tokens", "ldap3", "rich.console", "rich.table",
    "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite", "sqlite3", "sync.store.engine", "sync.store.postgres",
    "sync.store.sqlite",
)  # fmt: skip
"""What commands import, at first and while they run."""
SERVING = (*COMMANDING, "daemon.serve", "daemon.systemd")
"""What the daemon imports."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, decoded."""
        return json.loads(self.out)


class Forked:
    """A process that was forked from another, as `subprocess.Popen` would show it."""

    def __init__(self, reply: BinaryIO) -> None:
        self._reply = reply
        self.pid = int(reply.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, None while it has not."""
        if self.returncode is None and select.select([self._reply], [], [], 0)[0]:
            self.returncode = int(self._reply.readline())
            self._reply.close()
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """Return how it ended. Raises TimeoutExpired."""
        if self.returncode is None and not select.select([self._reply], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("rosterd", timeout)
        return self.poll()  # type: ignore[return-value]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Fork:
    """The process to fork from. It begins with this environment, has imported these modules, and ends with whoever made it at the latest; what it
    forks calls `main` (MODULE:FUNCTION)."""

    def __init__(self, environment: dict[str, str], imports: tuple[str, ...], main: str = "daemon.command:main") -> None:
        self._line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.daemon.forked", str(far.fileno()), main, *imports]
        self._process = subprocess.Popen(
            command, env=environment, cwd=ROOT, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        far.close()
        atexit.register(self.close)

    def close(self) -> None:
        """Let it end."""
        self._line.close()
        self._process.wait(10)

    def start(self, arguments: tuple[str, ...], environment: dict[str, str], folder: Path, out: int, err: int) -> Forked:
        """Start it with these arguments as a new process with this environment, in this folder, that writes to these files."""
        reader, writer = os.pipe()
        order = json.dumps([arguments, environment, str(folder)]).encode()
        socket.send_fds(self._line, [order], [out, err, writer])
        os.close(writer)
        return Forked(os.fdopen(reader, "rb", buffering=0))

    def run(self, arguments: tuple[str, ...], environment: dict[str, str], folder: Path, patience: float) -> Done:
        """Run it with these arguments to its end, which it has to reach within so many seconds."""
        with TemporaryFile() as out, TemporaryFile() as err:
            status = self.start(arguments, environment, folder, out.fileno(), err.fileno()).wait(patience)
            return Done(status, *(_text_of(file) for file in (out, err)))


def _text_of(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode().replace("\r\n", "\n"))


def serve(line: socket.socket) -> None:
    """Fork a process for each order, until nobody can order any more. Returns in each of those processes, too: they are to run the command."""
    watching: set[int] = set()
    while True:
        order, files, *_ = socket.recv_fds(line, 1 << 18, 3)
        watching = {watch for watch in watching if os.waitpid(watch, os.WNOHANG) == (0, 0)}
        if not order:
            os._exit(0)
        watch = os.fork()
        if not watch:
            line.close()
            return _watch(*json.loads(order), *files)
        watching.add(watch)
        for file in files:
            os.close(file)


def _watch(arguments: list[str], environment: dict[str, str], folder: str, out: int, err: int, reply: int) -> None:
    """Fork the process that runs the command, report which it is and how it ended, and end; return in the one that runs it."""
    child = os.fork()
    if child:
        os.write(reply, f"{child}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(reply, f"{status}\n".encode())
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err, reply):
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["rosterd", *arguments]


def _end(end: SystemExit) -> None:
    """End as Python does, except that nothing of what is imported is taken apart: that is more work than most commands."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(end.code if isinstance(end.code, int) else 0)


if __name__ == "__main__":
    _, at, target, *names = sys.argv
    for name in names:
        import_module(name)
    module, _, function = target.partition(":")
    call = getattr(import_module(module), function)
    gc.freeze()  # what is imported stays shared: no collection of a forked process touches it
    serve(socket.socket(fileno=int(at)))
    try:
        call()
    except SystemExit as end:
        _end(end)
    _end(SystemExit(0))
