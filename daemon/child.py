"""How a child process begins (`python -m daemon.child …`): it ties its life to the daemon's, then runs the command it was given."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

PARENT = "ROSTERD_PARENT"
"""Environment: the process id that a child must not outlive."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that ends (prctl(2)); leave at once if it has ended already.

    Done here rather than between fork and exec, where a process with threads must not run Python.
    """
    parent = int(os.environ.pop(PARENT, "0"))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        sys.exit(0)


def main() -> None:
    """Run the `rosterd` command as a child of the daemon. SIGTERM unwinds it, so that the run records why it ended."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the daemon decides
    signal.signal(signal.SIGTERM, _leave)
    # Imported now: the process is tied, and what is heavy comes after.
    from daemon.logs import configure_logs

    configure_logs(prefixed=True)
    from daemon.command import main as run_command

    run_command()


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
