"""What a run changed, would have changed or withheld, for people: a sign, who, what, and why, grouped by kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from daemon.printing import is_terminal, safe, say
from sync.store import runs
from sync.store.engine import Store
from sync.store.views import ChangeView, RunView, rfc3339


class Kind(NamedTuple):
    """How changes of one kind are shown."""

    sign: str
    heading: str
    colour: str


KINDS = {
    "key_issued": Kind("+", "Keys issued or enabled again", "green"),
    "added": Kind("+", "Joined", "green"),
    "returned": Kind("+", "Came back", "green"),
    "enabled": Kind("+", "Enabled again", "green"),
    "changed": Kind("~", "Changed", "yellow"),
    "refused": Kind("!", "Left out", "magenta"),
    "contested": Kind("!", "Addresses withheld because somebody else claims them", "magenta"),
    "unproven": Kind("?", "Not seen, and nothing proves that they are gone: kept", "cyan"),
    "disabled": Kind("-", "Disabled by the directory", "red"),
    "missing": Kind("-", "Gone from the directory", "red"),
    "removed": Kind("-", "Removed after the grace period", "red"),
    "key_disabled": Kind("-", "Keys disabled", "red"),
    "withheld": Kind("!", "Withheld until a human decides", "magenta"),
}
"""What gives comes first, what takes away last, so that it stands at the end of the screen."""

UNSHOWN = ("key_id", "event")
"""What programs read in the change of a key; people are told its name and the reason."""

MOST = 100
"""Lines of one kind on a terminal; a pipe gets all."""


def print_difference(store: Store, run: RunView, *, kind: str | None = None, everything: bool = False) -> None:
    """Print the changes of a run, of one kind or all."""
    short = is_terminal(sys.stdout) and not everything
    printed = [one for one in KINDS if kind in (None, one) and _print_kind(store, run, one, MOST if short else None)]
    if not printed:
        say("Nothing changes." if run.dry_run else "Nothing changed.")


def _print_kind(store: Store, run: RunView, kind: str, most: int | None) -> int:
    number = 0
    for number, change in enumerate(each_change(store, run.id, kind), 1):
        if number == 1:
            say(f"{KINDS[kind].heading}:")
        if most is not None and number > most:
            say(f"  … and more: rosterd runs show {run.id} --kind {kind} --all")
            break
        say(click.style(f"  {KINDS[kind].sign} {describe(change)}", fg=KINDS[kind].colour))
    return number


def each_change(store: Store, run_id: str, kind: str | None) -> Iterator[ChangeView]:
    """Yield the changes of a run, of one kind or all, in the order they were made."""
    cursor = None
    while True:
        page, cursor = runs.changes(store, run_id, kind=kind, limit=1000, cursor=cursor)
        yield from page
        if cursor is None:
            return


def describe(change: ChangeView) -> str:
    """Return one change as a line: who, what, and why."""
    before = change.before if isinstance(change.before, dict) else {}
    after = change.after if isinstance(change.after, dict) else {}
    said = [safe(change.email or after.get("username") or change.external_id or change.user_id or "an entry")]
    said += _introduction(after, change.email or "") if change.kind == "added" else _differences(before, after)
    if change.reason:
        said.append(f"({safe(change.reason)})")
    if change.evidence:
        said.append(f"[{safe(change.evidence)}]")
    return "  ".join(said)


def _introduction(after: dict[str, Any], email: str) -> list[str]:
    others = [address for address in after.get("emails", []) if address != email]
    said = [after.get("name") or after.get("username"), after.get("place"), f"also {', '.join(others)}" if others else ""]
    return [safe(part) for part in said if part]


def _differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if name == "groups":
            yield " ".join([*(f"-{safe(group)}" for group in old or []), *(f"+{safe(group)}" for group in new or [])])
        elif old != new and name not in UNSHOWN:
            yield f"{name}: {_shown(name, new)}" if old is None else f"{name}: {_shown(name, old)} → {_shown(name, new)}"


def _shown(name: str, value: Any) -> str:
    if value is None or value in ([], ""):
        return "nothing"
    if name.endswith("_at") and isinstance(value, int):
        return rfc3339(value) or ""
    return ", ".join(safe(item) for item in value) if isinstance(value, list) else safe(value)
