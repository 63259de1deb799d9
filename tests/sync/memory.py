"""A directory in memory, for tests of what happens after reading: every run test that needs no wire uses it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from sync.address import normalise
from sync.directory import Absent, Dropped, Finding, Listed, Page, Person, Proof, Reading, Refused
from sync.errors import SourceError

PAGE = 500


@dataclass
class Directory:
    """People by id; `hidden` ids are not shown and not provable, `groups` what exists with its members' count."""

    people: dict[str, Person] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)
    groups: dict[str, int | None] | None = None
    error: SourceError | None = None
    error_after: int | None = None

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

    def _shown(self) -> list[Person]:
        return [person for key, person in self._directory.people.items() if key not in self._directory.hidden]

    def full(self) -> Iterator[Page]:
        shown, directory = self._shown(), self._directory
        for start in range(0, len(shown), PAGE):
            if directory.error is not None and start >= (directory.error_after or 0):
                raise directory.error
            self._entries += len(shown[start : start + PAGE])
            yield Page(shown[start : start + PAGE])
        if directory.refused:
            yield Page([], directory.refused)

    def proof(self) -> Proof:
        groups = self._directory.groups
        if groups is None:
            groups = {group: 1 for person in self._shown() for group in person.groups}
        why = "an entry had no readable id" if self._directory.refused else ""
        return Proof(not why, self.server, 1, self._entries, why, groups)

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
