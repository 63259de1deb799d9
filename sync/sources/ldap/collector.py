"""Turning the entries of one page into Persons, while they arrive."""

from __future__ import annotations

from sync.directory import Page, Person, Refused
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.filters import ANYTHING
from sync.sources.ldap.idset import IdSet
from sync.sources.ldap.mapping import Mapper


class Collector:
    """Maps entries and remembers what speaks against the completeness of the read."""

    def __init__(self, line: Line, mapper: Mapper) -> None:
        self._line, self._mapper = line, mapper
        self._persons: list[Person] = []
        self._refused: list[Refused] = []
        self._held: list[Entry] = []
        self._too_big: list[str] = []
        self._met = IdSet()
        self.without_id = 0
        self._first_without_id = ""

    @property
    def why_incomplete(self) -> str:
        """Why absence proves nothing, "" if every entry had a readable id."""
        if not self.without_id:
            return ""
        return f"{self.without_id} entries have no readable id, the first: {self._first_without_id}"

    def take(self, entry: Entry) -> None:
        """Map one entry at once; nothing of the entry itself is kept."""
        if entry.too_big:
            self._too_big.append(entry.dn)
        else:
            self._add(self._mapper.person(entry))

    def hold(self, entry: Entry) -> None:
        """Keep one entry until the page is complete: its groups are to be asked for on the same connection."""
        self._held.append(entry)

    def page(self) -> Page:
        """Return what has come in since the last page. Raises SourceError (entries that are too big are read again alone)."""
        for entry in self._held:
            self.take(entry)
        for dn in self._too_big:
            self._add(self._read_alone(dn))
        page = Page(self._persons, self._refused)
        self._persons, self._refused, self._held, self._too_big = [], [], [], []
        return page

    def _read_alone(self, dn: str) -> Person | Refused:
        """Read an entry that is too big again: only who it is and whether it is enabled."""
        entries, _ = self._line.fetch(Search(dn, ANYTHING, self._mapper.state_attributes, scope="entry"))
        if not entries or entries[0].too_big:
            return Refused(dn, "is too big to read, and does not show its id alone")
        return self._mapper.bare(entries[0])

    def _add(self, seen: Person | Refused) -> None:
        if isinstance(seen, Refused):
            self._refused.append(seen)
            self.without_id += 1
            self._first_without_id = self._first_without_id or f"{seen.place} {seen.why}"
        elif self._met.add(seen.external_id):
            self._persons.append(seen)
        else:
            self._refused.append(Refused(seen.place, f"shares the id {seen.external_id} with an entry read before"))
