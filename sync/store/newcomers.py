"""Writing people who are new, nearly everybody of a first sync: a table at a time, and an address that nobody else claims is theirs at once.

`Keeper` would write the same, row by row, and `settle` decide each address; a test compares the two ways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, String, bindparam, text

from sync.store.engine import insert
from sync.store.keeping import Keeper
from sync.user import Newcomer

_USER = (
    "id", "source", "external_id", "place", "username", "name", "email", "state", "inactive_since", "expires_at", "fingerprint", "entry_digest",
    "dropped", "created_at", "updated_at", "missing_reads",
)  # fmt: skip
_CLAIM = ("matched", "user_id", "spelt", "position", "marked", "is_primary", "since", "held")
_CLAIMED = text("select matched from claim where matched in :all").bindparams(bindparam("all", expanding=True, type_=String()))
_RIVALLED = (
    'claim.held and claim.matched in (select matched from touched) and exists (select 1 from "user" u'
    " join verdict v on v.external_id = u.external_id and v.user_id = u.id where u.id = claim.user_id and not v.known)"
)
"""Addresses that newcomers hold, and that somebody turned out to claim as well, or to give up, later in the same commit."""


def welcome(connection: Connection, keeper: Keeper, newcomers: Sequence[Newcomer], source: str, now: int) -> None:
    """Write new users, their claims and their memberships. What anybody else claims is left for `settle` to decide."""
    rivalled = _rivalled(connection, [email.matched for one in newcomers for email in one.emails])
    users: list[tuple[Any, ...]] = []
    claims: list[tuple[Any, ...]] = []
    members: list[tuple[Any, ...]] = []
    for user_id, person, emails, primary, _, fingerprint, digest in newcomers:
        shown = ""
        for place, (spelt, matched, marked) in enumerate((email.spelt, email.matched, email.marked) for email in emails):
            held = matched not in rivalled
            if held and (place == primary or not shown):
                shown = spelt
            claims.append((matched, user_id, spelt, place, marked, place == primary, now, held))
        state, inactive_since = ("active", None) if person.enabled else ("disabled", now)
        users.append((
            user_id, source, person.external_id, person.place, person.username, person.name, shown, state, inactive_since, person.expires_at,
            fingerprint, digest, "[]", now, now, 0,
        ))  # fmt: skip
        members += [(user_id, keeper.group(group)) for group in set(person.groups)]
    insert(connection, "user", _USER, users)
    insert(connection, "claim", _CLAIM, claims)
    insert(connection, "membership", ("user_id", "group_id"), members)
    keeper.touch(rivalled, ())


def release_rivalled(connection: Connection) -> None:
    """Let nobody new hold an address that turned out to be claimed twice: `settle` decides it as if all had come at the same moment."""
    connection.execute(text(f"insert into touched_user (user_id) select user_id from claim where {_RIVALLED} on conflict do nothing"))
    connection.execute(text(f"update claim set held = false where {_RIVALLED}"))


def _rivalled(connection: Connection, listed: list[str]) -> set[str]:
    """Return which of these addresses are listed twice, or claimed by anybody already."""
    rivalled = {matched for matched, times in Counter(listed).items() if times > 1} if len(set(listed)) < len(listed) else set()
    return rivalled.union(connection.execute(_CLAIMED, {"all": listed}).scalars()) if listed else rivalled
