"""Deciding every touched address again, over all sources, inside the transaction that touched them (rule 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection, String, bindparam, text

from sync.claims import Bid, decide
from sync.store.engine import know_sizes, many
from sync.store.kept import batches

_BIDS = text(
    "select c.matched, c.user_id, c.since, c.is_primary, c.held, c.dropped_at, u.state, s.rank"
    # Cross joins, because SQLite keeps to their order: it would read every claim there is for the two addresses of one user.
    ' from touched t cross join claim c cross join "user" u join source s on s.name = u.source'
    " where c.matched = t.matched and u.id = c.user_id and t.matched > :after and t.matched <= :upto order by c.matched, c.user_id"
)
_UPTO = text("select max(matched) from (select matched from touched where matched > :after order by matched limit 5000) as slice")


_UNRIVALLED = (
    "not claim.held and claim.dropped_at is null and claim.matched in (select matched from touched)"
    " and exists (select 1 from \"user\" u where u.id = claim.user_id and u.state in ('active', 'disabled'))"
    " and not exists (select 1 from claim other where other.matched = claim.matched and other.user_id <> claim.user_id)"
)
"""Claims of which nothing has to be decided: nobody else claims the address. Nearly all are, so they never leave the database."""
_SETTLED = (
    "exists (select 1 from claim c join \"user\" u on u.id = c.user_id where c.matched = touched.matched and c.held and u.state <> 'removed')"
    " and not exists (select 1 from claim c where c.matched = touched.matched and not c.held)"
)
"""Touched addresses whose only claimant holds them and keeps them."""


class Contested(msgspec.Struct, frozen=True):
    """An address that a user's entry newly lists and the user does not get: the holder, or None when equal claims withhold it."""

    matched: str
    user_id: str
    holder: str | None
    rivals: tuple[str, ...]


def settle(connection: Connection, now: int, back: Set[str]) -> Iterator[Contested]:
    """Decide every touched address, write the holders, and yield the claims that lost: those made at `now`, and those of the users `back`."""
    know_sizes(connection, ("touched", "touched_user"))
    connection.execute(text(f"insert into touched_user (user_id) select user_id from claim where {_UNRIVALLED} on conflict do nothing"))
    connection.execute(text(f"update claim set held = true where {_UNRIVALLED}"))
    connection.execute(text(f"delete from touched where {_SETTLED}"))
    after = ""
    while (upto := connection.execute(_UPTO, {"after": after}).scalar_one()) is not None:
        rows = connection.execute(_BIDS, {"after": after, "upto": upto}).all()
        lost: list[dict[str, str]] = []
        won: list[dict[str, str]] = []
        for matched, claims in groupby(rows, key=lambda row: str(row[0])):
            bids = [(_bid(row), bool(row.held)) for row in claims]
            winner = decide([bid for bid, _ in bids])
            lost += [{"matched": matched, "user_id": bid.user_id} for bid, held in bids if held and bid.user_id != winner]
            won += [{"matched": matched, "user_id": bid.user_id} for bid, held in bids if not held and bid.user_id == winner]
            yield from _losers(matched, [bid for bid, _ in bids], winner, lambda bid: bid.since == now or bid.user_id in back)
        _write(connection, lost, won)
        after = upto


def give_back(connection: Connection, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Let these (matched, user id) hold their addresses again, as far as nobody holds them; return the others with who does."""
    taken: dict[tuple[str, str], str] = {}
    free: list[dict[str, str]] = []
    query = text("select matched, user_id from claim where held and matched in :all").bindparams(bindparam("all", expanding=True, type_=String()))
    for batch in batches(wanted):
        now = {row.matched: str(row.user_id) for row in connection.execute(query, {"all": [matched for matched, _ in batch]})}
        taken |= {one: now[one[0]] for one in batch if one[0] in now}
        free += [{"matched": matched, "user_id": user_id} for matched, user_id in batch if matched not in now]
    _write(connection, [], free)
    return taken


def _bid(row: Any) -> Bid:
    listed = row.dropped_at is None
    keeps = bool(row.held) and row.state != "removed"
    return Bid(row.user_id, row.rank, row.state == "active", row.since, bool(row.is_primary), keeps, listed and row.state in ("active", "disabled"))


def _losers(matched: str, bids: list[Bid], winner: str | None, is_new: Callable[[Bid], bool]) -> Iterator[Contested]:
    for bid in bids:
        if bid.bids and bid.user_id != winner and is_new(bid):
            yield Contested(matched, bid.user_id, winner, tuple(other.user_id for other in bids if other.bids and other is not bid))


def _write(connection: Connection, lost: list[dict[str, str]], won: list[dict[str, str]]) -> None:
    """Release before claim: the unique index allows one holder at every moment."""
    for rows, held in ((lost, "false"), (won, "true")):
        many(connection, f"update claim set held = {held} where matched = :matched and user_id = :user_id", rows)
    users = sorted({row["user_id"] for row in lost + won})
    many(connection, "insert into touched_user (user_id) values (:user_id) on conflict do nothing", [{"user_id": user} for user in users])
