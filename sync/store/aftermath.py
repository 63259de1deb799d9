"""What has become of the people whom a run changed: whoever still is as that run left them can be put back, whoever changed since is left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, String, bindparam, text
from sqlalchemy.engine import Row

from sync.store import images, kept
from sync.store.images import Image
from sync.store.rows import decoded
from sync.user import Kept, spelt

REVERT_OF = "revert of "
"""How the `mode_reason` of a revert begins; the id of the reverted run follows."""

_STATES = {"added": ("active", "disabled"), "missing": ("missing",), "removed": ("removed",)}
_PEOPLE = ("added", "changed", "disabled", "enabled", "missing", "returned", "removed", "key_issued", "key_disabled")
"""The kinds of changes that a revert undoes."""

_TOUCHED = text(
    "select distinct user_id from (select user_id from change where run_id = :run and kind in :kinds and user_id is not null"
    " union all select user_id from user_before where run_id = :run) as touched order by user_id"
).bindparams(bindparam("kinds", expanding=True, type_=String()))
_OWN = text("select * from change where run_id = :run and kind in :kinds and user_id in :ids order by id").bindparams(
    bindparam("kinds", expanding=True, type_=String()), bindparam("ids", expanding=True, type_=String())
)
_LATER = text(
    "select distinct c.user_id, r.id, r.mode_reason from change c join run r on r.id = c.run_id"
    " where c.user_id in :ids and c.kind in :kinds and not r.dry_run and c.id > :last order by 1, 2"
).bindparams(bindparam("kinds", expanding=True, type_=String()), bindparam("ids", expanding=True, type_=String()))
_LAST = text(
    "select coalesce((select max(id) from change where run_id = :run),"  # a run that only ended quarantines has none
    " (select max(c.id) from change c join run r on r.id = c.run_id where r.finished_at <= :ended), 0)"
)
_ROWS = text('select id, source, blocked_at is not null as blocked from "user" where id in :ids').bindparams(
    bindparam("ids", expanding=True, type_=String())
)


class Fate(NamedTuple):
    """One user whom the run changed: as they are, as they were before it (None: `added`, or only keys were changed), the run's changes of
    their keys as (key id, what happened), and why they cannot be put back ("" = they can)."""

    user: Kept
    image: Image | None
    added: bool
    keys: list[tuple[str, str]]
    blocked: bool
    why_not: str


def fates(connection: Connection, run: Row[Any]) -> Iterator[Fate]:
    """Yield everybody whom the run changed."""
    touched = connection.execute(_TOUCHED, {"run": run.id, "kinds": _PEOPLE}).scalars().all()
    last = connection.execute(_LAST, {"run": run.id, "ended": run.finished_at}).scalar_one()
    for batch in kept.batches(touched):
        facts = {"run": run.id, "kinds": _PEOPLE, "ids": batch, "last": last}
        own: defaultdict[str, list[Row[Any]]] = defaultdict(list)
        for row in connection.execute(_OWN, facts):
            own[row.user_id].append(row)
        later = _later(connection, facts)
        users, before = kept.load(connection, batch), images.recall(connection, run.id, batch)
        rows = {row.id: row for row in connection.execute(_ROWS, {"ids": batch})}
        for user_id, user in users.items():
            changes, image = own[user_id], before.get(user_id)
            added = any(change.kind == "added" for change in changes)
            why_not = _why_not(user, image, changes, run, str(rows[user_id].source), later[user_id])
            yield Fate(user, image, added, list(_keys(changes)), bool(rows[user_id].blocked), why_not)


def _later(connection: Connection, facts: dict[str, Any]) -> defaultdict[str, list[str]]:
    """Return {user id: later runs that changed them}, without those that a revert has undone, and without that revert."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for user_id, run_id, reason in connection.execute(_LATER, facts):
        found[user_id][run_id] = reason
    standing: defaultdict[str, list[str]] = defaultdict(list)
    for user_id, runs in found.items():
        undone: set[str] = set()
        for run_id in sorted(runs, reverse=True):  # a revert that was itself reverted undoes nothing
            target = runs[run_id].removeprefix(REVERT_OF) if runs[run_id].startswith(REVERT_OF) else ""
            if run_id not in undone and target in runs:
                undone |= {run_id, target}
        standing[user_id] = [run_id for run_id in runs if run_id not in undone]
    return standing


def _why_not(user: Kept, image: Image | None, changes: list[Row[Any]], run: Row[Any], source: str, later: list[str]) -> str:
    added = any(change.kind == "added" for change in changes)
    if source != run.source:
        return f"belongs to the source {source} now"
    if later:
        return f"changed since by run {', '.join(later)}"
    if not added and image is None and any(change.kind not in ("key_issued", "key_disabled") for change in changes):
        return "nothing is known any more of what they were: forgotten since, or changed by an older version"
    if not _is_as_left(user, image, changes):
        return "changed since by an admin"
    return ""


def _is_as_left(user: Kept, image: Image | None, changes: Iterable[Row[Any]]) -> bool:
    """Tell whether the user still is what the run made of them, by what its changes say."""
    states: tuple[str, ...] = (image.user.state,) if image else (user.state,)
    for change in changes:
        after = decoded(change.after) or {}
        if change.kind in ("key_issued", "key_disabled"):
            continue
        states = (after["state"],) if "state" in after else _STATES.get(change.kind, states)
        if not all(_agrees(user, name, value) for name, value in after.items() if name != "state"):
            return False
        left = set((decoded(change.before) or {}).get("groups") or ()) if change.kind == "changed" else set()
        if left & user.groups:
            return False
    return user.state in states


def _agrees(user: Kept, name: str, value: Any) -> bool:
    if name == "emails":
        return bool(spelt(user.claims) == value)
    if name == "groups":
        return set(value) <= user.groups
    return bool(getattr(user, name) == value)


def _keys(changes: Iterable[Row[Any]]) -> Iterator[tuple[str, str]]:
    for change in changes:
        after = decoded(change.after) or {}
        if change.kind in ("key_issued", "key_disabled") and "key_id" in after:
            yield after["key_id"], after["event"]
