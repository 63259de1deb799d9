"""What we remember of a person, as values: a Person is said, a User is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from sync.directory import Listed, Person


class Known(NamedTuple):
    """The little that the merge needs of every user of a source. `unproven` = marked so by an earlier run; `digest` = by what the entry is
    recognised, None for not at all; `dropped` = how many values of it were left out."""

    external_id: str
    user_id: str
    fingerprint: bytes
    state: str
    unproven: bool
    digest: bytes | None = None
    dropped: int = 0


class Seen(NamedTuple):
    """The little that the merge needs of every person that was read."""

    external_id: str
    fingerprint: bytes
    digest: bytes | None = None


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


class Newcomer(NamedTuple):
    """Somebody new: the person, their addresses, each once, which of these is the primary one, what the change log says of them, and by what
    they are compared and recognised next time."""

    user_id: str
    person: Person
    emails: tuple[Listed, ...]
    primary: int
    after: dict[str, Any]
    fingerprint: bytes
    digest: bytes | None


def living(claims: Iterable[KeptClaim]) -> list[KeptClaim]:
    """Return the claims whose address the entry lists now."""
    return [claim for claim in claims if claim.dropped_at is None]


def differences(was: Kept, after: Kept) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ({field: old}, {field: new}) of what differs, the state aside; of groups only those left and joined."""
    before: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for field in ("place", "username", "name", "expires_at"):
        old, new = getattr(was, field), getattr(after, field)
        if old != new:
            before[field], now[field] = old, new
    old_emails, new_emails = spelt(was.claims), spelt(after.claims)
    if old_emails != new_emails:
        before["emails"], now["emails"] = old_emails, new_emails
    if was.groups != after.groups:
        before["groups"], now["groups"] = sorted(was.groups - after.groups), sorted(after.groups - was.groups)
    return before, now


def spelt(claims: tuple[KeptClaim, ...]) -> list[str]:
    """Return the living addresses, the primary first."""
    return [c.spelt for c in sorted(living(claims), key=lambda c: (not c.is_primary, c.position))]
