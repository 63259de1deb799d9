"""`rosterd sources`: how the directories are, and stopping one for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from daemon.commands.opening import Opened, caller, opened
from daemon.commands.options import Plural, takes_config, takes_json
from daemon.printing import plural, print_json, print_table, safe, say
from sync.store.views import SourceView

if TYPE_CHECKING:
    from sync.store.adopting import Match


@click.group(cls=Plural)
@takes_config
def sources() -> None:
    """Look at sources, stop and start their schedule; let go or move the people of one that is no longer configured. Alone: list them."""


@sources.command("list")
@takes_json
def list_sources(as_json: bool) -> int:
    """List sources: state, people, when they were read, what waits for a decision."""
    with opened() as place:
        found = all_sources(place)
    if as_json:
        print_json(sources=found)
        return 0
    columns = ["source", "kind", "state", "active", "disabled", "missing", "unproven", "last read", "next", "held run"]
    rows = []
    for one in found:
        counts = [f"{one.people.get(state, 0):,}" for state in ("active", "disabled", "missing")]
        held = one.open_hold.run if one.open_hold else ""
        rows.append((one.name, one.kind, one.state, *counts, f"{one.unproven:,}", one.read_at or "never", one.due_at or "", held))
    print_table(columns, rows, right=columns[3:7])
    return 0


@sources.command()
@click.argument("name")
@takes_json
def pause(name: str, as_json: bool) -> int:
    """Stop the schedule of a source; lookups go on, and so do syncs that people ask for."""
    from sync.store import sources as kept

    with opened() as place:
        source = kept.pause(place.store, name, caller())
    if as_json:
        print_json(source=source)
    else:
        say(f"{safe(name)} is paused: its people stay as they are. `rosterd sources resume {safe(name)}` lets it go on.")
    return 0


@sources.command()
@click.argument("name")
@takes_json
def resume(name: str, as_json: bool) -> int:
    """Let the schedule of a source go on; it is due at once."""
    from sync.store import sources as kept

    with opened() as place:
        source = kept.resume(place.store, name, caller())
    if as_json:
        print_json(source=source)
    else:
        say(f"{safe(name)} goes on; the daemon reads it next.")
    return 0


@sources.command()
@click.argument("name")
@click.option("--people", type=click.IntRange(0), help="How many active people you expect to let go; --dry-run says it.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say who would go.")
@takes_json
def forget(name: str, people: int | None, dry_run: bool, as_json: bool) -> int:
    """Let everybody go of a source that is not in the configuration any more: no key of theirs works, their addresses are free."""
    from sync.store.forgetting import forget_source

    if people is None and not dry_run:
        raise click.UsageError("Say how many active people you expect to let go: --people N (or try --dry-run).")
    with opened() as place:
        done = forget_source(place.store, name, people or 0, caller(), dry_run=dry_run)
    if as_json:
        print_json(forgotten=done)
    else:
        say(f"{safe(name)}: {plural(done.people, 'person', 'people')} {'would be' if dry_run else 'were'} let go, {done.active:,} of them active.")
    return 0


@sources.command()
@click.argument("old")
@click.argument("new")
@click.option("--match", type=click.Choice(["email", "username"]), required=True, help="By what the same person is recognised in both.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would become of whom.")
@takes_json
def adopt(old: str, new: str, match: Match, dry_run: bool, as_json: bool) -> int:
    """Let NEW take over the people of OLD, which is not in the configuration any more: they keep their ids and keys.

    NEW must have been read. Who is not in it, or could be several there, stays with OLD.
    """
    from sync.store.adopting import adopt as take_over

    with opened() as place:
        done = take_over(place.store, old, new, match, caller(), dry_run=dry_run)
    if as_json:
        print_json(adoption=done)
        return 0
    for why, names in done.names.items():
        for username in names[:20]:
            say(f"  {why:<10} {safe(username)}")
        if len(names) > 20:
            say(f"  {why:<10} and {len(names) - 20:,} more")
    say(f"{safe(new)} {'would take' if dry_run else 'took'} over {plural(done.adopted, 'person', 'people')} of {safe(old)}.")
    if not dry_run and done.adopted:
        say(f"`rosterd sync {safe(new)}` now brings the rest of what it says about them.")
    return 0


def all_sources(place: Opened) -> list[SourceView]:
    """Return every source that the store or the configuration knows."""
    from sync.store.sources import list_sources as known

    found = known(place.store)
    names = {one.name for one in found}
    nobody = dict.fromkeys(("active", "disabled", "missing", "removed"), 0)
    fresh = [SourceView(one.name, one.kind, "new", False, nobody, 0) for one in place.config.sources if one.name not in names]
    return [*found, *fresh]
