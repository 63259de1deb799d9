"""What we remember of a person, as values: a Person is said, a User is kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec


class Known(NamedTuple):
    """The little that the merge needs of every user of a source. `unproven` = marked so by an earlier run."""

    external_id: str
    user_id: str
    fingerprint: bytes
    state: str
    unproven: bool


class KeptClaim(msgspec.Struct, frozen=True):
    """An address that the user's entry lists, or listed until `dropped_at` (milliseconds)."""

    matched: str
    spelt: str
    position: int
    marked: bool
    is_primary: bool
    since: int
    dropped_at: int | None
    held: bool


class Kept(msgspec.Struct, frozen=True):
    """One user whole: what a plan compares a Person with."""

    user_id: str
    external_id: str
    place: str
    username: str
    name: str
    email: str
    state: str
    expires_at: int | None
    claims: tuple[KeptClaim, ...] = ()
    groups: frozenset[str] = frozenset()
    unproven: bool = False

    def is_active(self, now: int) -> bool:
        """Tell whether the directory lets this user work now; an admin's block is another matter."""
        return self.state == "active" and (self.expires_at is None or self.expires_at > now)


class UserPlan(msgspec.Struct, frozen=True):
    """What one user becomes. `kinds` names the changes as the change log does; `before`/`after` hold only what differs.

    `claims` is the whole new list, `loses_last_address` and `stated_disable` are what the guard weighs.
    """

    user_id: str
    external_id: str
    kinds: tuple[str, ...]
    state: str
    place: str
    username: str
    name: str
    expires_at: int | None
    claims: tuple[KeptClaim, ...]
    groups: frozenset[str]
    before: dict[str, Any]
    after: dict[str, Any]
    loses_last_address: bool
    stated_disable: bool
