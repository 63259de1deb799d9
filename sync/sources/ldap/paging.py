"""Reading every page of a search, and proving that it was all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from sync.errors import SourceIncomplete, SourceUnavailable
from sync.sources.ldap import translate
from sync.sources.ldap.ber import Done, Entry, dn_of
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.vendors import Vendor

MOST_PAGES = 1_000_000
"""More pages than any directory has."""
MOST_EMPTY_PAGES = 1000
"""Pages without an entry, one after the other, that are still believed: servers filter after they have cut the pages."""


class Walk:
    """One way through a directory: counts what it meets, and raises unless it was all there is.

    A read is complete only if every page's result is 0 and the last page carries the paged results control with an
    empty cookie (RFC 2696). ldap3's own loop ends silently at a size limit and when the control is missing.
    """

    def __init__(self, line: Line, vendor: Vendor) -> None:
        self._line, self._vendor = line, vendor
        self.pages = 0
        self.entries = 0
        self._empty = 0
        self._seen: set[tuple[bytes, str]] = set()

    def pages_of(self, asked: Search, take: Callable[[Entry], None]) -> Iterator[int]:
        """Hand every entry to `take` that the search does not recognise; yield the number of entries after each page.

        Raises SourceIncomplete (a limit, a missing control, a loop), SourceRefused, SourceUnavailable.
        """
        cookie: bytes | None = None
        while True:
            page = _Page(take, asked.recognise)
            done = self._one_page(replace(asked, recognise=page.recognise) if asked.recognise else asked, page, cookie)
            self._check(asked, done)
            self.pages += 1
            yield page.entries
            cookie = done.cookie
            if not cookie:
                return
            self._stop_loops(cookie, page)

    def _one_page(self, asked: Search, page: _Page, cookie: bytes | None) -> Done:
        try:
            return self._line.search(asked, page.take, cookie)
        except SourceUnavailable as error:
            if self.entries + page.entries:
                error.message = f"{error.message} {self.entries + page.entries} entries had been read."
            raise
        finally:
            self.entries += page.entries

    def _check(self, asked: Search, done: Done) -> None:
        limit = translate.limit_hit(self._line.url, done.code, self.entries, self._line.bound_as, self._vendor.limits)
        if limit:
            raise limit
        if done.code == 32:
            raise translate.base_not_found(self._line.url, asked.base, done.matched)
        if done.code:
            raise translate.refusal(f"{self._line.url} refuses to search {asked.base}", done.code, done.text)
        if done.cookie is None:
            raise SourceIncomplete(
                "paging_control_missing",
                f"{self._line.url} left the paged results control out of an answer after {self.entries} entries,"
                " so nothing says whether that was all; nothing was changed.",
                "Check whether a proxy stands between, or name another server in `urls`.",
            )

    def _stop_loops(self, cookie: bytes, page: _Page) -> None:
        """Raise if the server leads us in circles: the same page again, or no entries for too long, or no end at all.

        A repeated cookie alone proves nothing: some servers number the search, not the page.
        """
        self._empty = 0 if page.entries else self._empty + 1
        mark = (cookie, page.first)
        if (page.entries and mark in self._seen) or self._empty > MOST_EMPTY_PAGES or self.pages > MOST_PAGES:
            raise SourceIncomplete(
                "paging_loop",
                f"{self._line.url} never comes to an end: after {self.pages} pages and {self.entries} entries it repeats itself."
                " Nothing was changed.",
                "Check whether a proxy stands between, or name another server in `urls`.",
            )
        self._seen.add(mark)


class _Page:
    """What one page brought."""

    def __init__(self, take: Callable[[Entry], None], recognise: Callable[[bytes], bool] | None) -> None:
        self._take, self._recognise = take, recognise
        self.entries = 0
        self.first = ""

    def take(self, entry: Entry) -> None:
        """Count an entry and pass it on."""
        if not self.entries:
            self.first = entry.dn
        self.entries += 1
        self._take(entry)

    def recognise(self, octets: bytes) -> bool:
        """Count an entry that is recognised."""
        if self._recognise is None or not self._recognise(octets):
            return False
        if not self.entries:
            self.first = dn_of(octets)
        self.entries += 1
        return True
