"""A daemon's child that stops itself (SIGSTOP) once, at the seam that a file names; without one it is an ordinary child."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import sync.run
from sync.pulse import Pulse

SEAMS = ("start", "connect", "read", "plan", "evidence", "keys", "apply", "finish")
"""Before the lease is taken; at the beginning of each phase; in the write transaction when all is written; after the commit."""


def main() -> None:
    """Stop where the file says, then go on as any child."""
    seam = Path(sys.argv.pop(1)).read_text().strip()
    if seam:
        _place(seam)
    from daemon.child import main as begin

    begin()


def _place(seam: str) -> None:
    run: Any = sync.run
    attempt: Any = sync.run._Attempt
    if seam == "start":
        run.start = _stopping_before(run.start)
    elif seam == "apply":
        attempt._finish = _stopping_before(attempt._finish)
    elif seam == "finish":
        attempt.run = _stopping_after(attempt.run)
    else:
        beat = Pulse.beat

        def stopping(self: Pulse, progress: Any) -> None:
            beat(self, progress)
            if progress.phase == seam:
                Pulse.beat = beat  # type: ignore[method-assign]
                _stop()

        Pulse.beat = stopping  # type: ignore[method-assign]


def _stopping_before(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def stopping(*given: Any) -> Any:
        _stop()
        return original(*given)

    return stopping


def _stopping_after(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def stopping(*given: Any) -> Any:
        done = original(*given)
        _stop()
        return done

    return stopping


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
