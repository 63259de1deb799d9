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

    def __init__(self, search: GroupSearch) -> None:
        self._search = search
        self._key = attribute_key(search.member)
        self._by_username = self._key == "memberuid"
        self._names: list[str] = []
        self._groups_of: dict[str, list[int]] = {}
        self._all_above: dict[int, frozenset[int]] = {}
        self.sizes: dict[str, int | None] = {}

    def asked(self, page_size: int) -> Search:
        """Return the search for all groups."""
        return Search(self._search.base, self._search.filter, [self._search.member], page_size=page_size, biggest=BIGGEST_GROUP)

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
        if entry.cut:
            raise SourceIncomplete(
                "group_cut",
                f"The directory sent the members of {name} only in part; nothing was changed.",
                "Let memberOf say who is in which group (leave out [source.groups]), or raise the server's limit of values (MaxValRange).",
            )
        number = len(self._names)
        self._names.append(name)
        members = list(self._members(entry))
        self.sizes[name] = len(members)
        for member in members:
            self._groups_of.setdefault(member, []).append(number)

    def sizes_of(self, names: Iterable[str]) -> dict[str, int | None]:
        """Return those of the named groups that the search found, with how many members each shows."""
        return {name: self.sizes[name] for name in names if name in self.sizes}

    def groups_of(self, entry: Entry, username: str) -> list[str]:
        """Return the compared names of the groups that list this entry, and with `nested` of those that list them."""
        numbers = set(self._groups_of.get(self._key_of(entry, username), ()))
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
    while asking and asking[0]:
        fresh: dict[str, str] = {}
        for start in range(0, len(asking), _UPWARDS_AT_ONCE):
            fresh |= _listing(line, dialect, asking[start : start + _UPWARDS_AT_ONCE])
        asking = [dn for name, dn in fresh.items() if name not in found]
        found |= fresh
        if not search.nested or by_username:
            break
    return list(found)


def _listing(line: Line, dialect: Dialect, members: Iterable[str]) -> dict[str, str]:
    """Return the groups that list any of these members: compared name → DN."""
    search, found = dialect.group_search, {}

    def take(entry: Entry) -> None:
        try:
            found[normalise_dn(entry.dn)] = entry.dn
        except MalformedDn:
            return

    listed = any_of(equals(search.member, member) for member in members)
    asked = Search(search.base, both(search.filter, listed), ["1.1"], page_size=line.settings.page_size)
    for _ in Walk(line, dialect.vendor).pages_of(asked, take):
        pass
    return found


def look_for_groups(line: Line, names: Sequence[str]) -> dict[str, int | None]:
    """Return those of the named groups that the directory shows, with how many members they list (None where it would not say)."""
    found: dict[str, int | None] = {}
    for name in names:
        asked = Search(name, ANYTHING, ["objectClass", *_MEMBER_ATTRIBUTES], scope="entry", biggest=BIGGEST_GROUP)
        entries, done = line.fetch(asked)
        if done.code == 0 and entries:
            found[name] = _size(entries[0])
    return found


def _size(group: Entry) -> int | None:
    members = sum(len(group.attributes.get(attribute_key(name), ())) for name in _MEMBER_ATTRIBUTES)
    if members or group.too_big:
        return members or None
    classes = {name.lower() for name in group.attributes.get("objectclass", ())}
    return None if not classes or classes & _MUST_LIST.keys() else 0
