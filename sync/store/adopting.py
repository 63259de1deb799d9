"""A source that replaces another takes over its users: the same people keep their ids and keys under the ids of the new directory."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, text

from sync.errors import Conflict, NotFound
from sync.store import events
from sync.store.engine import Store, many
from sync.store.holders import settle
from sync.store.keeping import Keeper

Match = Literal["email", "username"]


class Adoption(msgspec.Struct):
    """What became of the old source's people, or would become: `unmatched` are not (yet) in the new one, `ambiguous` match several there or
    share their match with others, `busy` have hand-made or imported keys under both."""

    adopted: int
    unmatched: int
    ambiguous: int
    busy: int
    dry_run: bool
    names: dict[str, list[str]]


def adopt(store: Store, old: str, new: str, match: Match, by: str, *, dry_run: bool = False) -> Adoption:
    """Move the users of `old`, which is not in the configuration any more, to `new`, which has been read. One transaction.

    Each pair becomes one user with the old id, keys and addresses and the new external id; what `new` had made for the same person goes.
    The next full run of `new` brings everything else up to date. Raises NotFound, Conflict.
    """
    with store.write() as connection:
        _check(connection, old, new)
        pairs, told = _pairs(connection, old, new, match)
        if not dry_run:
            now = store.now()
            keeper = Keeper(connection, new, now)
            for user_id, twin in pairs:
                _merge(connection, keeper, {"id": user_id, "twin": twin, "source": new, "by": by, "now": now, "none": b""})
                events.record(connection, "user.adopted", by, now, user_id=user_id, detail={"from": old, "to": new})
            for _ in settle(connection, now, frozenset()):
                pass
            keeper.refresh_emails()
            connection.execute(text("update source set cursor = null where name = :name"), {"name": new})  # the next run is a full one
    return Adoption(len(pairs), len(told["unmatched"]), len(told["ambiguous"]), len(told["busy"]), dry_run, dict(told))


def _check(connection: Connection, old: str, new: str) -> None:
    rows = {row.name: row for row in connection.execute(text("select name, configured, read_at, lease_run from source"))}
    for name in (old, new):
        if name not in rows:
            raise NotFound("source_not_found", f"There is no source {name}.", "`rosterd sources` lists them.")
    if rows[old].configured or old == new:
        raise Conflict("source_configured", f"The source {old} is in the configuration.", "Take its [[source]] table out and reload first.")
    if not rows[new].configured or rows[new].read_at is None:
        raise Conflict("source_not_read", f"The source {new} has not been read completely yet.", f"`rosterd sync {new}` first.")
    if rows[new].lease_run is not None:
        raise Conflict("source_busy", f"The source {new} is being synced now.", "Try again when the run has ended.")


def _pairs(connection: Connection, old: str, new: str, match: Match) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Return (old user id, new user id) of those who match one to one, and the names of all others by what stands in the way."""
    before, after = _marks(connection, old, match), _marks(connection, new, match)
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for user_id, (_, marks) in after.items():
        for mark in marks:
            owners[mark].add(user_id)
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    found = {user_id: {twin for mark in marks for twin in owners[mark]} for user_id, (_, marks) in before.items()}
    for user_id, twins in found.items():
        for twin in twins:
            wanted[twin].append(user_id)
    busy = set(connection.execute(text("select user_id from virtual_key where policy is null and deleted_at is null")).scalars())
    told: dict[str, list[str]] = {"unmatched": [], "ambiguous": [], "busy": []}
    pairs = []
    for user_id, twins in found.items():
        why = _obstacle(user_id, twins, wanted, busy)
        if why:
            told[why].append(before[user_id][0])
        else:
            pairs.append((user_id, next(iter(twins))))
    return pairs, told


def _obstacle(user_id: str, twins: set[str], wanted: dict[str, list[str]], busy: set[str]) -> str:
    if not twins:
        return "unmatched"
    if len(twins) > 1 or any(len(wanted[twin]) > 1 for twin in twins):
        return "ambiguous"
    return "busy" if twins & busy else ""


def _marks(connection: Connection, source: str, match: Match) -> dict[str, tuple[str, set[str]]]:
    """Return {user id: (user name, what they are matched by)} of everybody who is not removed."""
    query = (
        'select u.id, u.username, c.matched from "user" u left join claim c on c.user_id = u.id and c.dropped_at is null'
        " where u.source = :source and u.state <> 'removed'"
    )
    found: dict[str, tuple[str, set[str]]] = {}
    for user_id, username, matched in connection.execute(text(query), {"source": source}):
        _, marks = found.setdefault(user_id, (username, set()))
        mark = matched if match == "email" else username.lower()
        if mark:
            marks.add(mark)
    return found


def _merge(connection: Connection, keeper: Keeper, facts: dict[str, Any]) -> None:
    """Let the user `id` take the place of `twin`, whose row goes with everything that hangs on it."""
    external_id = connection.execute(text('select external_id from "user" where id = :twin'), facts).scalar_one()
    keeper.touch_claims([facts["id"], facts["twin"]])
    connection.execute(text("delete from retired_value where key_id in (select id from virtual_key where user_id = :twin)"), facts)
    end = "user_id = null, revoked_by = coalesce(revoked_by, :by), revoked_at = coalesce(revoked_at, :now)"
    connection.execute(text(f"update token set {end} where user_id = :twin"), facts)
    for table in ("claim", "membership", "virtual_key", "hold_item", "loss", "user_before"):
        many(connection, f"delete from {table} where user_id = :twin", [facts])
    many(connection, "delete from membership where user_id = :id", [facts])
    connection.execute(text('delete from "user" where id = :twin'), facts)
    move = "source = :source, external_id = :external_id, fingerprint = :none, unproven_since = null"
    connection.execute(text(f'update "user" set {move} where id = :id'), {**facts, "external_id": external_id})
