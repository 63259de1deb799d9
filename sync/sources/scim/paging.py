"""Walking a list to its end, and knowing that it was the end (RFC 7644 section 3.4.2.4, RFC 9865)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from sync.errors import SourceIncomplete, SourceRefused
from sync.sources.scim.answers import Listing, detail_of, read_listing
from sync.sources.scim.discovery import Features
from sync.sources.scim.line import Answer, Line

ANYWHERE = 100
"""A page size that every provider known takes; some answer 400 to a larger one."""
MOST_PAGES = 100_000
MOST_EMPTY = 20
"""Pages in a row that promise more and show nobody with an id."""

Take = Callable[[list[msgspec.Raw]], tuple[int, int]]
"""Takes the resources of a page; returns how many of them have an id, and how many of those were not met before."""


class Walk:
    """One walk over one list. `totals` = how many resources the provider says there are, each time it says something else."""

    def __init__(self, line: Line, path: str, page_size: int, features: Features, query: Mapping[str, str] | None = None) -> None:
        self._line, self._path, self._query = line, path, dict(query or {})
        self._count = min(page_size, features.largest_page or page_size)
        self._by_cursor = features.by_cursor
        self.pages = 0
        self.new = 0
        self.totals: list[int] = []

    def pages_of(self, take: Take) -> Iterator[None]:
        """Yield after each page that brought something. Ending without an error means that the provider has shown all it would show."""
        start, cursor, met, empty = 1, "", set[str](), 0
        while True:
            listing = self._fetch(start, cursor)
            named, new = take(listing.resources)
            nameless = len(listing.resources) - named
            self.new += new + nameless
            empty, stale = 0 if named else empty + 1, named > 0 and new == 0
            unpaged = listing.total == len(listing.resources) == self.new  # it shows all of them, whatever is asked for
            if stale and unpaged and not self._by_cursor:
                return
            self._refuse_going_round(listing, empty, stale=stale)
            start += len(listing.resources)
            if new or nameless:
                yield
            if listing.next_cursor:
                self._by_cursor = True
                cursor = listing.next_cursor
                if cursor in met:
                    raise _looping(self._line, "its cursor does not move on")
                met.add(cursor)
            elif self._by_cursor or not listing.resources or (unpaged and new > self._count):
                return

    def shortfall(self) -> str:
        """Say why the walk does not prove that nobody was passed over, "" if it does."""
        if len(self.totals) > 1:
            return f"the provider's count changed from {self.totals[0]} to {self.totals[-1]} while it was read"
        if self.totals and self.totals[0] > self.new:
            return f"the provider counts {self.totals[0]} and shows {self.new}"
        return ""

    def _fetch(self, start: int, cursor: str) -> Listing:
        if self.pages >= MOST_PAGES:
            raise SourceIncomplete("too_many_pages", f"{self._line.url} has more than {MOST_PAGES:,} pages.", "Set a larger page_size.")
        answer = self._ask(start, cursor)
        if answer.status == 400 and not self.pages and self._count > ANYWHERE:
            self._count = ANYWHERE
            answer = self._ask(start, cursor)
        if answer.status != 200:
            raise _unlisted(answer, "filter" in self._query)
        listing = read_listing(answer.body, answer.url)
        self.pages += 1
        if listing.total is not None and listing.total not in self.totals[-1:]:
            self.totals.append(listing.total)
        if self.pages == 1 and listing.total and not listing.resources and not listing.next_cursor:
            why = f"{self._line.url} counts {listing.total} resources, and shows none of them."
            raise SourceIncomplete("list_cut", why, "Check what the credential may read.")
        return listing

    def _ask(self, start: int, cursor: str) -> Answer:
        where = {"cursor": cursor} if self._by_cursor else {"startIndex": str(start)}
        return self._line.ask(self._path, {**self._query, **where, "count": str(self._count)})

    def _refuse_going_round(self, listing: Listing, empty: int, *, stale: bool) -> None:
        if stale:
            raise _looping(self._line, "a page shows only what was shown before")
        if empty > MOST_EMPTY and (listing.resources or listing.next_cursor):
            raise _looping(self._line, "page after page shows nobody")


def _looping(line: Line, why: str) -> SourceIncomplete:
    return SourceIncomplete("paging_loop", f"{line.url} pages in a circle: {why}.", "See the provider's own log, and any cache before it.")


def _unlisted(answer: Answer, filtered: bool) -> SourceRefused:
    said = f"{answer.url} answered {answer.status}" + (f": {detail}" if (detail := detail_of(answer.body)) else "")
    if answer.status == 404:
        return SourceRefused("endpoint_not_found", f"{said}.", "Correct `url`: it is what stands before /Users.")
    if answer.status == 400 and filtered:
        return SourceRefused("bad_filter", f"{said}.", "Correct `filter`, or leave it out: not every provider understands it.")
    return SourceRefused("provider_refused", f"{said}.", "See the provider's own log.")
