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
    """One finished program. `peak` in MB (10⁶ octets), of the process itself."""

    seconds: float
    peak: float
    output: str


def measure(command: Sequence[str], output: Path, *, keep: bool = True) -> Measured:
    """Run a program; its standard output goes to the file `output`, and into what is returned unless `keep` is false. Raises Failed."""
    peak, began = 0.0, time.perf_counter()
    with output.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        said = process.stderr.read().decode(errors="replace") if process.stderr else ""
    if process.returncode:
        raise Failed(f"{command[0]} ended with {process.returncode}: {said[-2000:]}")
    return Measured(seconds, peak, output.read_text(errors="replace") if keep else "")


def expect(what: str, found: float, wanted: float) -> None:
    """Raise Failed for a wrong count."""
    if found != wanted:
        raise Failed(f"{what}: {found} instead of {wanted}")


def peak_of(pid: int) -> float:
    """Return the most MB (10⁶ octets) the process has had resident so far, 0 when it is gone.

    From /proc, because getrusage() of a child counts what its parent had resident when it was started.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def cpu_of(pid: int) -> float:
    """Return the seconds of processor that a process has used so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
