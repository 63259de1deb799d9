"""Contested addresses: who claims what, how an admin settles it, and why an address answers or does not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import Row

from sync.errors import Conflict, NotFound
from sync.store import cursors, events, lookup
from sync.store.engine import Store
from sync.store.keeping import EMAIL_OF
from sync.store.people import get_user, matched_form
from sync.store.rows import decoded
from sync.store.sources import open_hold
from sync.store.views import Claimant, ConflictView, ExplainView, HoldView, UserView, must_rfc3339

_CLAIMANTS = (
    "select c.matched, c.held, c.since, c.dropped_at, u.id, u.source, u.external_id, u.place, u.username, u.name, u.state"
    ' from claim c join "user" u on u.id = c.user_id'
)
_LIVING = "u.state <> 'removed' and (c.dropped_at is null or c.held)"


def conflicts(store: Store) -> list[ConflictView]:
    """Return every address that several living entries claim, or that one claims and nobody holds, by cause and address."""
    query = text(
        f'{_CLAIMANTS} where {_LIVING} and c.matched in (select x.matched from claim x join "user" y on y.id = x.user_id'
        " where y.state <> 'removed' and x.dropped_at is null and not x.held) order by c.matched, c.held desc, c.since, u.id"
    )
    with store.read() as connection:
        rows = connection.execute(query).all()
    found = [_conflict(matched, list(claims)) for matched, claims in groupby(rows, key=lambda row: str(row.matched))]
    return sorted(found, key=lambda conflict: (conflict.cause, conflict.address))


def give(store: Store, address: str, user_id: str, by: str) -> UserView:
    """Make this user the holder of an address that their entry lists, and return the user. A given address stays where it is.

    Raises NotFound, InvalidRequest, and Conflict when the entry does not list it.
    """
    matched = matched_form(address)
    with store.write() as connection:
        user = connection.execute(text('select * from "user" where id = :id'), {"id": user_id}).one_or_none()
        if user is None:
            raise NotFound("user_not_found", f"There is no user {user_id}.")
        claims = _claims_to(connection, matched)
        if user.state == "removed" or not any(claim.id == user_id and claim.dropped_at is None for claim in claims):
            raise Conflict(
                "address_not_claimed", f"The entry of {user.username or user_id} does not list {matched}.", "Only a claimant can hold an address."
            )
        facts = {"m": matched, "id": user_id}
        connection.execute(text("update claim set held = false where matched = :m and held and user_id <> :id"), facts)
        connection.execute(text("update claim set held = true where matched = :m and user_id = :id"), facts)
        connection.execute(text(f'update "user" set email = {EMAIL_OF} where id in (select user_id from claim where matched = :m)'), facts)
        cursors.look_again(connection, [(user.source, user.external_id)])  # who holds an address for the first time is owed a key
        events.record(connection, "address.given", by, store.now(), user_id=user_id)
    return get_user(store, user_id)


def explain(store: Store, address: str) -> ExplainView:
    """Return why an address does or does not answer: who claims it, in which state, and what stands in the way."""
    matched = matched_form(address)
    found = lookup.by_address(store, matched)
    with store.read() as connection:
        claims = _claims_to(connection, matched)
        relevant = found.user_id or (claims[0].id if claims else "")
        notes, hold = _notes(connection, relevant, found)
        if not claims:
            notes += _dropped_elsewhere(connection, address, matched)
    user = get_user(store, relevant) if relevant else None
    return ExplainView(
        address=address, matched=matched, answers=found.outcome == "found", why=_why(found, matched, claims), notes=notes, user=user,
        claimants=[_claimant(claim) for claim in claims], hold=hold,
    )  # fmt: skip


def _why(found: lookup.Found, matched: str, claims: Sequence[Row[Any]]) -> str:
    if found.outcome == "found":
        active = sum(key.is_active for key in found.keys)
        state = "active" if found.standing else "not active, so every key shows inactive"
        keys = "1 key" if len(found.keys) == 1 else f"{len(found.keys)} keys"
        return f"{matched} answers with {keys}, {active} of them active; its holder is {state}."
    if found.outcome == "user_removed":
        return f"{matched} belonged to somebody who was removed and freed it."
    if found.outcome == "address_contested":
        return f"{matched} is claimed by {len(claims)} entries equally, so nobody gets it."
    return f"No entry that was read lists {matched}."


def _notes(connection: Connection, user_id: str, found: lookup.Found) -> tuple[list[str], HoldView | None]:
    if not user_id:
        return _source_notes(connection), None
    user = connection.execute(text('select * from "user" where id = :id'), {"id": user_id}).one()
    notes = [f"It comes from {user.source}, entry {user.place or user.external_id}; the user is {user.state}."]
    if user.blocked_at is not None:
        notes.append(f"An admin ({user.blocked_by}) blocked the user.")
    if user.expires_at is not None:
        notes.append(f"The directory lets the user expire at {must_rfc3339(user.expires_at)}.")
    if user.unproven_since is not None:
        notes.append(f"The last read did not show the entry and nothing proves that it is gone (since {must_rfc3339(user.unproven_since)}).")
    if user.missing_since is not None and user.state == "missing":
        notes.append(f"The entry is proven gone since {must_rfc3339(user.missing_since)}.")
    notes += [f"A value of {attribute} was left out ({value}): it {why}." for attribute, value, why in decoded(user.dropped)]
    if found.outcome == "found" and not found.keys:
        notes.append("The user has no key: no [[keys.issue]] policy gives one, and no admin did.")
    hold = open_hold(connection, user.source)
    held = hold and connection.execute(text("select what from hold_item where run_id = :r and user_id = :u"), {"r": hold.run, "u": user_id}).all()
    if hold and held:
        notes.append(f"Run {hold.run} wants to take something away ({', '.join(row.what for row in held)}) and waits for a decision.")
    return notes + _source_notes(connection, user.source), hold if held else None


def _source_notes(connection: Connection, name: str | None = None) -> list[str]:
    rows = connection.execute(text("select name, kind, read_at from source where name = coalesce(:name, name) order by rank"), {"name": name})
    return [_last_word(row) for row in rows]


def _last_word(source: Row[Any]) -> str:
    done = "pushed to" if source.kind == "scim-push" else "read"
    return f"{source.name} was last {done} at {must_rfc3339(source.read_at)}." if source.read_at else f"{source.name} was never {done}."


def _dropped_elsewhere(connection: Connection, address: str, matched: str) -> list[str]:
    """Name entries whose value of just this text was left out (outside `domains`, too many …)."""
    rows = connection.execute(text("select place, external_id, dropped from \"user\" where cast(dropped as text) <> '[]'"))
    found = [(row, value) for row in rows for value in decoded(row.dropped) if value[1].lower() in (address.lower(), matched)]
    return [f"{row.place or row.external_id} lists it, but the value was left out: it {value[2]}." for row, value in found[:5]]


def _claims_to(connection: Connection, matched: str) -> Sequence[Row[Any]]:
    query = f"{_CLAIMANTS} where c.matched = :m order by c.held desc, u.state = 'removed', c.since, u.id"
    return connection.execute(text(query), {"m": matched}).all()


def _conflict(matched: str, claims: list[Row[Any]]) -> ConflictView:
    holder = next((claim for claim in claims if claim.held), None)
    others = [claim for claim in claims if not claim.held]
    if holder is not None:
        proposal = f"Keep it with {_named(holder)}: remove it from the entry of {', '.join(_named(other) for other in others)}."
        return ConflictView(matched, "taken", [_claimant(claim) for claim in claims], proposal)
    proposal = f"Remove it from all entries but one, or decide: rosterd addresses give {matched} {others[0].id}"
    return ConflictView(matched, "equal_claims", [_claimant(claim) for claim in claims], proposal)


def _named(claim: Row[Any]) -> str:
    return str(claim.place or claim.username or claim.external_id)


def _claimant(row: Row[Any]) -> Claimant:
    return Claimant(row.id, row.source, row.external_id, row.place, row.username, row.name, row.state, bool(row.held), must_rfc3339(row.since))
