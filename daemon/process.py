"""One child process: started without our secrets and our sockets, its words taken into our log, ended when need be."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import daemon
from daemon.child import PARENT
from daemon.handover import VARIABLE

_log = logging.getLogger(__name__)

_PASSED_ON = {
    "PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SQLITE_TMPDIR", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "KRB5_CONFIG", "KRB5CCNAME", "KRB5_CLIENT_KTNAME", "RES_OPTIONS", "PYTHONUTF8", "PYTHONWARNINGS",
}  # fmt: skip
_PASSED_ON_BEGINNINGS = ("LC_", "COVERAGE_")
_LEVELS = {"<2>": logging.CRITICAL, "<3>": logging.ERROR, "<4>": logging.WARNING, "<6>": logging.INFO, "<7>": logging.DEBUG}
_LONGEST_LINE = 4000


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs: its command line, and octets that it is handed in memory (they may be secret)."""

    command: list[str]
    handed: bytes = field(default=b"", repr=False)


def child_command(*arguments: str) -> list[str]:
    """Return the command line that runs `rosterd ARGUMENTS` as a child of this process."""
    return [sys.executable, "-P", "-m", "daemon.child", *arguments]


def child_environment() -> dict[str, str]:
    """Return what a child may know of our environment: a list of what it needs, not of what it must not have."""
    kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_BEGINNINGS)}
    return kept | {"PYTHONPATH": str(Path(daemon.__file__).parents[1]), PARENT: str(os.getpid())}


class Process:
    """A running child. What it writes is logged under `facts` (its run, its source)."""

    def __init__(self, process: asyncio.subprocess.Process, facts: Mapping[str, str]) -> None:
        self._process, self._facts = process, facts
        self._told = False
        self.killed_because = ""
        self._listening = [asyncio.create_task(self._listen(stream)) for stream in (process.stdout, process.stderr) if stream]

    @classmethod
    async def start(cls, program: Program, facts: Mapping[str, str]) -> Process:
        """Start it. Raises OSError."""
        memory = os.memfd_create("handed")
        try:
            with open(memory, "wb", closefd=False) as handed:
                handed.write(program.handed)
            os.lseek(memory, 0, os.SEEK_SET)
            process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                pass_fds=[memory],
                env=child_environment() | ({VARIABLE: str(memory)} if program.handed else {}),
            )
        finally:
            os.close(memory)
        return cls(process, facts)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Return its exit status (negative: the signal that ended it) once it has ended and everything it said is logged."""
        status = await self._process.wait()
        # A grandchild may hold the pipes open; what it says is no longer ours.
        _, late = await asyncio.wait(self._listening, timeout=2)
        for listening in late:
            listening.cancel()
        return status

    def terminate(self) -> None:
        """Ask it to end; asked once only, since a second SIGTERM would tell it nothing new."""
        if not self._told:
            self._told = True
            self._signal(signal.SIGTERM)

    def kill(self, why: str = "did not end when asked to") -> None:
        """End it. Safe at any moment: what its run has not committed is not there."""
        if self._process.returncode is None:
            self.killed_because = why
            _log.warning("a child process is killed", extra={"event": "child.killed", "why": why, **self._facts})
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._say(line)
            if len(rest) > _LONGEST_LINE:
                self._say(rest)
                rest = b""
        self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode("utf-8", "backslashreplace").strip()
        level = _LEVELS.get(text[:3])
        said = text[3:] if level else text
        if said:
            _log.log(level or logging.INFO, "a child process says", extra={"event": "child.said", "said": said, **self._facts})
