"""`rosterd sync`: the same sync the daemon runs, in the foreground."""

from __future__ import annotations

import click

from daemon.commands.opening import Opened, caller, opened
from daemon.commands.options import takes_json
from daemon.printing import print_json, safe_lines, say
from sync.settings import SourceSettings
from sync.store.views import RunView


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]…")
@click.option("--full", is_flag=True, help="Read everything, not only what has changed.")
@click.option("--dry-run", is_flag=True, help="Change nothing; print what would change.")
@click.option("--only", metavar="EMAIL", default="", help="Read and apply one person at once, outside the guard.")
@click.option("--run", "run_id", metavar="ID", hidden=True, help="Perform this waiting run, quietly, and exit.")
@takes_json
def sync(sources: tuple[str, ...], full: bool, dry_run: bool, only: str, run_id: str | None, as_json: bool) -> int:
    """Read directories and make the store equal to what they say.

    Without SOURCE all of them, one after the other. Exit status 3 if a run was held, 4 if a source failed.
    """
    from daemon.commands import carrying

    carrying.leave_when_told()
    with opened() as everything:
        if run_id:
            return _perform(everything, run_id)
        chosen = _chosen(everything, sources)
        ended = [_sync_one(everything, source, full=full, dry_run=dry_run, only=only) for source in chosen]
        if as_json:
            print_json(**({"run": ended[0]} if len(ended) == 1 else {"runs": ended}))
        else:
            _print(everything, ended)
    return carrying.status_of(ended)


def _chosen(everything: Opened, names: tuple[str, ...]) -> list[SourceSettings]:
    from sync.store.sources import declare

    declare(everything.store, everything.config.sources, everything.config.policies)
    return [everything.source(name) for name in dict.fromkeys(names)] or list(everything.config.sources)


def _sync_one(everything: Opened, source: SourceSettings, *, full: bool, dry_run: bool, only: str) -> RunView:
    from daemon.commands.carrying import carry_out
    from daemon.commands.progress import watch
    from sync.store import runs
    from sync.store.people import matched_form

    if only:
        matched_form(only)
    mode, reason = ("full", "full was asked for") if full else ("incremental", "")
    run = runs.request(everything.store, source.name, trigger="cli", requested_by=caller(), mode=mode, mode_reason=reason, dry_run=dry_run, only=only)
    with watch(source.name) as watcher:
        return carry_out(everything, everything.vault(), source, run, watcher)


def _perform(everything: Opened, run_id: str) -> int:
    from daemon.commands.carrying import perform_here, status_of
    from daemon.commands.progress import Silent
    from sync.store import runs

    run = runs.get(everything.store, run_id)
    return status_of([perform_here(everything, everything.vault(), everything.source(run.source), run.id, Silent())])


def _print(everything: Opened, ended: list[RunView]) -> None:
    from daemon.commands.difference import print_difference
    from daemon.commands.showing import explain_end, print_results
    from sync.store.sources import get_source

    for run in ended:
        if run.dry_run and run.state in ("succeeded", "held"):
            print_difference(everything.store, run)
    print_results(ended)
    for run in ended:
        for sentence in explain_end(run, get_source(everything.store, run.source).open_hold):
            say(safe_lines(sentence))
