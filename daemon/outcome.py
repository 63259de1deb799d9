"""How a run ended, said once in the log."""

from __future__ import annotations

import logging

from sync.store.views import RunView

_log = logging.getLogger(__name__)

_SAID = {
    "succeeded": (logging.INFO, "a sync succeeded"),
    "held": (logging.WARNING, "a sync withholds what only a human may take away: see `rosterd runs show`, then approve or discard"),
    "failed": (logging.ERROR, "a sync failed; lookups are answered from the last good one"),
    "cancelled": (logging.INFO, "a sync was cancelled; nothing was changed"),
}


def log_outcome(run: RunView, *, repeated: bool = False) -> None:
    """Log how a run ended, with what it counted and why it failed; `repeated` = it withholds just what the one before it did."""
    level, message = _SAID.get(run.state, (logging.WARNING, "a sync is in a state that nobody expected"))
    if repeated:
        level, message = logging.INFO, "a sync withholds the same as the one before it, which waits for a human"
    facts = {"event": f"run.{run.state}", "run": run.id, "source": run.source, "trigger": run.trigger, "entries": run.entries}
    facts |= {name: count for name, count in run.counts.items() if count and name != "unchanged"}
    if run.dry_run:
        facts["dry_run"] = "yes"
    if run.error:
        facts |= {"code": run.error.code, "why": run.error.message, "remedy": run.error.remedy or ""}
    _log.log(level, message, extra=facts)
