"""Processes of the `rosterd` command that need not import everything first: forked from one that has, and otherwise like any other."""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

ROOT = Path(__file__).parents[3]
LAZY = ("daemon.commands.carrying", "daemon.commands.looking", "api.auth.tokens", "sync.store.engine", "sqlalchemy.dialects.sqlite.pysqlite")
"""What commands import while they run, beside their own modules."""


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


class Fork:
    """The process to fork from. It begins with this environment, and ends with whoever made it at the latest."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.daemon.commands.forked", str(far.fileno())]
        self._process = subprocess.Popen(
            command, env=environment, cwd=ROOT, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        far.close()
        atexit.register(self.close)

    def close(self) -> None:
        """Let it end."""
        self._line.close()
        self._process.wait(10)

    def run(self, arguments: tuple[str, ...], environment: dict[str, str], folder: Path, patience: float) -> Done:
        """Run `rosterd ARGUMENTS` in a new process with this environment, in this folder, for so many seconds at most."""
        reader, writer = os.pipe()
        with TemporaryFile() as out, TemporaryFile() as err, os.fdopen(reader, "rb") as reply:
            order = json.dumps([arguments, environment, str(folder)]).encode()
            socket.send_fds(self._line, [order], [out.fileno(), err.fileno(), writer])
            os.close(writer)
            assert select.select([reply], [], [], patience)[0], f"rosterd {arguments} did not end within {patience:g} seconds"
            status = int(reply.read())
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
    """Fork the process that runs the command, report how it ended, and end; return in the one that runs it."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(reply, str(status).encode())
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err, reply):
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["rosterd", *arguments]


if __name__ == "__main__":
    from daemon.command import COMMANDS, main

    for name in [f"daemon.commands.{module}" for module in COMMANDS.values()] + [*LAZY]:
        import_module(name)
    gc.freeze()  # what is imported stays shared: no collection of a forked process touches it
    serve(socket.socket(fileno=int(sys.argv[1])))
    main()
