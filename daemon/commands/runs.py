"""`rosterd runs`: what syncs did, and the decisions that held ones wait for."""

from __future__ import annotations

import click

from daemon.commands.opening import Opened, caller, opened
from daemon.commands.options import Plural, takes_config, takes_json
from daemon.printing import print_json, safe, safe_lines, say, warn
from sync.store.views import HoldView, RunView

STATES = ("waiting", "running", "succeeded", "held", "failed", "cancelled", "discarded")


@click.group(cls=Plural)
@takes_config
def runs() -> None:
    """Look at runs, and decide on those that were held. Alone: list them.

    ID may be the beginning of an id, six characters or more.
    """


@runs.command("list")
@click.option("--source", metavar="NAME", help="Only of this source.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--cursor", metavar="TEXT", help="Go on where a list ended.")
@takes_json
def list_runs(source: str | None, state: str | None, limit: int, cursor: str | None, as_json: bool) -> int:
    """List runs, newest first."""
    from daemon.commands.showing import print_runs
    from sync.store import runs as store_runs

    with opened() as everything:
        found, more = store_runs.list_runs(everything.store, source=source, state=state, limit=limit, cursor=cursor)
    if as_json:
        print_json(runs=found, cursor=more)
        return 0
    print_runs(found)
    if more:
        warn(f"There are more: --cursor {more}")
    return 0


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--kind", metavar="KIND", help="Only changes of this kind: added, changed, missing, withheld …")
@click.option("--all", "everything", is_flag=True, help="All changes, also with --json; a terminal is shown a hundred of each kind.")
@takes_json
def show(run_id: str, kind: str | None, everything: bool, as_json: bool) -> int:
    """Show a run: what it read, what it changed and withheld, and why it ended as it did."""
    from daemon.commands.difference import KINDS, each_change, print_difference
    from daemon.commands.showing import print_run
    from sync.store import runs as store_runs

    if kind is not None and kind not in KINDS:
        raise click.BadParameter(f"is one of {', '.join(KINDS)}", param_hint="--kind")
    with opened() as place:
        run = store_runs.get(place.store, run_id)
        if as_json:
            print_json(run=run, changes=list(each_change(place.store, run.id, kind)) if kind or everything else None)
            return 0
        print_run(run, _hold(place, run))
        if run.state not in ("waiting", "running", "failed"):
            print_difference(place.store, run, kind=kind, everything=everything)
    return 0


@runs.command()
@click.argument("run_id", metavar="ID")
@takes_json
def approve(run_id: str, as_json: bool) -> int:
    """Let a held run take away exactly what it withholds, and wait for the result.

    Only those who are still gone lose something; whoever has left since is withheld again (exit status 3).
    """
    from daemon.commands import carrying
    from daemon.commands.progress import watch
    from daemon.commands.showing import explain_end, print_results
    from sync.store import runs as store_runs

    carrying.leave_when_told()
    with opened() as place:
        source = place.source(store_runs.get(place.store, run_id).source)
        vault = place.vault()
        run = store_runs.approve(place.store, run_id, caller())
        with watch(source.name) as watcher:
            run = carrying.carry_out(place, vault, source, run, watcher)
        if as_json:
            print_json(run=run)
        else:
            print_results([run])
            for sentence in explain_end(run, _hold(place, run)):
                say(safe_lines(sentence))
    return carrying.status_of([run])


@runs.command()
@click.argument("run_id", metavar="ID")
@takes_json
def discard(run_id: str, as_json: bool) -> int:
    """Keep what a held run wants to take away, and raise no alarm again for exactly this set."""
    from sync.store import runs as store_runs

    with opened() as place:
        run = store_runs.discard(place.store, run_id, caller())
    if as_json:
        print_json(run=run)
    else:
        say(f"Run {run.id} of {safe(run.source)} is discarded: its people keep what they have. A larger set is held again.")
    return 0


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@takes_json
def revert(run_id: str, dry_run: bool, as_json: bool) -> int:
    """Undo what a run did to people and addresses, and pause its source, so that the next sync does not do it again.

    Whoever was changed since stays as they are, and so does an address that somebody else holds now; each is named. Keys keep their values.
    """
    from daemon.commands.difference import print_difference
    from sync.store.reverting import Asked, revert

    with opened() as place:
        run = revert(place.store, run_id, Asked(caller(), "cli", dry_run))
        if as_json:
            print_json(run=run)
            return 0
        print_difference(place.store, run)
    if dry_run:
        say(f"Nothing was changed: this is what {safe(run.mode_reason)} would do.")
        return 0
    say(f"This is run {run.id}, {safe(run.mode_reason)}; it can be reverted like any other. The source {safe(run.source)} is paused.")
    say(f"Correct the directory or the configuration, look at `rosterd sync {safe(run.source)} --full --dry-run`, then go on with")
    say(f"`rosterd sources resume {safe(run.source)}`: everybody is read again, and what the directory still says happens again.")
    return 0


@runs.command()
@click.argument("run_id", metavar="ID")
@takes_json
def cancel(run_id: str, as_json: bool) -> int:
    """Cancel a waiting run at once, ask a running one to stop before its commit."""
    from sync.store import runs as store_runs

    with opened() as place:
        run = store_runs.cancel(place.store, run_id, caller())
    if as_json:
        print_json(run=run)
    else:
        say(
            f"Run {run.id} is cancelled."
            if run.state == "cancelled"
            else f"Run {run.id} is asked to stop; it changes nothing unless it was committing."
        )
    return 0


def _hold(place: Opened, run: RunView) -> HoldView | None:
    from sync.store.sources import get_source

    return get_source(place.store, run.source).open_hold
