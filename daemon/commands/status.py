"""`rosterd status`: one screen that says how everything is, and what to do about what is not well."""

from __future__ import annotations

from dataclasses import dataclass

import click

from daemon.commands.health import Problem
from daemon.commands.opening import Opened, opened
from daemon.commands.options import takes_json
from daemon.printing import plural, print_json, print_table, safe, safe_lines, say, warn
from sync.errors import RosterError
from sync.store.views import RunView, SourceView

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
RUNS = 5


@dataclass(frozen=True, slots=True)
class Screen:
    """What the screen shows. `contested` = the number of contested addresses."""

    sources: list[SourceView]
    runs: list[RunView]
    contested: int
    problems: list[Problem]

    @property
    def level(self) -> int:
        """How bad it is, as monitoring counts."""
        levels = {problem.level for problem in self.problems}
        return CRITICAL if "critical" in levels else WARNING if levels else OK


@click.command()
@click.option("--exit-code", is_flag=True, help="End with 0, 1, 2 or 3 for ok, warning, critical or unknown, as monitoring expects.")
@takes_json
def status(exit_code: bool, as_json: bool) -> int:
    """Show sources, staleness, holds, unproven people, last runs and what expires next, with a remedy for each problem."""
    try:
        with opened() as place:
            screen = look(place)
    except RosterError as error:
        if not exit_code:
            raise
        warn(f"rosterd: {safe_lines(error)}")
        say("UNKNOWN: nothing can be said about rosterd.")
        return UNKNOWN
    if as_json:
        level = ("ok", "warning", "critical")[screen.level]
        print_json(
            status={"level": level, "problems": screen.problems, "sources": screen.sources, "runs": screen.runs, "contested": screen.contested}
        )
    else:
        _print(screen)
    return screen.level if exit_code else OK


def look(place: Opened) -> Screen:
    """Return what there is to show. Raises StoreUnavailable."""
    from daemon.commands.health import ending_tokens, judge_source, judge_tokens
    from daemon.commands.restoring import interrupted
    from daemon.commands.sources import all_sources
    from sync.store import addresses, runs

    settings = {one.name: one for one in place.config.sources}
    sources, now = all_sources(place), place.store.now()
    problems = [problem for one in sources for problem in judge_source(one, settings.get(one.name), now)]
    if interrupted(place.config):
        what = "A restore was interrupted before it took effect: the store is the one from before it."
        problems.append(Problem("warning", what, "rosterd store restore FILE"))
    problems += judge_tokens(ending_tokens(place.store, now), now)
    problems.sort(key=lambda problem: problem.level)
    recent, _ = runs.list_runs(place.store, limit=RUNS)
    return Screen(sources, recent, len(addresses.conflicts(place.store)), problems)


def _print(screen: Screen) -> None:
    from daemon.commands.showing import print_runs

    worst = ("OK", "WARNING", "CRITICAL")[screen.level]
    say(f"{worst}: {plural(len(screen.problems), 'thing needs', 'things need')} a look." if screen.problems else "OK: everything is in step.")
    for problem in screen.problems:
        say(f"  {problem.level:<8}  {safe(problem.what)}")
        say(f"            → {safe(problem.remedy)}")
    say()
    columns = ["source", "state", "active", "disabled", "missing", "unproven", "last read", "next"]
    rows = []
    for one in screen.sources:
        counts = [f"{one.people.get(state, 0):,}" for state in ("active", "disabled", "missing")]
        rows.append((one.name, one.state, *counts, f"{one.unproven:,}", one.read_at or "never", one.due_at or ""))
    print_table(columns, rows, right=columns[2:6])
    say()
    if screen.contested:
        say(f"{plural(screen.contested, 'contested address', 'contested addresses')}: rosterd conflicts")
    if screen.runs:
        print_runs(screen.runs)
