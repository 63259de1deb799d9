"""What any directory tells us, in our words. A Source speaks these and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec


class Listed(msgspec.Struct, frozen=True, array_like=True):
    """An address as an entry lists it. `matched` is `sync.address.normalise(spelt)`; `marked` = the directory calls it primary."""

    spelt: str
    matched: str
    marked: bool = False


class Dropped(msgspec.Struct, frozen=True, array_like=True):
    """A value that was left out: which attribute, the value (cut to 80 characters), and why."""

    attribute: str
    value: str
    why: str


class Person(msgspec.Struct, frozen=True):
    """What a directory says about one human now. Compares by value.

    `external_id` is the directory's stable id (entryUUID …), `place` where the entry stands (its DN, or "" where
    there is no such thing), `groups` normalised names, `expires_at` milliseconds since the epoch (UTC).
    `bare` = the entry was too big to read: only id, place, enabled and expires_at are known, the rest is to be kept.
    """

    external_id: str
    place: str
    username: str
    name: str
    emails: tuple[Listed, ...]
    groups: tuple[str, ...]
    enabled: bool
    expires_at: int | None = None
    dropped: tuple[Dropped, ...] = ()
    bare: bool = False

    def is_active(self, now: int) -> bool:
        """Tell whether the directory wants this person in at `now` (ms)."""
        return self.enabled and (self.expires_at is None or self.expires_at > now)


class Refused(msgspec.Struct, frozen=True):
    """An entry that could not be taken at all (no readable id, an id that two entries share, a hidden state): where it stands, and why.
    `external_id` = its id, where that can be read."""

    place: str
    why: str
    external_id: str = ""


class Familiar(Protocol):
    """Entries that are known from earlier reads, each at a place (a number). A source that makes digests of them (16 octets over all that a person
    is made of, and `salt`) may leave out whoever is known by one: their entry says what it said before."""

    @property
    def salt(self) -> bytes: ...

    def place(self, digest: bytes) -> int:
        """Return the place of the entry with this digest, -1 when it is not known."""

    def whose(self, place: int) -> int:
        """Return `sync.ids.hash_of` the id of whom the entry known there tells."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a directory, in our words. `digests` = of the entries of `persons`, one each or none at all; b"" = not to be recognised by.
    `same` = the places of entries that are familiar: each of somebody who is not among the persons, for nothing about them has changed."""

    persons: Sequence[Person]
    refused: Sequence[Refused] = ()
    digests: Sequence[bytes] = ()
    same: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """What a finished full read proves. `complete` = every page result 0, the last cookie empty, no truncation,
    every entry with a readable id. `groups_found` = those of the groups asked about that the directory shows, with
    how many members it lists (None where it would not say). `cursor` = where a later `delta` can go on, as of the moment
    before the read began; "" where the directory offers none, and then `no_cursor` says why. `answers_by_id` = whether an id is gone the
    directory says itself when asked for that id, and this counts whatever became of the read; `may_be_empty` = nobody is an answer like any
    other, as each departure is on record."""

    complete: bool
    server: str
    pages: int
    entries: int
    why_incomplete: str = ""
    groups_found: dict[str, int | None] = field(default_factory=dict)
    cursor: str = ""
    no_cursor: str = ""
    answers_by_id: bool = False
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """What a directory says has changed since a cursor. It names entries, it does not describe them: each is then read by its id with the
    source's own base and filter, so that scope is decided on our side and whoever left it is noticed.

    `touched` = ids that may have come, changed or gone, known to us or not; `members` = who is in each issuing group now, for no
    change of a group touches the entries of its members; `groups_found` as in Proof; `how` = by which means;
    `cursor` = where to go on.
    """

    touched: frozenset[str]
    members: dict[str, frozenset[str]]
    groups_found: dict[str, int | None]
    how: str
    cursor: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Somebody a complete read did not show: the id, and where the entry last stood."""

    external_id: str
    place: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The directory's answer about one absent person.

    departed: evidence that they left (`evidence` says what was asked and answered, ready for an admin to read).
    unproven: absence only, or nothing provable; `why` says what was missing.
    `container` = what the person stood right below, as the directory spells it; "" where there is no such thing.
    """

    external_id: str
    verdict: Literal["departed", "unproven"]
    why: str
    evidence: str
    container: str = ""


class Reading(Protocol):
    """An open conversation with a directory. Every method raises SourceError and nothing else.

    `server` = which one answers, `vendor` = what kind it turned out to be ("" until it is known).
    """

    @property
    def server(self) -> str: ...

    @property
    def vendor(self) -> str: ...

    def full(self, familiar: Familiar | None = None) -> Iterator[Page]:
        """Yield every page. Ending without an error means that the directory said it was all; see `proof`. Who is `familiar` may be told of in
        short."""

    def proof(self) -> Proof:
        """Return what the finished `full` proved. An error before it has ended."""

    def delta(self, cursor: str) -> Delta:
        """Return what has changed since `cursor`. Raises CursorLost when only a full read can tell."""

    def find(self, address: str) -> Page:
        """Return whoever lists `address` (any of its spellings), read by the same base, filter and mapping."""

    def find_ids(self, external_ids: Iterable[str]) -> Page:
        """Return the persons with these ids that base and filter still show."""

    def evidence(self, absent: Sequence[Absent]) -> Iterator[Finding]:
        """Yield one finding for each absent person, in any order."""


class Source(Protocol):
    """Our reader of one directory."""

    def open(self) -> AbstractContextManager[Reading]:
        """Connect, authenticate, and return the conversation; leaving the context closes it."""
