"""Runs and what they changed, for people: one way of showing them, whichever command does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from daemon.printing import plural, print_table, safe_lines, say
from sync.store.views import COUNTS, HoldView, RunView

_ALWAYS = ("added", "changed", "unchanged")


def print_runs(runs: Iterable[RunView]) -> None:
    """Print runs as a table, newest first as they come."""
    rows = [
        (run.id, run.source, run.state + (" (dry)" if run.dry_run else ""), run.requested_at, run.trigger, run.requested_by, summary(run))
        for run in runs
    ]
    print_table(["run", "source", "state", "requested", "trigger", "by", "what"], rows)


def summary(run: RunView) -> str:
    """Return what a run did in a few words."""
    if run.error:
        return run.error.message
    counted = [_counted(name, count) for name, count in run.counts.items() if count and name != "unchanged"]
    if run.state in ("waiting", "running"):
        return f"{run.phase}, {run.entries:,} entries" if run.phase else ""
    return ", ".join(counted) or "nothing new"


def _counted(name: str, count: int) -> str:
    noun, _, verb = name.partition("_")  # keys_issued; of people there is the verb alone
    return f"{plural(count, noun.removesuffix('s'))} {verb}" if verb else f"{count:,} {name}"


def print_results(runs: list[RunView]) -> None:
    """Print how runs ended: a table with a row for each and the counts that are not zero."""
    names = [name for name in COUNTS if name in _ALWAYS or any(run.counts.get(name) for run in runs)]
    columns = ["source", "run", "state", "entries", "seconds", *(name.replace("_", " ") for name in names)]
    rows = []
    for run in runs:
        took = f"{sum((run.seconds or {}).values()):.1f}"
        rows.append((run.source, run.id, state_of(run), f"{run.entries:,}", took, *(f"{run.counts.get(name, 0):,}" for name in names)))
    print_table(columns, rows, right=columns[3:])


def state_of(run: RunView) -> str:
    """Return a run's state; a dry run only would have come to it."""
    if not run.dry_run:
        return run.state
    return {"succeeded": "dry run", "held": "dry run: held"}.get(run.state, run.state)


def explain_end(run: RunView, hold: HoldView | None) -> Iterator[str]:
    """Yield the sentences that a run leaves to be said: why it was held or failed, and what to do."""
    if run.error:
        yield f"{run.source}: {run.error.message}"
        if run.error.remedy:
            yield run.error.remedy
    if run.only and run.state == "succeeded" and not run.entries and not any(run.counts.values()):
        yield f"{run.source}: no entry lists {run.only}, and nobody held it whose entry could be gone."
    if run.state == "held" and run.dry_run:
        yield f"{run.source}: a real run would be held: {plural(run.counts.get('withheld', 0), 'loss', 'losses')} over the limit would be withheld."
    elif run.state == "held" and hold and hold.run == run.id:
        yield f"{run.source}: held. {hold.why}"
        yield f"Look: rosterd runs show {run.id}   take them away: rosterd runs approve {run.id}   keep them: rosterd runs discard {run.id}"


def print_run(run: RunView, hold: HoldView | None) -> None:
    """Print one run in full, but for its changes."""
    say(f"run {run.id} of {run.source}: {state_of(run)}")
    for title, text in _facts(run, hold):
        say(f"  {title:<10} {safe_lines(text)}")


def _facts(run: RunView, hold: HoldView | None) -> Iterator[tuple[str, str]]:
    yield "requested", f"{run.requested_at} by {run.requested_by} ({run.trigger}), {run.mode}{f': {run.mode_reason}' if run.mode_reason else ''}"
    if run.only:
        yield "only", run.only
    if run.started_at:
        yield "ran", f"{run.started_at} to {run.finished_at or 'now'}"
    if run.phase:
        yield "phase", run.phase
    if run.server:
        yield "read", f"{plural(run.entries, 'entry', 'entries')} in {plural(run.pages, 'page')} from {run.server}{_extent(run)}"
    if run.seconds:
        yield "took", ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in run.seconds.items())
    if run.counts:
        yield "counts", summary(run) if not run.error else ""
    if hold and hold.run == run.id:
        yield "held", hold.why
    if run.decision:
        carried_out = f", carried out by run {run.decision.run}" if run.decision.run else ""
        yield "reverted" if run.state == "succeeded" else "decision", f"by {run.decision.by} at {run.decision.at}{carried_out}"
    if run.error:
        yield "error", f"{run.error.message} {run.error.remedy or ''}".strip()


def _extent(run: RunView) -> str:
    """Tell how much was read: a run for one person, or for what has changed, is none that broke off."""
    if run.only or run.complete is None:
        return ""
    if run.mode == "incremental":
        return ": what has changed, and a sample"
    return ", complete" if run.complete else ", incomplete"
