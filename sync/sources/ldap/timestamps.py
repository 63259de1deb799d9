"""What has changed since a moment, by modifyTimestamp (RFC 4512 section 3.4.2): the way of any server. It names nobody who was deleted."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.filters import ANYTHING, both
from sync.sources.ldap.following import ids_of

OVERLAP = 600
"""Seconds that a read reaches back behind the newest change seen: clocks of servers differ, and entries travel between them."""
FIRST_OVERLAP = 3 * 3600
"""Seconds that the first one after a full read reaches back: it has only this machine's clock to go by."""
_STAMP = "%Y%m%d%H%M%SZ"


class ByTimestamp:
    """What comes next follows the changes themselves, not this machine's clock: while nothing changes, the moment stays."""

    how = "modifyTimestamp; who is deleted is noticed by full reads only"

    def __init__(self, line: Line, dialect: Dialect, page_size: int) -> None:
        self._line, self._dialect, self._page_size = line, dialect, page_size

    def begin(self, place: str) -> str:
        """Return the present moment less an overlap, "" unless the server shows that it can be asked by it."""
        for wanted, expected in ((f"(modifyTimestamp>={_at(0)})", True), ("(modifyTimestamp>=29991231235959Z)", False)):
            entries, done = self._line.fetch(Search(place, both(ANYTHING, wanted), ["1.1"], scope="entry"))
            if done.code or bool(entries) != expected:
                return ""
        return _at(time.time() - FIRST_OVERLAP)

    def since(self, place: str, said: str) -> tuple[frozenset[str], str]:
        """Search for later moments, and remember the newest."""
        newest = ""

        def look(entry: Entry) -> None:
            nonlocal newest
            newest = max(newest, *entry.texts("modifytimestamp"), "")

        asked = Search(place, f"(modifyTimestamp>={said})", [self._dialect.id, "modifyTimestamp"], page_size=self._page_size)
        return ids_of(self._line, self._dialect, asked, look), max(said, _before(newest))


def _at(seconds: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime(_STAMP)


def _before(stamp: str) -> str:
    """Return the moment that lies OVERLAP before a GeneralizedTime, "" for what is none."""
    try:
        return (datetime.strptime(stamp[:14], _STAMP[:-1]).replace(tzinfo=UTC) - timedelta(seconds=OVERLAP)).strftime(_STAMP)
    except ValueError:
        return ""
