"""What has changed since a moment, by modifyTimestamp (RFC 4512 section 3.4.2): the way of any server. It names nobody who was deleted."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.filters import ANYTHING, both
from sync.sources.ldap.following import STAMP, ids_of, stamp_of

OVERLAP = 600
"""Seconds that a read reaches back behind the newest change seen: clocks of servers differ, and entries travel between them."""
FIRST_OVERLAP = 3 * 3600
"""Seconds that the first one after a full read reaches back: it has only this machine's clock to go by."""


class ByTimestamp:
    """What comes next follows the changes themselves, not this machine's clock: while nothing changes, the moment stays."""

    how = "modifyTimestamp; who is deleted is noticed by full reads only"

    def __init__(self, line: Line, dialect: Dialect, page_size: int) -> None:
        self._line, self._dialect, self._page_size = line, dialect, page_size

    def begin(self, place: str) -> str:
        """Return the present moment less an overlap, "" unless the server shows that it can be asked by it."""
        for wanted, expected in ((f"(modifyTimestamp>={stamp_of(0)})", True), ("(modifyTimestamp>=29991231235959Z)", False)):
            entries, done = self._line.fetch(Search(place, both(ANYTHING, wanted), ["1.1"], scope="entry"))
            if done.code or bool(entries) != expected:
                return ""
        return stamp_of(time.time() - FIRST_OVERLAP)

    def since(self, place: str, said: str) -> tuple[frozenset[str], str]:
        """Search for later moments, and remember the newest."""
        newest = ""

        def look(entry: Entry) -> None:
            nonlocal newest
            newest = max(newest, *entry.texts("modifytimestamp"), "")

        asked = Search(place, f"(modifyTimestamp>={said})", [self._dialect.id, "modifyTimestamp"], page_size=self._page_size)
        return ids_of(self._line, self._dialect, asked, look), max(said, _before(newest))


def _before(stamp: str) -> str:
    """Return the moment that lies OVERLAP before a GeneralizedTime, or before now where that is earlier: a clock that is ahead will be set back.
    "" for what is none."""
    try:
        newest = datetime.strptime(stamp[:14], STAMP[:-1]).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return ""
    return stamp_of(min(newest, time.time()) - OVERLAP)
