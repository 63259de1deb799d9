"""plan(known, seen) → changes. Pure: no clock, no network, no store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import msgspec

from sync.directory import Listed, Person
from sync.user import Kept, KeptClaim, Known, Seen, UserPlan, differences, living

Verdict = Literal["added", "changed", "unchanged", "absent"]
MakeId = Callable[[], str]
"""Makes the id of a new user."""

encode = msgspec.msgpack.Encoder().encode
"""Returns a person as the octets that a fingerprint is made of; they are staged as these."""


def fingerprint(person: Person) -> bytes:
    """Return 16 bytes that differ whenever anything about the person does."""
    return fingerprint_of(encode(person))


def fingerprint_of(octets: bytes) -> bytes:
    """Return the fingerprint of the person whom `encode` made these octets of."""
    return hashlib.blake2b(octets, digest_size=16).digest()


def merge(
    known: Iterable[Known], seen: Iterable[Seen], recognised: Callable[[Known], bool] = lambda user: False
) -> Iterator[tuple[Verdict, Known | None, Seen | None]]:
    """Walk two streams sorted by external id and yield (verdict, known user, seen person); `recognised` = whose entry was met, though not read.

    | known            | seen        | verdict   |
    |------------------|-------------|-----------|
    | –                | yes         | added     |
    | here, same print | yes         | unchanged |
    | here, other print; missing, removed or unproven | yes | changed |
    | here             | recognised  | unchanged |
    | here or missing  | no          | absent    |
    | removed          | no          | –         |
    """
    ours, theirs = iter(known), iter(seen)
    user, person = next(ours, None), next(theirs, None)
    while user is not None or person is not None:
        if user is None or (person is not None and person.external_id < user.external_id):
            yield "added", None, person
            person = next(theirs, None)
        elif person is None or user.external_id < person.external_id:
            if recognised(user):
                yield "unchanged", user, None
            elif user.state != "removed":
                yield "absent", user, None
            user = next(ours, None)
        else:
            same = user.fingerprint == person.fingerprint and user.state in ("active", "disabled") and not user.unproven
            yield "unchanged" if same else "changed", user, person
            user, person = next(ours, None), next(theirs, None)


def compare(kept: Kept | None, person: Person, *, user_id: str, now: int, withheld: frozenset[str] = frozenset()) -> UserPlan:
    """Return what makes the user equal to `person`, less what is `withheld` from being taken ("last_address", "disabled")."""
    was = kept or Kept(user_id, person.external_id, "", "", "", "", "", None)
    emails = _emails(was, person, "last_address" in withheld)
    claims = _claims(was.claims, emails, now)
    keep_state = "disabled" in withheld and was.state == "active"
    state = "active" if person.enabled or keep_state else "disabled"
    expires_at = was.expires_at if keep_state else person.expires_at
    text = was if person.bare else person
    groups = was.groups if person.bare else frozenset(person.groups)
    after = Kept(user_id, person.external_id, person.place, text.username, text.name, was.email, state, expires_at, claims, groups)
    before_diff, after_diff = differences(was, after)
    return UserPlan(
        user_id=user_id,
        external_id=person.external_id,
        kinds=_kinds(kept, after, bool(before_diff or after_diff)),
        state=state,
        place=person.place,
        username=text.username,
        name=text.name,
        expires_at=expires_at,
        claims=claims,
        groups=groups,
        before=before_diff,
        after=after_diff,
        loses_last_address=bool(living(was.claims)) and not living(claims),
        stated_disable=was.is_active(now) and not after.is_active(now),
    )


def introduce(person: Person) -> tuple[tuple[Listed, ...], int, dict[str, Any]]:
    """Return (addresses, each once; which of them is the primary one; what is new) of somebody whom nobody knew, read whole: what `compare` finds
    about them, in a fifth of its time, for a first sync has nobody else."""
    emails = person.emails
    primary = 0
    if len(emails) > 1:
        if len({email.matched for email in emails}) < len(emails):
            first = {email.matched: email for email in reversed(emails)}
            emails = tuple(email for email in emails if first[email.matched] is email)
        primary = next((place for place, email in enumerate(emails) if email.marked), 0)
    after: dict[str, Any] = {}
    for name, value in (("place", person.place), ("username", person.username), ("name", person.name)):
        if value:
            after[name] = value
    if person.expires_at is not None:
        after["expires_at"] = person.expires_at
    if emails:
        spelt = [email.spelt for email in emails]
        after["emails"] = [spelt.pop(primary), *spelt]
    if person.groups:
        after["groups"] = sorted(set(person.groups))
    return emails, primary, after


def _emails(was: Kept, person: Person, keep: bool) -> tuple[Listed, ...]:
    if person.bare or keep:
        return tuple(Listed(c.spelt, c.matched, c.marked) for c in sorted(living(was.claims), key=lambda c: c.position))
    first = {email.matched: email for email in reversed(person.emails)}
    return person.emails if len(first) == len(person.emails) else tuple(email for email in person.emails if first[email.matched] is email)


def _claims(old: tuple[KeptClaim, ...], emails: tuple[Listed, ...], now: int) -> tuple[KeptClaim, ...]:
    """Return the new claims: listed ones live; ones no longer listed stay, dropped, for as long as they are held."""
    before = {claim.matched: claim for claim in old}
    primary = _primary(old, emails)
    new = [_claim(before.get(email.matched), email, position, email.matched == primary, now) for position, email in enumerate(emails)]
    listed = {email.matched for email in emails}
    for claim in old:
        if claim.matched not in listed and claim.held:
            dropped_at = now if claim.dropped_at is None else claim.dropped_at
            new.append(msgspec.structs.replace(claim, dropped_at=dropped_at, is_primary=False))
    return tuple(new)


def _claim(old: KeptClaim | None, email: Listed, position: int, is_primary: bool, now: int) -> KeptClaim:
    fresh = old is None or (old.dropped_at is not None and not old.held)
    since = now if fresh or old is None else old.since
    return KeptClaim(email.matched, email.spelt, position, email.marked, is_primary, since, None, old is not None and old.held)


def _primary(old: tuple[KeptClaim, ...], emails: tuple[Listed, ...]) -> str | None:
    """Return the primary: what the directory marks, else the one it was for as long as it is listed, else the first value."""
    marked = next((email.matched for email in emails if email.marked), None)
    if marked:
        return marked
    was = next((claim.matched for claim in old if claim.is_primary), None)
    if any(email.matched == was for email in emails):
        return was
    return emails[0].matched if emails else None


def _kinds(kept: Kept | None, after: Kept, differs: bool) -> tuple[str, ...]:
    if kept is None:
        return ("added",)
    kinds = []
    if kept.state in ("missing", "removed"):
        kinds.append("returned")
    elif kept.state != after.state:
        kinds.append("enabled" if after.state == "active" else "disabled")
    if differs:
        kinds.append("changed")
    return tuple(kinds)
