"""A throw-away Debian with systemd as its first process, booted in a container of its own: what is done in it is gone afterwards."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds after which a test gives up waiting."""
ENVIRONMENT = [
    "env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "HOME=/root",
    "DEBIAN_FRONTEND=noninteractive",
]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true answer of `condition`."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE:g} seconds for {what}")


class Machine:
    """One boot of `rootfs`, on top of which everything is written to memory. Its network is a loopback of its own."""

    def __init__(self, rootfs: Path, name: str, log: Path) -> None:
        command = ["systemd-nspawn", "-q", "-D", str(rootfs), "--register=no", "--keep-unit", "--private-network", "--volatile=overlay"]
        command += ["--console=pipe", f"--machine={name}", "--boot"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        self.leader = 0
        try:
            wait_for(self._has_booted, f"the machine to boot ({log})")
        except BaseException:
            self.stop()
            raise

    def _has_booted(self) -> bool:
        assert self._process.poll() is None, "systemd-nspawn ended"
        # Asked anew each time: before the machine's first process there is another child of systemd-nspawn for a moment.
        found = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True).stdout.split()
        self.leader = int(found[0]) if found else 0
        return bool(found) and self.run("systemctl", "is-system-running", status=None).stdout.strip() in ("running", "degraded")

    def stop(self) -> None:
        """End the machine, and wait until it is gone."""
        if self._process.poll() is None:
            self._process.terminate()  # asks it to shut down …
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.terminate()  # … and the second time takes its processes away
                self._process.wait()

    def run(self, *command: str, status: int | None = 0, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the machine's root; it must end with `status` unless that is None."""
        more = [f"{name}={value}" for name, value in environment.items()]
        inside = ["nsenter", "-t", str(self.leader), "-a", *ENVIRONMENT, *more, *command]
        done = subprocess.run(inside, input=stdin, capture_output=True, text=True, timeout=300)
        assert status is None or done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def say(self, *command: str, **environment: str) -> str:
        """Return what a command prints."""
        return self.run(*command, **environment).stdout.strip()

    def path(self, inside: str) -> Path:
        """Return a file of the machine as this one sees it."""
        return Path(f"/proc/{self.leader}/root{inside}")

    def put(self, what: Path, inside: str) -> None:
        """Copy a file or a folder into the machine."""
        if what.is_dir():
            shutil.copytree(what, self.path(inside), symlinks=True)
        else:
            shutil.copy(what, self.path(inside))

    def write(self, inside: str, text: str) -> None:
        """Write a file of the machine; a new one is root's."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def show(self, unit: str, fact: str) -> str:
        """Return a property of a unit, as `systemctl show` tells it."""
        return self.say("systemctl", "show", "-P", fact, unit)

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the records of the journal with these fields, oldest first."""
        self.run("journalctl", "--sync")
        return [json.loads(line) for line in self.say("journalctl", "-o", "json", *matches).splitlines()]
