"""Carrying a requested run to its end, here or by waiting for whoever does it first."""

from __future__ import annotations

import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from daemon.commands.opening import Opened
from daemon.commands.progress import Watcher
from sync.errors import Conflict
from sync.run import RunSetting, perform
from sync.settings import SourceSettings
from sync.sources import normalise_group, open_source
from sync.store import runs
from sync.store.lease import Progress
from sync.store.views import RunView

if TYPE_CHECKING:
    from sync.vault import Vault

LOOK_EVERY = 0.5
"""Seconds between two looks at a run that another process carries out."""

DONE, BUG, HELD, FAILED, STORE, REFUSED, CONFIGURATION = 0, 1, 3, 4, 5, 6, 78
_WORST_FIRST = (BUG, CONFIGURATION, STORE, FAILED, REFUSED, HELD, DONE)
_STATUS_OF_STATE = {"succeeded": DONE, "held": HELD, "failed": FAILED}
_STATUS_OF_ERROR = {"bug": BUG, "config_invalid": CONFIGURATION, "store_unavailable": STORE, "store_too_new": STORE}


def perform_here(opened: Opened, vault: Vault, source: SourceSettings, run_id: str, watcher: Watcher) -> RunView:
    """Perform a waiting run in this process; return it, still waiting if another process syncs the source now."""
    config = opened.config
    setting = RunSetting(
        opened.store, vault, source, config.policies, partial(open_source, snapshot=opened.store.read), partial(normalise_group, source.kind),
        progress=watcher.progress, mint=opened.mint(), revive_within=config.revive_within,
    )  # fmt: skip
    return perform(setting, run_id)


def carry_out(opened: Opened, vault: Vault, source: SourceSettings, run: RunView, watcher: Watcher) -> RunView:
    """Return the run once it has ended: performed here, or by the daemon if that was quicker."""
    while run.state in ("waiting", "running"):
        if run.state == "waiting":
            try:
                run = perform_here(opened, vault, source, run.id, watcher)
            except Conflict as error:
                if error.code != "run_not_waiting":
                    raise
                run = runs.get(opened.store, run.id)
        if run.state == "waiting":
            watcher.wait(_whom_for(opened, source.name))
        elif run.state == "running":
            watcher.progress(Progress(run.phase or "connect", run.pages, run.entries, run.server or ""))
        else:
            break
        time.sleep(LOOK_EVERY)
        run = runs.get(opened.store, run.id)
    return run


def _whom_for(opened: Opened, source: str) -> str:
    running, _ = runs.list_runs(opened.store, source=source, state="running", limit=1)
    return f"waiting for run {running[0].id} of {running[0].requested_by}" if running else "waiting"


def status_of(ended: list[RunView]) -> int:
    """Return the exit status for runs that have ended: the worst of theirs."""
    return min((_status(run) for run in ended), key=_WORST_FIRST.index, default=DONE)


def _status(run: RunView) -> int:
    if run.state == "failed" and run.error:
        return _STATUS_OF_ERROR.get(run.error.code, FAILED)
    return _STATUS_OF_STATE.get(run.state, REFUSED)


def leave_when_told() -> None:
    """End at once on SIGTERM: what a run has not committed is not there, and its record says that it was told to stop."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)
