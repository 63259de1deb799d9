"""What has changed since a full read: by which of the ways that a server offers, from where on, and when nothing of it can be relied on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal

import msgspec

from sync.errors import CursorLost, SourceIncomplete, SourceRefused
from sync.sources.ldap import contentsync, translate
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import is_under
from sync.sources.ldap.filters import ANYTHING, both
from sync.sources.ldap.paging import Walk
from sync.sources.ldap.root import Root

OVERLAP = 600
"""Seconds that reads by modifyTimestamp reach back behind the newest change seen: clocks of servers differ, and entries travel between them."""
FIRST_OVERLAP = 3 * 3600
"""Seconds that the first one after a full read reaches back: it has only this machine's clock to go by."""
_STAMP = "%Y%m%d%H%M%SZ"
_IDS_AT_ONCE = 100

HOW = {"content-sync": "content sync (RFC 4533)", "timestamps": "modifyTimestamp; who is deleted is noticed by full reads only"}


class Position(msgspec.Struct, frozen=True):
    """From where on changes are asked for: by which way, of which server, below which places, and in its own words what it said last."""

    way: Literal["content-sync", "timestamps"]
    server: str
    places: dict[str, str]

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


class NoWay(Exception):
    """Incremental reads are not to be had from this server; the message says why."""


class Follower:
    """Asks one server what has changed, in the words of its dialect. `bases` are those of the source."""

    def __init__(self, dialect: Dialect, bases: Sequence[str], root: Root, line: Line, page_size: int) -> None:
        self._dialect, self._bases, self._root, self._line, self._page_size = dialect, bases, root, line, page_size

    def take_position(self) -> Position:
        """Return from where on changes can be asked for, as of now. Raises NoWay, SourceUnavailable."""
        if not self._root.attributes:
            raise NoWay("no incremental read: the root DSE is hidden, so nothing says what the server can be asked")
        if self._dialect.vendor.by_sid:
            raise NoWay("no incremental read: the times that Active Directory keeps are each controller's own, so it is read in full")
        groups = self._dialect.group_search.base
        if groups and not any(is_under(groups, place) for place in self._places()):
            raise NoWay("no incremental read: groups stand elsewhere than people, and their changes could not be seen")
        cookies = {place: self._content_cookie(place) for place in self._places()}
        if all(cookies.values()) and self._dialect.id.lower() == "entryuuid" and contentsync.REQUEST in self._root["supportedcontrol"]:
            return Position("content-sync", self._line.url, cookies)
        return Position("timestamps", self._line.url, {place: self._moment(place) for place in self._places()})

    def changes(self, cursor: str) -> tuple[frozenset[str], Position]:
        """Return (ids that may have come, changed or gone since then, from where on to ask next time). Raises CursorLost, SourceError."""
        try:
            since = msgspec.json.decode(cursor, type=Position)
        except (msgspec.DecodeError, ValueError):
            raise CursorLost("cursor_lost", "the cursor is of another version") from None
        if since.server != self._line.url:
            raise CursorLost("cursor_lost", f"another server answers now: {self._line.url}")
        if since.places.keys() != set(self._places()):
            raise CursorLost("cursor_lost", "the server shows other naming contexts than before")
        ask = self._polled if since.way == "content-sync" else self._stamped
        found = {place: ask(place, said) for place, said in since.places.items()}
        touched = frozenset().union(*(ids for ids, _ in found.values()))
        self._refuse_changed_groups(touched)
        return touched, Position(since.way, since.server, {place: said for place, (_, said) in found.items()})

    def _places(self) -> list[str]:
        """Where to look: as widely as the server names its contexts, so that whoever is moved out of a base is noticed."""
        wide = [next((context for context in self._root.contexts if is_under(base, context)), base) for base in self._bases]
        return list(dict.fromkeys(wide))

    # -- content synchronisation -------------------------------------------------------------------------------------

    def _content_cookie(self, place: str) -> str:
        """Return what the server would say now as the end of a poll: the contextCSN of its context, "" where it shows none."""
        entries, _ = self._line.fetch(Search(place, ANYTHING, ["contextCSN"], scope="entry"))
        numbers = sorted(text for entry in entries for text in entry.texts("contextcsn"))
        return f"rid=000,csn={';'.join(numbers)}" if numbers else ""

    def _polled(self, place: str, cookie: str) -> tuple[frozenset[str], str]:
        return contentsync.poll(self._line, place, cookie)

    # -- modifyTimestamp ---------------------------------------------------------------------------------------------

    def _moment(self, place: str) -> str:
        """Return the present moment less an overlap, once the server has shown that it can be asked by it."""
        for wanted, expected in ((f"(modifyTimestamp>={_at(0)})", True), ("(modifyTimestamp>=29991231235959Z)", False)):
            entries, done = self._line.fetch(Search(place, both(ANYTHING, wanted), ["1.1"], scope="entry"))
            if done.code or bool(entries) != expected:
                raise NoWay("no incremental read: the server cannot be asked by modifyTimestamp, or not by this account")
        return _at(time.time() - FIRST_OVERLAP)

    def _stamped(self, place: str, moment: str) -> tuple[frozenset[str], str]:
        """Search by modifyTimestamp. What comes next follows the changes themselves, not this machine's clock: while nothing changes, it stays."""
        touched, newest = set[str](), ""

        def take(entry: Entry) -> None:
            nonlocal newest
            touched.update(one for one in self._dialect.ids_of(entry) if one)
            newest = max(newest, *entry.texts("modifytimestamp"), "")
            if len(touched) > contentsync.MOST_TOUCHED:
                raise CursorLost("cursor_lost", f"more than {contentsync.MOST_TOUCHED} entries have changed")

        asked = Search(place, f"(modifyTimestamp>={moment})", [self._dialect.id, "modifyTimestamp"], page_size=self._page_size)
        try:
            for _ in Walk(self._line, self._dialect.vendor).pages_of(asked, take):
                pass
        except CursorLost:
            self._line.close()  # the rest of the answer is still on its way
            raise
        except (SourceIncomplete, SourceRefused) as error:
            raise CursorLost("cursor_lost", f"what has changed could not be read to its end: {error.message}") from error
        return frozenset(touched), max(moment, _before(newest))

    # -- groups ------------------------------------------------------------------------------------------------------

    def _refuse_changed_groups(self, touched: frozenset[str]) -> None:
        """Raise CursorLost when a group that lists its members has changed: whom that concerns, only reading all of them can tell."""
        groups = self._dialect.group_search
        waiting = iter(touched if groups.base else ())
        while batch := list(islice(waiting, _IDS_AT_ONCE)):
            changed = both(groups.filter, self._dialect.with_ids(batch))
            entries, done = self._line.fetch(Search(groups.base, changed, ["1.1"]))
            if done.code not in (0, 4) or entries:
                raise CursorLost(
                    "cursor_lost",
                    f"the group {entries[0].dn} changed" if entries else f"the groups cannot be searched: {translate.result_name(done.code)}",
                )


def _at(seconds: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime(_STAMP)


def _before(stamp: str) -> str:
    """Return the moment that lies OVERLAP before a GeneralizedTime, "" for what is none."""
    try:
        return (datetime.strptime(stamp[:14], _STAMP[:-1]).replace(tzinfo=UTC) - timedelta(seconds=OVERLAP)).strftime(_STAMP)
    except ValueError:
        return ""
