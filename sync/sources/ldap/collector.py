"""Turning the entries of one page into Persons, while they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from sync.directory import Page, Person, Refused
from sync.errors import SourceRefused
from sync.sources.idset import IdSet
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.filters import ANYTHING
from sync.sources.ldap.mapping import Mapper
from sync.sources.ldap.recognition import Recognition

MOST_SHARED = 1000
"""Ids that several entries may share before the attribute is no id at all."""


class Collector:
    """Maps entries and remembers what speaks against the completeness of the read, and which ids were met twice."""

    def __init__(self, line: Line, mapper: Mapper, recognition: Recognition | None = None) -> None:
        self._line, self._mapper, self._recognition = line, mapper, recognition
        self._persons: list[Person] = []
        self._refused: list[Refused] = []
        self._digests: list[bytes] = []
        self._same: list[int] = []
        self._digest = b""
        self._held: list[Entry] = []
        self._too_big: list[str] = []
        self._met = IdSet()
        self._twice: dict[str, Person] = {}
        self.without_id = 0
        self._first_without_id = ""

    @property
    def why_incomplete(self) -> str:
        """Why absence proves nothing, "" if every entry had a readable id."""
        if not self.without_id:
            return ""
        return f"{self.without_id} entries have no readable id, the first: {self._first_without_id}"

    def recognise(self, octets: bytes) -> bool:
        """Tell whether the entry of these octets is familiar, and the first with its id; any other is to be handed to `take` next."""
        if self._recognition is None:
            return False
        digest = self._recognition.digest(octets)
        place = self._recognition.place(digest)
        if place >= 0 and self._met.add_hash(self._recognition.whose(place)):
            self._same.append(place)
            return True
        self._digest = digest
        return False

    def take(self, entry: Entry) -> None:
        """Map one entry at once; nothing of the entry itself is kept."""
        digest, self._digest = self._digest, b""
        if self._mapper.sets_aside(entry):
            return
        if entry.too_big:
            self._too_big.append(entry.dn)
        else:
            self._add(self._mapper.person(entry), digest)

    def hold(self, entry: Entry) -> None:
        """Keep one entry until the page is complete: its groups are to be asked for on the same connection."""
        self._held.append(entry)

    def page(self) -> Page:
        """Return what has come in since the last page. Raises SourceError (entries that are too big are read again alone)."""
        for entry in self._held:
            self.take(entry)
        for dn in self._too_big:
            self._add(self._read_alone(dn))
        page = Page(self._persons, self._refused, self._digests, self._same)
        self._persons, self._refused, self._digests, self._same, self._held, self._too_big = [], [], [], [], [], []
        return page

    def clear_up(self, look_up: Callable[[Iterable[str]], list[Entry]]) -> Page:
        """Return what is to be believed of the ids that were met twice; `look_up` returns the entries that have any of them now.

        Neither of two entries with one id may speak for the person: only their state counts, the rest stays as it was
        known. An entry that merely moved while it was read is read as it stands now. Raises SourceRefused, or what `look_up` raises.
        """
        if not self._twice:
            return Page([])
        sharing: dict[str, list[Person]] = {one: [] for one in self._twice}
        for seen in map(self._mapper.person, look_up(list(sharing))):
            if isinstance(seen, Person) and seen.external_id in sharing:
                sharing[seen.external_id].append(seen)
        persons, refused = [], []
        for external_id, found in sharing.items():
            persons.append(_agreed(found) or msgspec.structs.replace(self._twice[external_id], bare=True))
            if len(found) > 1:
                refused += [_shared(person, [other for other in found if other is not person]) for person in found]
        self._twice = {}
        return Page(persons, refused)

    def _read_alone(self, dn: str) -> Person | Refused:
        """Read an entry that is too big again: only who it is and whether it is enabled."""
        entries, _ = self._line.fetch(Search(dn, ANYTHING, self._mapper.state_attributes, scope="entry"))
        if not entries or entries[0].too_big:
            return Refused(dn, "is too big to read, and does not show its id alone")
        return self._mapper.bare(entries[0])

    def _add(self, seen: Person | Refused, digest: bytes = b"") -> None:
        if isinstance(seen, Refused):
            self._refused.append(seen)
            if not seen.external_id:
                self.without_id += 1
                self._first_without_id = self._first_without_id or f"{seen.place} {seen.why}"
        elif self._met.add(seen.external_id):
            self._persons.append(seen)
            self._digests.append(b"" if seen.bare else digest)
        else:
            self._twice[seen.external_id] = seen
            if len(self._twice) > MOST_SHARED:
                raise SourceRefused(
                    "ids_not_unique",
                    f"More than {MOST_SHARED} entries share their id with another, the last: {seen.place} ({seen.external_id}); nothing was changed.",
                    "Choose as [source.attributes] id an attribute that is never given twice.",
                )


def _agreed(found: list[Person]) -> Person | None:
    """Return the one entry with an id, or what several agree on: disabled when any is, gone when the first expires."""
    if len(found) < 2:
        return next(iter(found), None)
    first = min(found, key=lambda person: person.place)
    ends = [person.expires_at for person in found if person.expires_at is not None]
    enabled = all(person.enabled for person in found)
    return msgspec.structs.replace(first, bare=True, enabled=enabled, expires_at=min(ends) if ends else None)


def _shared(person: Person, others: list[Person]) -> Refused:
    return Refused(person.place, f"shares the id {person.external_id} with {others[0].place}")
