"""An open conversation with a SCIM provider: the Reading that sync.directory asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sync.address import MalformedAddress, normalise
from sync.directory import Absent, Delta, Familiar, Finding, Page, Person, Proof, Refused
from sync.errors import CursorLost, SourceRefused
from sync.settings import SourceSettings
from sync.sources.idset import IdSet
from sync.sources.scim.changes import HOW, Follower
from sync.sources.scim.discovery import Features, discover
from sync.sources.scim.evidence import Inquiry
from sync.sources.scim.groups import Roster, read_roster
from sync.sources.scim.line import Line
from sync.sources.scim.mapping import Mapper
from sync.sources.scim.paging import Walk
from sync.sources.scim.people import People, filter_ignored, quoted, separate

FEW = 200
"""So many changed people are asked for one by one, or as many as a page holds."""

COMPARED = 3
"""People shown last who are asked for beside absent ones: one who is shown again is enough."""


class ScimReading:
    """Reads one provider."""

    vendor = ""

    def __init__(self, settings: SourceSettings, groups: Sequence[str], line: Line) -> None:
        self._settings, self._issuing, self._line = settings, groups, line
        self._people = People(line, settings.filter, settings.page_size, self._known_features)
        self._features: Features | None = None
        self._roster: Roster | None = None
        self._proof: Proof | None = None
        self._shown: list[str] = []
        self.server = line.url

    def full(self, familiar: Familiar | None = None) -> Iterator[Page]:
        """Yield every page of /Users."""
        self._proof = self._roster = None
        mapper, collector = self._mapper(), _Collector()
        began = self._line.date
        if self._settings.filter and self._people.ignores_filter():
            raise filter_ignored(self.server)  # everybody would be given keys
        query = {"filter": self._settings.filter} if self._settings.filter else {}
        walk = Walk(self._line, "Users", self._settings.page_size, self._known_features(), query)
        for _ in walk.pages_of(lambda resources: collector.take(resources, mapper, walk.pages)):
            page = collector.page()
            self._note_shown(page.persons)
            yield page
        shortfall = walk.shortfall()
        found = self._known_roster().found()
        position = ("", f"no incremental read: {shortfall}") if shortfall else self._position(walk.new, began)
        self._proof = Proof(not shortfall, self.server, walk.pages, walk.new, shortfall, found, *position, answers_by_id=True)

    def proof(self) -> Proof:
        """Return what the finished `full` proved. Raises RuntimeError before it has ended."""
        if self._proof is None:
            raise RuntimeError("proof() is asked for before full() has ended")
        return self._proof

    def delta(self, cursor: str) -> Delta:
        """Return what has changed since `cursor`, and who is in the issuing groups now."""
        touched, position = self._follower().changes(cursor)
        if len(touched) > max(FEW, self._settings.page_size):
            raise CursorLost("cursor_lost", f"{len(touched)} people have changed: reading everybody is quicker than asking for each")
        roster = self._known_roster()
        if not roster.tells_all:
            raise CursorLost("cursor_lost", "the provider does not list who is in the issuing groups, so nobody says whose groups changed")
        return Delta(touched, roster.members, roster.found(), HOW, position)

    def find(self, address: str) -> Page:
        """Return whoever lists `address`: asked by filter, or found by reading everybody where the provider has no such filter."""
        try:
            matched = normalise(address)
        except MalformedAddress:
            return Page([])
        spellings = dict.fromkeys((address.strip(), matched))
        for attribute, is_enough in (("emails.value", True), ("userName", False)):
            wanted = " or ".join(f"{attribute} eq {quoted(one)}" for one in spellings)
            page = self._where(f"({wanted})" if len(spellings) > 1 else wanted, matched)
            if page is not None and (is_enough or page.persons):
                return page
        return Page([person for page in self.full() for person in page.persons if _lists(person, matched)])

    def find_ids(self, external_ids: Iterable[str]) -> Page:
        """Return the persons with these ids that provider and filter still show."""
        mapper = self._mapper()
        found = (self._people.resource(one) for one in external_ids)
        persons, refused = separate(mapper.person(msgspec.Raw(one), "Users") if isinstance(one, bytes) else one for one in found if one is not None)
        self._note_shown(persons)
        return Page(persons, refused)

    def evidence(self, absent: Sequence[Absent]) -> Iterator[Finding]:
        """Yield one finding for each absent person."""
        mapper = self._mapper()
        if not self._shown:
            self._note_shown(self._some(mapper))
        yield from Inquiry(self._people, mapper, self._settings.filter, self._shown).findings(absent)

    def _note_shown(self, persons: Sequence[Person]) -> None:
        self._shown = [person.external_id for person in persons[-COMPARED:]] or self._shown

    def _some(self, mapper: Mapper) -> Sequence[Person]:
        """Return some of the people whom the provider shows, none if it shows nobody."""
        collector = _Collector()
        walk = Walk(self._line, "Users", self._settings.page_size, self._known_features())
        for _ in walk.pages_of(lambda resources: collector.take(resources, mapper, walk.pages)):
            if persons := collector.page().persons:
                return persons
        return ()

    def _where(self, filter_text: str, matched: str) -> Page | None:
        """Return whoever matches a filter and lists the address, None if the provider does not take the filter."""
        try:
            found = self._people.where(filter_text)
        except SourceRefused as error:
            if error.code in ("bad_filter", "filter_ignored", "provider_refused"):
                return None
            raise
        persons, refused = separate(self._mapper().person(raw, "Users") for raw in found)
        return Page([person for person in persons if _lists(person, matched)], refused)

    def _known_features(self) -> Features:
        if self._features is None:
            self._features = discover(self._line)
        return self._features

    def _known_roster(self) -> Roster:
        if self._roster is None:
            self._roster = read_roster(self._line, self._issuing, self._settings.page_size, self._known_features())
        return self._roster

    def _mapper(self) -> Mapper:
        return Mapper(self._settings, self._known_roster().groups_of)

    def _follower(self) -> Follower:
        return Follower(self._line, self._settings.filter, self._settings.page_size, self._known_features())

    def _position(self, shown: int, began: str) -> tuple[str, str]:
        """Return (where an incremental read can go on after a full one, or why it cannot)."""
        if not self._known_roster().tells_all:
            return "", "no incremental read: the provider does not list who is in the issuing groups, and a change of one touches nobody's entry"
        return self._follower().take_position(shown, began)


class _Collector:
    """Turns the resources of a page into Persons, each id once; a second user under an id that was met is refused."""

    def __init__(self) -> None:
        self._met, self._called = IdSet(), IdSet()
        self._persons: list[Person] = []
        self._refused: list[Refused] = []

    def take(self, resources: list[msgspec.Raw], mapper: Mapper, page: int) -> tuple[int, int]:
        """Take the resources of a page; return how many have an id, and how many of those were not met before."""
        named = new = 0
        for number, raw in enumerate(resources, 1):
            one = mapper.person(raw, f"page {page}, resource {number}")
            named += bool(one.external_id)
            is_new = self._met.add(one.external_id or f"\0{bytes(raw)!r}")
            new += is_new and bool(one.external_id)
            named_anew = isinstance(one, Person) and self._called.add(f"{one.external_id}\0{one.username}")
            if not is_new and named_anew:
                self._refused.append(Refused(f"Users/{one.external_id}", "shares its id with a user who was read before it", one.external_id))
            elif is_new and isinstance(one, Person):
                self._persons.append(one)
            elif is_new and isinstance(one, Refused):
                self._refused.append(one)
        return named, new

    def page(self) -> Page:
        """Return what was taken since the last call."""
        page = Page(self._persons, self._refused)
        self._persons, self._refused = [], []
        return page


def _lists(person: Person, matched: str) -> bool:
    return any(email.matched == matched for email in person.emails)
