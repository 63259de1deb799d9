"""An open conversation with an LDAP directory: the Reading that sync.directory asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from sync.address import MalformedAddress, normalise
from sync.directory import Absent, Delta, Familiar, Finding, Listed, Page, Person, Proof, Refused
from sync.errors import SourceUnavailable
from sync.settings import SourceSettings
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.collector import Collector
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.delta import Follower, NoWay
from sync.sources.ldap.dialect import Dialect, dialect_of
from sync.sources.ldap.dn import above, distinct_bases
from sync.sources.ldap.evidence import Inquiry
from sync.sources.ldap.filters import any_of, both, equals
from sync.sources.ldap.groups import groups_above, look_for_groups, read_groups
from sync.sources.ldap.mapping import Mapper
from sync.sources.ldap.nesting import Nesting, read_nesting
from sync.sources.ldap.opinion import SecondOpinion
from sync.sources.ldap.paging import Walk
from sync.sources.ldap.recognition import Recognition
from sync.sources.ldap.root import Root, read_root, vendor_of
from sync.sources.ldap.servers import Servers

IDS_AT_ONCE = 100
"""Ids in one OR filter."""


class LdapReading:
    """Reads one directory. `full` starts on the first server that answers and stays there; everything after it asks the same one."""

    def __init__(self, settings: SourceSettings, groups: Sequence[str], servers: Servers) -> None:
        self._settings = settings
        self._issuing = groups
        self._bases = distinct_bases(settings.bases)
        self._servers = servers
        self._proof: Proof | None = None
        self._root: Root | None = None
        self._nested: tuple[str, Nesting] | None = None
        self.server = servers.current

    @property
    def vendor(self) -> str:
        """The kind of server, once its root DSE has been read."""
        return vendor_of(self._settings, self._root).name if self._root else ""

    def full(self, familiar: Familiar | None = None) -> Iterator[Page]:
        """Yield every page of every base. Another server is tried only while not a single page has been read."""
        self._proof = self._nested = None
        while True:
            pages = self._read_all(self._line(), familiar)
            try:
                first = next(pages)
            except SourceUnavailable as error:
                self._servers.fail_over(error)
                continue
            except StopIteration:
                return
            break
        self._servers.settle()
        yield first
        yield from pages
        self._servers.close()  # nobody knows how long the plan will take

    def proof(self) -> Proof:
        """Return what the finished `full` proved. Raises RuntimeError before it has ended."""
        if self._proof is None:
            raise RuntimeError("proof() is asked for before full() has ended")
        return self._proof

    def delta(self, cursor: str) -> Delta:
        """Return what has changed since `cursor`, and who is in the issuing groups now."""
        line = self._line()
        dialect = self._dialect(line)
        follower = self._follower(line, dialect)
        touched, position = follower.changes(cursor)
        members = {group: self._members_of(line, dialect, group) for group in self._issuing} if dialect.groups else {}
        empty = [group for group, ids in members.items() if not ids]
        found = {group: len(ids) for group, ids in members.items() if ids} | look_for_groups(line, dialect, empty)
        return Delta(touched, {group: ids for group, ids in members.items() if group in found}, found, follower.how(position), str(position))

    def find(self, address: str) -> Page:
        """Return whoever lists `address` in any of its spellings."""
        try:
            matched = normalise(address)
        except MalformedAddress:
            return Page([])
        spellings = {address.strip(), matched, _with_unicode_domain(matched)}
        found = self._find(self._dialect(self._line()).with_addresses(spellings))
        # Asked again by id: another entry may claim the same one without listing the address.
        page = self.find_ids([person.external_id for person in found.persons if person.bare or _lists(person.emails, matched)])
        return Page(page.persons, [*found.refused, *page.refused])

    def find_ids(self, external_ids: Iterable[str]) -> Page:
        """Return the persons with these ids that base and filter still show."""
        persons: list[Person] = []
        refused: list[Refused] = []
        waiting = iter(external_ids)
        while batch := list(islice(waiting, IDS_AT_ONCE)):
            page = self._find(self._dialect(self._line()).with_ids(batch))
            persons += page.persons
            refused += page.refused
        return Page(persons, refused)

    def evidence(self, absent: Sequence[Absent]) -> Iterator[Finding]:
        """Yield one finding for each absent person (rule 1)."""
        line = self._line()
        dialect = self._dialect(line)
        stood = {person.external_id: above(person.place) for person in absent}
        found = Inquiry(self._bases, self._line, self._root_of, dialect).findings(absent)
        for finding in SecondOpinion(self._settings, self._bases, dialect, line.url).review(found):
            yield replace(finding, container=stood[finding.external_id])

    def _line(self) -> Line:
        line = self._servers.line()
        self.server = line.url
        return line

    def _root_of(self, line: Line) -> Root:
        if self._root is None:
            self._root = read_root(line)
        return self._root

    def _dialect(self, line: Line) -> Dialect:
        root = self._root_of(line)
        return dialect_of(self._settings, vendor_of(self._settings, root), root.contexts)

    def _read_all(self, line: Line, familiar: Familiar | None) -> Iterator[Page]:
        dialect = self._dialect(line)
        position = self._position(line, dialect)
        index = read_groups(line, dialect)
        nesting = self._nesting(line, dialect)
        mapper = Mapper(self._settings, dialect, index.groups_of if index else None, nesting)
        recognition = Recognition(familiar, dialect, self._settings, mapper.attributes, index, nesting) if familiar else None
        walk, collector = Walk(line, dialect.vendor), Collector(line, mapper, recognition)
        for base in self._bases:
            asked = replace(self._search(base, dialect.filter, mapper), recognise=collector.recognise if recognition else None)
            for _ in walk.pages_of(asked, collector.take):
                yield collector.page()
        shared = collector.clear_up(partial(self._entries_with, line, dialect, mapper))
        if shared.persons:
            yield shared
        found = index.sizes_of(self._issuing) if index else look_for_groups(line, dialect, self._issuing)
        self._proof = Proof(not collector.without_id, line.url, walk.pages, walk.entries, collector.why_incomplete, found, *position)

    def _follower(self, line: Line, dialect: Dialect) -> Follower:
        return Follower(dialect, self._bases, self._root_of(line), line, self._settings.page_size)

    def _position(self, line: Line, dialect: Dialect) -> tuple[str, str]:
        """Return (where an incremental read can go on after a full one that begins now, or why it cannot)."""
        try:
            return str(self._follower(line, dialect).take_position()), ""
        except NoWay as why:
            return "", str(why)

    def _members_of(self, line: Line, dialect: Dialect, group: str) -> frozenset[str]:
        """Return the ids of the people of this source who say that they are in a group, or in one that leads to it."""
        nesting = self._nesting(line, dialect)
        ways = nesting.ways_into(group, dialect.groups) if nesting else [equals(dialect.groups, group)]
        ids = set[str]()
        for base in self._bases:
            for batch in (ways[start : start + IDS_AT_ONCE] for start in range(0, len(ways), IDS_AT_ONCE)):
                asked = Search(base, both(dialect.filter, any_of(batch)), [dialect.id], page_size=self._settings.page_size)
                for _ in Walk(line, dialect.vendor).pages_of(asked, lambda entry: ids.update(one for one in dialect.ids_of(entry) if one)):
                    pass
        return frozenset(ids)

    def _search(self, base: str, filter_text: str, mapper: Mapper) -> Search:
        return Search(base, filter_text, mapper.attributes, page_size=self._settings.page_size)

    def _nesting(self, line: Line, dialect: Dialect) -> Nesting | None:
        """Return where groups in groups lead, where nobody else says so: neither memberOf nor a group search."""
        if not dialect.vendor.by_sid or dialect.group_search.base:
            return None
        if self._nested is None or self._nested[0] != line.url:
            self._nested = line.url, read_nesting(line, dialect, self._root_of(line).contexts, self._issuing)
        return self._nested[1]

    def _find(self, wanted: str) -> Page:
        """Return whoever matches besides the source's own filter, mapped as in a full read."""
        line = self._line()
        dialect = self._dialect(line)
        upwards = partial(groups_above, line, dialect) if dialect.group_search.base else None
        mapper = Mapper(self._settings, dialect, upwards, self._nesting(line, dialect))
        collector = Collector(line, mapper)
        for base in self._bases:
            for _ in Walk(line, dialect.vendor).pages_of(self._search(base, both(dialect.filter, wanted), mapper), collector.hold):
                pass
        page, shared = collector.page(), collector.clear_up(partial(self._entries_with, line, dialect, mapper))
        settled = {person.external_id for person in shared.persons}
        persons = [*(person for person in page.persons if person.external_id not in settled), *shared.persons]
        return Page(persons, [*page.refused, *shared.refused])

    def _entries_with(self, line: Line, dialect: Dialect, mapper: Mapper, external_ids: Iterable[str]) -> list[Entry]:
        """Return the entries that have any of these ids now, by the source's own base and filter."""
        entries: list[Entry] = []
        waiting = iter(external_ids)
        while batch := list(islice(waiting, IDS_AT_ONCE)):
            wanted = both(dialect.filter, dialect.with_ids(batch))
            for base in self._bases:
                for _ in Walk(line, dialect.vendor).pages_of(self._search(base, wanted, mapper), entries.append):
                    pass
        return entries


def _lists(emails: Iterable[Listed], matched: str) -> bool:
    return any(email.matched == matched for email in emails)


def _with_unicode_domain(matched: str) -> str:
    """Return the address with its domain as people write it (bücher.example), for directories that keep it so."""
    local, _, domain = matched.rpartition("@")
    try:
        labels = [label[4:].encode().decode("punycode") if label.startswith("xn--") else label for label in domain.split(".")]
    except UnicodeError:
        return matched
    return f"{local}@{'.'.join(labels)}"
