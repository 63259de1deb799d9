"""Freezing a process: alive, and deaf."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def freeze(pid: int) -> None:
    """Stop a process and return once each of its threads has: on a busy machine that takes its time, and until then they go on answering.

    Raises ProcessLookupError for one that has ended.
    """
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")
    while threads.exists() and not all(_is_stopped(thread) for thread in threads.glob("*")):
        time.sleep(0.001)


def thaw(pid: int) -> None:
    """Undo `freeze`. Raises ProcessLookupError for one that has ended."""
    os.kill(pid, signal.SIGCONT)


def _is_stopped(thread: Path) -> bool:
    """Tell whether a thread is stopped (proc(5), stat: the state follows the name), or has ended meanwhile."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] in ("T", "Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True
