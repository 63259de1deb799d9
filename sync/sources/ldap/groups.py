"""Which groups a person is in, when groups list their members: one search for all of them, or upwards from one person."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from sync.errors import SourceIncomplete
from sync.settings import GroupSearch
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import MalformedDn, normalise_dn
from sync.sources.ldap.filters import ANYTHING, any_of, both, equals
from sync.sources.ldap.names import attribute_key
from sync.sources.ldap.nesting import is_primary, primary_sid
from sync.sources.ldap.paging import Walk

BIGGEST_GROUP = 256 * 1024 * 1024
"""Octets of a group that are read: some millions of members."""
_UPWARDS_AT_ONCE = 50
_MEMBER_ATTRIBUTES = ("member", "uniqueMember", "memberUid")
_UNIQUE_BITS = re.compile(r"#'[01]*'B$")
_MUST_LIST = {b"groupofnames": "member", b"groupofuniquenames": "uniquemember"}
"""Classes whose schema demands a member (RFC 4519 section 3.5): one that shows none hides them."""


class GroupIndex:
    """All groups of a search and who is in them. Members by compared DN, by username where the attribute is memberUid."""

    def __init__(self, search: GroupSearch, *, by_sid: bool = False) -> None:
        self._search, self._by_sid = search, by_sid
        self._key = attribute_key(search.member)
        self._by_username = self._key == "memberuid"
        self._names: list[str] = []
        self._groups_of: dict[str, list[int]] = {}
        self._all_above: dict[int, frozenset[int]] = {}
        self._numbers: dict[bytes, int] = {}
        self._cut: list[tuple[int, Entry]] = []
        self.sizes: dict[str, int | None] = {}

    def asked(self, page_size: int) -> Search:
        """Return the search for all groups."""
        attributes = [self._search.member, *(["objectSid"] if self._by_sid else ())]
        return Search(self._search.base, self._search.filter, attributes, page_size=page_size, biggest=BIGGEST_GROUP)

    def take(self, entry: Entry) -> None:
        """Remember one group. A search that finds groups shows how many members each has: 0 when it shows none."""
        try:
            name = normalise_dn(entry.dn)
        except MalformedDn:
            return
        if entry.too_big:
            raise SourceIncomplete(
                "group_too_big",
                f"The group {name} is bigger than {BIGGEST_GROUP} octets and was not read; nothing was changed.",
                "Narrow groups.filter.",
            )
        number = len(self._names)
        self._names.append(name)
        self._numbers.update((sid, number) for sid in entry.attributes.get("objectsid", ()))
        if entry.cut and not entry.rest:
            raise _came_in_part(name)
        if entry.cut:
            self._cut.append((number, entry))
        self._enter(number, entry)

    def _enter(self, number: int, entry: Entry) -> None:
        members = list(self._members(entry))
        self.sizes[self._names[number]] = (self.sizes.get(self._names[number]) or 0) + len(members)
        for member in members:
            self._groups_of.setdefault(member, []).append(number)

    def complete(self, line: Line) -> None:
        """Fetch the other members of the groups that came in part, range by range (MS-ADTS section 3.1.1.3.1.3.3). Raises SourceIncomplete."""
        for number, entry in self._cut:
            part = entry
            while part.cut and (rest := part.rest):
                asked = Search(entry.dn, ANYTHING, [f"{_plain(self._search.member)};range={rest}-*"], scope="entry", biggest=BIGGEST_GROUP)
                entries, _ = line.fetch(asked)
                part = entries[0] if entries else Entry(entry.dn)
                if not part.cut or 0 < part.rest <= rest:
                    raise _came_in_part(self._names[number])
                self._enter(number, part)
        self._cut = []

    def sizes_of(self, names: Iterable[str]) -> dict[str, int | None]:
        """Return those of the named groups that the search found, with how many members each shows."""
        return {name: self.sizes[name] for name in names if name in self.sizes}

    @property
    def by_place(self) -> bool:
        """Whether nothing of an entry but its DN says which groups list it."""
        return not self._by_username and not self._by_sid

    @property
    def said(self) -> str:
        """All of it in words: the same words, the same groups for everybody."""
        return repr((self._names, self._groups_of, self._numbers))

    def groups_of(self, entry: Entry, username: str) -> list[str]:
        """Return the compared names of the groups that list this entry, and with `nested` of those that list them."""
        numbers = set(self._groups_of.get(self._key_of(entry, username), ()))
        primary = self._numbers.get(primary_sid(entry)) if self._by_sid else None
        if primary is not None:
            numbers.add(primary)
        if self._search.nested and numbers:
            numbers = numbers.union(*(self._above(number) for number in numbers))
        return [self._names[number] for number in numbers]

    def _key_of(self, entry: Entry, username: str) -> str:
        if self._by_username:
            return username
        try:
            return normalise_dn(entry.dn)
        except MalformedDn:
            return ""

    def _above(self, number: int) -> frozenset[int]:
        """Return every group above one: those that list it, those that list them, and so on; circles end by themselves."""
        known = self._all_above.get(number)
        if known is None:
            found: set[int] = set()
            waiting = deque([number])
            while waiting:
                for parent in self._groups_of.get(self._names[waiting.popleft()], ()):
                    if parent not in found:
                        found.add(parent)
                        waiting.append(parent)
            known = self._all_above[number] = frozenset(found)
        return known

    def _members(self, entry: Entry) -> Iterator[str]:
        for value in entry.attributes.get(self._key, ()):
            member = _compared_member(value, self._key)
            if member:
                yield member


def read_groups(line: Line, dialect: Dialect) -> GroupIndex | None:
    """Read every group of the search to its last member; None where there is no search. Raises SourceError."""
    if not dialect.group_search.base:
        return None
    index = GroupIndex(dialect.group_search, by_sid=dialect.vendor.by_sid)
    for _ in Walk(line, dialect.vendor).pages_of(index.asked(line.settings.page_size), index.take):
        pass
    index.complete(line)
    return index


def _plain(attribute: str) -> str:
    return attribute.partition(";")[0]


def _came_in_part(name: str) -> SourceIncomplete:
    return SourceIncomplete(
        "group_cut",
        f"The directory sent the members of {name} only in part; nothing was changed.",
        "Let memberOf say who is in which group (leave out [source.groups]), or raise the server's limit of values (MaxValRange).",
    )


def _compared_member(value: bytes, key: str) -> str:
    text = value.decode("utf-8", "replace")
    if key == "memberuid":
        return text
    try:
        return normalise_dn(_UNIQUE_BITS.sub("", text))
    except MalformedDn:
        return ""


def groups_above(line: Line, dialect: Dialect, entry: Entry, username: str) -> list[str]:
    """Return the groups of one person by asking upwards: who lists them, who lists those, and so on."""
    search = dialect.group_search
    by_username = attribute_key(search.member) == "memberuid"
    asking = [username] if by_username else [entry.dn]
    found: dict[str, str] = {}
    primary = primary_sid(entry) if dialect.vendor.by_sid else b""
    while asking and asking[0]:
        fresh = _search_groups(line, dialect, equals("objectSid", primary)) if primary and not found else {}
        for start in range(0, len(asking), _UPWARDS_AT_ONCE):
            fresh |= _listing(line, dialect, asking[start : start + _UPWARDS_AT_ONCE])
        asking = [dn for name, dn in fresh.items() if name not in found]
        found |= fresh
        if not search.nested or by_username:
            break
    return list(found)


def _listing(line: Line, dialect: Dialect, members: Iterable[str]) -> dict[str, str]:
    """Return the groups that list any of these members: compared name → DN."""
    return _search_groups(line, dialect, any_of(equals(_plain(dialect.group_search.member), member) for member in members))


def _search_groups(line: Line, dialect: Dialect, wanted: str) -> dict[str, str]:
    search, found = dialect.group_search, {}

    def take(entry: Entry) -> None:
        try:
            found[normalise_dn(entry.dn)] = entry.dn
        except MalformedDn:
            return

    asked = Search(search.base, both(search.filter, wanted), ["1.1"], page_size=line.settings.page_size)
    for _ in Walk(line, dialect.vendor).pages_of(asked, take):
        pass
    return found


def look_for_groups(line: Line, dialect: Dialect, names: Sequence[str]) -> dict[str, int | None]:
    """Return those of the named groups that the directory shows, with how many members they list (None where it would not say)."""
    by_sid = ["objectSid"] if dialect.vendor.by_sid else []
    found: dict[str, int | None] = {}
    for name in names:
        asked = Search(name, ANYTHING, ["objectClass", *_MEMBER_ATTRIBUTES, *by_sid], scope="entry", biggest=BIGGEST_GROUP)
        entries, done = line.fetch(asked)
        if done.code == 0 and entries:
            found[name] = _size(entries[0])
            if by_sid and found[name] == 0 and is_primary(line, entries[0]):
                found[name] = None
    return found


def _size(group: Entry) -> int | None:
    members = sum(len(group.attributes.get(attribute_key(name), ())) for name in _MEMBER_ATTRIBUTES)
    if members or group.too_big or group.cut:
        return None if group.too_big or group.cut else members
    classes = {name.lower() for name in group.attributes.get("objectclass", ())}
    return None if not classes or classes & _MUST_LIST.keys() else 0
