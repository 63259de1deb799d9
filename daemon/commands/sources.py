"""`rosterd sources`: how the directories are, and stopping one for a while."""

from __future__ import annotations

import click

from daemon.commands.opening import Opened, caller, opened
from daemon.commands.options import Plural, takes_config, takes_json
from daemon.printing import print_json, print_table, safe, say
from sync.store.views import SourceView


@click.group(cls=Plural)
@takes_config
def sources() -> None:
    """Look at sources, stop and start their schedule. Alone: list them."""


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


def all_sources(place: Opened) -> list[SourceView]:
    """Return every source that the store or the configuration knows."""
    from sync.store.sources import list_sources as known

    found = known(place.store)
    names = {one.name for one in found}
    nobody = dict.fromkeys(("active", "disabled", "missing", "removed"), 0)
    fresh = [SourceView(one.name, one.kind, "new", False, nobody, 0) for one in place.config.sources if one.name not in names]
    return [*found, *fresh]
