"""What has changed since a full read: by which of the ways that a server offers, from where on, and when nothing of it can be relied on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Literal

import msgspec

from sync.errors import CursorLost
from sync.sources.ldap import translate
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.contentsync import ByContentSync
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import is_under
from sync.sources.ldap.filters import both
from sync.sources.ldap.following import Way
from sync.sources.ldap.root import Root
from sync.sources.ldap.timestamps import ByTimestamp
from sync.sources.ldap.usn import ByUsn

_IDS_AT_ONCE = 100


class Position(msgspec.Struct, frozen=True):
    """From where on changes are asked for: by which way, of which server, and for each place what the server said last.

    `data` = what it called its data then, "" where it has no name for them: 389 numbers changes, and one that was put back or broke down
    gives the same numbers to other changes.
    """

    way: Literal["content-sync", "usn", "timestamps"]
    server: str
    places: dict[str, str]
    data: str = ""

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


class NoWay(Exception):
    """Incremental reads are not to be had from this server; the message says why."""


class Follower:
    """Asks one server what has changed, in the words of its dialect. `bases` are those of the source."""

    def __init__(self, dialect: Dialect, bases: Sequence[str], root: Root, line: Line, page_size: int) -> None:
        self._dialect, self._bases, self._root, self._line = dialect, bases, root, line
        self._ways: dict[str, Way] = {
            "content-sync": ByContentSync(line, dialect, root),
            "usn": ByUsn(line, dialect, page_size),
            "timestamps": ByTimestamp(line, dialect, page_size),
        }

    def take_position(self) -> Position:
        """Return from where on changes can be asked for, as of now. Raises NoWay, SourceUnavailable."""
        if not self._root.attributes:
            raise NoWay("no incremental read: the root DSE is hidden, so nothing says what the server can be asked")
        groups = self._dialect.group_search.base
        if groups and not any(is_under(groups, place) for place in self._places()):
            raise NoWay("no incremental read: groups stand elsewhere than people, and their changes could not be seen")
        names = self._dialect.vendor.follows_by
        for name in names:
            begun = {place: self._ways[name].begin(place) for place in self._places()}
            if all(begun.values()):
                return msgspec.convert({"way": name, "server": self._line.url, "places": begun, "data": self._root.data}, Position)
        raise NoWay(f"no incremental read: the server cannot be asked by {' or '.join(names)}, or not by this account")

    def changes(self, cursor: str) -> tuple[frozenset[str], Position]:
        """Return (ids that may have come, changed or gone since then, from where on to ask next time). Raises CursorLost, SourceError."""
        try:
            since = msgspec.json.decode(cursor, type=Position)
        except (msgspec.DecodeError, ValueError):
            raise CursorLost("cursor_lost", "the cursor is of another version") from None
        if since.server != self._line.url:
            raise CursorLost("cursor_lost", f"another server answers now: {self._line.url}")
        if since.data != self._root.data:
            raise CursorLost("cursor_lost", "the server was started anew since, and may have been put back to an earlier state")
        if since.places.keys() != set(self._places()):
            raise CursorLost("cursor_lost", "the server shows other naming contexts than before")
        way = self._ways[since.way]
        found = {place: way.since(place, said) for place, said in since.places.items()}
        touched = frozenset().union(*(ids for ids, _ in found.values()))
        self._refuse_changed_groups(touched)
        return touched, msgspec.structs.replace(since, places={place: said for place, (_, said) in found.items()})

    def how(self, position: Position) -> str:
        """Say for people by which way changes were asked for."""
        return self._ways[position.way].how

    def _places(self) -> list[str]:
        """Where to look: as widely as the server names its contexts, so that whoever is moved out of a base is noticed."""
        wide = [next((context for context in self._root.contexts if is_under(base, context)), base) for base in self._bases]
        return list(dict.fromkeys(wide))

    def _refuse_changed_groups(self, touched: frozenset[str]) -> None:
        """Raise CursorLost when a group that lists its members has changed: whom that concerns, only reading all of them can tell."""
        groups = self._dialect.group_search
        waiting = iter(touched if groups.base else ())
        while batch := list(islice(waiting, _IDS_AT_ONCE)):
            entries, done = self._line.fetch(Search(groups.base, both(groups.filter, self._dialect.with_ids(batch)), ["1.1"]))
            if entries:
                raise CursorLost("cursor_lost", f"the group {entries[0].dn} changed")
            if done.code:
                raise CursorLost("cursor_lost", f"the groups cannot be searched: {translate.result_name(done.code)}")
