"""How a child process begins (`python -m daemon.child …`): it ties its life to the daemon's, gives way to it, then runs the command it was given."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from daemon import garbage

PARENT = "ROSTERD_PARENT"
"""Environment: the process id that a child must not outlive."""
NOT_MINE = 75
"""Exit status of a child whose run another process, perhaps of another node, took first (EX_TEMPFAIL of sysexits.h)."""
_PR_SET_PDEATHSIG = 1
_NICENESS = 10
"""About a tenth of a processor that lookups want too, and all that they leave."""
_ENDED_FIRST = "500"
"""Of -1000 to 1000 (proc(5)): for want of memory the kernel ends the process that has most, and half of all memory is added to ours."""


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that ends (prctl(2)); leave at once if it has ended already.

    Done here rather than between fork and exec, where a process with threads must not run Python.
    """
    parent = int(os.environ.pop(PARENT, "0"))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        sys.exit(0)


def give_way() -> None:
    """Let the daemon's lookups go first, and be the one that ends when memory does, for a sync can be done again.

    Our unit for systemd forbids a process to change its priority, and does it itself: there the daemon has one, and its children begin without.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_ENDED_FIRST)
    with suppress(OSError):
        os.nice(_NICENESS)


def main() -> None:
    """Run the `rosterd` command as a child of the daemon. SIGTERM unwinds it, so that a run records why it ended."""
    die_with_parent()
    give_way()
    garbage.look_seldom()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the daemon decides
    signal.signal(signal.SIGTERM, _leave)
    # Imported now: the process is tied, and what is heavy comes after.
    from daemon.handover import is_handed
    from daemon.logs import configure_logs

    configure_logs(prefixed=True)
    if is_handed():
        status = _perform(sys.argv[-1])
        garbage.look_no_more()
        sys.exit(status)
    from daemon.command import main as run_command

    run_command()


def _perform(run_id: str) -> int:
    """Do what `rosterd sync --run` does, by the configuration that the daemon has handed over; return the exit status."""
    from daemon.commands.carrying import perform_here, status_of
    from daemon.commands.opening import Opened
    from daemon.commands.progress import Silent
    from daemon.handover import take
    from sync.errors import RosterError
    from sync.store import runs
    from sync.store.engine import open_store

    config = take()
    os.umask(0o077)
    try:
        everything = Opened(config, open_store(config.store))
        source = everything.source(runs.get(everything.store, run_id).source)
        return status_of([perform_here(everything, everything.vault(), source, run_id, Silent())])
    except RosterError as error:
        if error.code == "run_not_waiting":
            return NOT_MINE
        logging.getLogger(__name__).error("a run could not begin", extra={"event": "child.failed", "code": error.code, "why": str(error)})
        return error.exit_status


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
