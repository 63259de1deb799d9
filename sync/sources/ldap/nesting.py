"""Groups in groups, where memberOf names only the nearest, and primary groups, which list nobody: the issuing groups they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import MalformedDn, is_under, normalise_dn, parse_dn
from sync.sources.ldap.filters import ANYTHING, any_of, both, equals
from sync.sources.ldap.paging import Walk

PRIMARY_ATTRIBUTES = ("primaryGroupID", "objectSid")
"""What an entry's primary group is known by: the group's own number, and the entry's SID, which differs from the group's in nothing else."""
_AT_ONCE = 50


def primary_sid(entry: Entry) -> bytes:
    """Return the SID of an entry's primary group (MS-DTYP section 2.4.2.2), b"" where it is not shown."""
    numbers = [text for text in entry.texts("primarygroupid") if text.isascii() and text.isdigit()]
    sids = [sid for sid in entry.attributes.get("objectsid", ()) if len(sid) >= 12]
    if len(numbers) != 1 or len(sids) != 1 or int(numbers[0]) >= 1 << 32:
        return b""
    return sids[0][:-4] + int(numbers[0]).to_bytes(4, "little")


def is_primary(line: Line, group: Entry) -> bool:
    """Tell whether a group, which need not list anybody for that, is somebody's primary one."""
    numbers = [int.from_bytes(sid[-4:], "little") for sid in group.attributes.get("objectsid", ())]
    domain = ",".join(f"{kind}={value}" for rdn in parse_dn(group.dn) for kind, value in rdn if kind == "dc")
    return any(line.fetch(Search(domain, equals("primaryGroupID", str(number)), ["1.1"], page_size=1))[0] for number in numbers)


class Nesting:
    """Which issuing groups every group below them leads to. Groups by compared name, or by SID."""

    def __init__(self) -> None:
        self._above: dict[str, set[str]] = {}
        self._by_sid: dict[bytes, str] = {}

    @property
    def said(self) -> str:
        """All of it in words: the same words, the same ways."""
        return repr((sorted((name, sorted(above)) for name, above in self._above.items()), sorted(self._by_sid.items())))

    def beyond(self, entry: Entry, names: Iterable[str]) -> set[str]:
        """Return the issuing groups that an entry is in by way of the groups it names and of its primary group."""
        if not self._above:
            return set()
        primary = self._by_sid.get(primary_sid(entry), "")
        return {group for name in (*names, primary) for group in self._above.get(name, ())}

    def ways_into(self, issuing: str, attribute: str) -> list[str]:
        """Return the filters, any of which finds the people in an issuing group: named by `attribute` or as the primary one, directly or by way
        of a group in it."""
        names = [name for name, above in self._above.items() if issuing in above] or [issuing]
        numbers = [int.from_bytes(sid[-4:], "little") for sid, name in self._by_sid.items() if name in names]
        return [*(equals(attribute, name) for name in names), *(equals("primaryGroupID", str(number)) for number in numbers)]

    def add(self, issuing: str, group: Entry) -> bool:
        """Remember that a group leads to an issuing one; return False if that was known, or the group has no name."""
        try:
            name = normalise_dn(group.dn)
        except MalformedDn:
            return False
        self._by_sid.update((sid, name) for sid in group.attributes.get("objectsid", ()))
        known = self._above.setdefault(name, set())
        if issuing in known:
            return False
        known.add(issuing)
        return True


def read_nesting(line: Line, dialect: Dialect, contexts: Sequence[str], issuing: Iterable[str]) -> Nesting:
    """Walk downwards from every issuing group to the groups in it, level by level; circles end by themselves.

    It takes as many searches as there are levels (more where a level has over fifty groups), whatever the number of people.
    """
    nesting = Nesting()
    for name in issuing:
        entries, done = line.fetch(Search(name, ANYTHING, ["objectSid"], scope="entry"))
        context = max((context for context in contexts if is_under(name, context)), key=len, default="")
        level = entries if done.code == 0 and context else []
        while level := [group for group in level if nesting.add(name, group)]:
            level = [below for start in range(0, len(level), _AT_ONCE) for below in _inside(line, dialect, context, level[start : start + _AT_ONCE])]
    return nesting


def _inside(line: Line, dialect: Dialect, context: str, groups: Sequence[Entry]) -> list[Entry]:
    """Return the groups that are members of any of these."""
    found: list[Entry] = []
    listed = any_of(equals("memberOf", group.dn) for group in groups)
    asked = Search(context, both(dialect.group_search.filter, listed), ["objectSid"], page_size=line.settings.page_size)
    for _ in Walk(line, dialect.vendor).pages_of(asked, found.append):
        pass
    return found
