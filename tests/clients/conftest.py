"""A laptop for each test: a user who is not root, a folder of theirs, and clients/rosterd-key run by one shell after the other."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clients.instead import KEY, TOKEN, Server, answer

ROOT = Path(__file__).parents[2]
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "ash"]}
TOOLS = {
    "bash": {"awk": "original-awk"},
    "busybox": dict.fromkeys(["awk", "ls", "od", "tr", "wc", "rm", "mv", "mkdir", "mktemp", "find", "cut", "date", "sleep", "id"], "busybox"),
}
"""Whose tools come with a shell: bash goes with the awk of the BSDs, as on macOS; busybox with its own."""

PATH_LINE = "PATH=/usr/bin:/bin:/usr/sbin:/sbin; export PATH"


@dataclass(frozen=True)
class Ended:
    """How the client ended."""

    status: int
    out: str
    err: str


@dataclass
class Laptop:
    """`run` starts the client as the laptop's user, with the device token in a file of theirs."""

    folder: Path
    shell: list[str]
    url: str = ""
    owner: int = field(default_factory=lambda: pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file that belongs to the laptop's user."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, self.owner, -1)
        return path

    @property
    def identity(self) -> dict[str, Any]:
        """What makes subprocess start something as the laptop's user."""
        return {"user": self.owner, "group": pwd.getpwuid(self.owner).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def state(self) -> dict[str, str]:
        """What the copy says."""
        lines = (self.cache / "rosterd-key.state").read_text().splitlines()
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}

    def edit(self, **changed: object) -> None:
        """Change what the copy says, as time or an attacker would."""
        state = self.state | {name: str(value) for name, value in changed.items()}
        self.write("cache/rosterd-key.state", "".join(f"{name} {value}\n" for name, value in state.items()))

    def command(self, *more: str, credential: bool = True) -> list[str]:
        """Return the command line."""
        token = ["--token-file", str(self.folder / "device.token")] if credential else []
        return [*self.shell, str(self.folder / "rosterd-key"), "--url", self.url, "--cache-dir", str(self.cache), *token, *more]

    def run(self, *more: str, status: int = 0, credential: bool = True, variables: dict[str, str] | None = None) -> Ended:
        """Run it and expect how it ends, and that no process of it leaves anything but the copy behind."""
        command, environment = self.command(*more, credential=credential), {"HOME": str(self.folder), **(variables or {})}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", env=environment, **self.identity)
        ended = Ended(done.returncode, done.stdout, done.stderr)
        assert ended.status == status, ended
        assert not ended.out or ended.out.count("\n") == 1
        assert not self.cache.exists() or {path.name for path in self.cache.iterdir()} <= {"rosterd-key.state"}
        return ended


@contextmanager
def make_laptop(shell: str) -> Iterator[Laptop]:
    """Yield a laptop with this shell and its tools."""
    folder = Path(tempfile.mkdtemp(prefix="rosterd-laptop-"))
    try:
        made = Laptop(folder, SHELLS[shell])
        folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(folder, made.owner, -1)
        _install(folder, TOOLS.get(shell, {}))
        yield made
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=SHELLS)
def laptop(request: pytest.FixtureRequest) -> Iterator[Laptop]:
    """Return a laptop whose shell is one of the three."""
    with make_laptop(request.param) as made:
        yield made


def _install(folder: Path, tools: dict[str, str]) -> None:
    """Put the client into the folder, as it is but for one line: the folder of the tools that it is to use comes first."""
    script = (ROOT / "clients/rosterd-key").read_text()
    assert script.count(PATH_LINE) == 1
    (folder / "tools").mkdir(mode=0o755)
    for name, tool in tools.items():
        (folder / "tools" / name).symlink_to(str(shutil.which(tool)))
    (folder / "rosterd-key").write_text(script.replace(PATH_LINE, PATH_LINE.replace("=", f"={folder}/tools:", 1)))
    (folder / "rosterd-key").chmod(0o755)


@pytest.fixture
def server(laptop: Laptop) -> Iterator[Server]:
    """Return a server that the laptop takes for rosterd, and that has given it its key."""
    running = Server()
    laptop.url = running.url
    laptop.write("device.token", TOKEN + "\n")
    running.say(answer(), ETag='"abc"')
    assert laptop.run().out == KEY + "\n"
    yield running
    running.close()
