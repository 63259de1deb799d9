"""A directory in memory, for tests of what happens after reading: every run test that needs no wire uses it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import msgspec

from sync.address import normalise
from sync.directory import Absent, Delta, Dropped, Familiar, Finding, Listed, Page, Person, Proof, Reading, Refused
from sync.errors import CursorLost, SourceError

PAGE = 500


@dataclass
class Directory:
    """People by id; `hidden` ids are not shown and not provable, `groups` what exists with its members' count. `tells` = it can be asked what
    has changed; a change of groups names nobody, nor do `untold` ids."""

    people: dict[str, Person] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)
    groups: dict[str, int | None] | None = None
    error: SourceError | None = None
    error_after: int | None = None
    tells: bool = False
    untold: set[str] = field(default_factory=set)
    recognises: bool = True
    marks: dict[str, dict[str, Person]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def mark(self) -> str:
        """Return a cursor that stands for the people as they are now; none is given out twice, so that one in `marks` no longer is lost for good."""
        cursor = str(next(self.numbers))
        self.marks[cursor] = dict(self.people)
        return cursor

    def add(self, uid: str, *addresses: str, **facts: object) -> Person:
        """Add or replace a person whose id is made of the uid."""
        emails = tuple(Listed(address, normalise(address)) for address in addresses)
        dropped = tuple(facts.pop("dropped", ()))  # type: ignore[call-overload]
        person = Person(
            external_id=str(facts.pop("id", f"id-{uid}")),
            place=str(facts.pop("place", f"uid={uid},ou=people")),
            username=str(facts.pop("username", uid)),
            name=str(facts.pop("name", uid.title())),
            emails=emails,
            groups=tuple(facts.pop("groups", ())),  # type: ignore[call-overload]
            enabled=bool(facts.pop("enabled", True)),
            dropped=tuple(Dropped(*one) for one in dropped),
            **facts,  # type: ignore[arg-type]
        )
        self.people[person.external_id] = person
        return person

    def change(self, external_id: str, **facts: object) -> None:
        """Change somebody in place."""
        self.people[external_id] = msgspec.structs.replace(self.people[external_id], **facts)

    @contextmanager
    def open(self) -> Iterator[Reading]:
        """Be a Source."""
        if self.error is not None and self.error_after is None:
            raise self.error
        yield _Reading(self)


class _Reading:
    server = "memory"
    vendor = "memory"

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._entries = 0
        self._cursor = directory.mark() if directory.tells else ""

    def _shown(self) -> list[Person]:
        return [person for key, person in self._directory.people.items() if key not in self._directory.hidden]

    def full(self, familiar: Familiar | None = None) -> Iterator[Page]:
        shown, directory = self._shown(), self._directory
        for start in range(0, len(shown), PAGE):
            if directory.error is not None and start >= (directory.error_after or 0):
                raise directory.error
            self._entries += len(shown[start : start + PAGE])
            yield self._page(shown[start : start + PAGE], familiar if directory.recognises else None)
        if directory.refused:
            yield Page([], directory.refused)

    def _page(self, shown: Sequence[Person], familiar: Familiar | None) -> Page:
        if familiar is None:
            return Page(shown)
        digests = [hashlib.blake2b(msgspec.msgpack.encode(person), digest_size=16, key=familiar.salt).digest() for person in shown]
        places = [familiar.place(digest) for digest in digests]
        return Page(
            [person for person, place in zip(shown, places, strict=True) if place < 0],
            digests=[b"" if person.bare else digest for person, digest, place in zip(shown, digests, places, strict=True) if place < 0],
            same=[place for place in places if place >= 0],
        )

    def proof(self) -> Proof:
        groups = self._directory.groups
        if groups is None:
            groups = {group: 1 for person in self._shown() for group in person.groups}
        why = "an entry had no readable id" if self._directory.refused else ""
        return Proof(not why, self.server, 1, self._entries, why, groups, self._cursor)

    def delta(self, cursor: str) -> Delta:
        directory, before = self._directory, self._directory.marks.get(cursor)
        if before is None:
            raise CursorLost("cursor_lost", "the directory does not know this cursor")
        now = directory.people
        touched = {one for one in before.keys() | now.keys() if _telling(before.get(one)) != _telling(now.get(one))} - directory.untold
        members: dict[str, frozenset[str]] = {}
        for person in self._shown():
            for group in person.groups:
                members[group] = members.get(group, frozenset()) | {person.external_id}
        return Delta(frozenset(touched), members, self.proof().groups_found, "asked", self._cursor)

    def find(self, address: str) -> Page:
        matched = normalise(address)
        return Page([person for person in self._shown() if any(email.matched == matched for email in person.emails)])

    def find_ids(self, external_ids: Iterable[str]) -> Page:
        wanted = set(external_ids)
        return Page([person for person in self._shown() if person.external_id in wanted])

    def evidence(self, absent: Sequence[Absent]) -> Iterator[Finding]:
        for one in absent:
            if one.external_id in self._directory.hidden:
                yield Finding(one.external_id, "unproven", "hidden", "")
            else:
                yield Finding(one.external_id, "departed", "not found", f"{one.place}: noSuchObject")


def _telling(person: Person | None) -> Person | None:
    """Return what of an entry's change is seen on the entry itself."""
    return None if person is None else msgspec.structs.replace(person, groups=())
