"""Running a program and measuring it: seconds on the wall clock, and the most memory it had resident."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class Failed(Exception):
    """A program of the benchmark ended badly, or did not do what it was measured for."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One finished program. `peak` in MiB, of the process itself."""

    seconds: float
    peak: float
    output: str


def measure(command: Sequence[str], output: Path, best_of: int = 1) -> Measured:
    """Run a program `best_of` times and return the quickest; its standard output goes to the file `output`. Raises Failed."""
    return min((_once(command, output) for _ in range(best_of)), key=lambda done: done.seconds)


def peak_of(pid: int) -> float:
    """Return the most MiB the process has had resident so far, 0 when it is gone.

    From /proc, because getrusage() of a child counts what its parent had resident when it was started.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def cpu_of(pid: int) -> float:
    """Return the seconds of processor that a process has used so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _once(command: Sequence[str], output: Path) -> Measured:
    peak, began = 0.0, time.perf_counter()
    with output.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        said = process.stderr.read().decode(errors="replace") if process.stderr else ""
    if process.returncode:
        raise Failed(f"{command[0]} ended with {process.returncode}: {said[-2000:]}")
    return Measured(seconds, peak, output.read_text(errors="replace"))
