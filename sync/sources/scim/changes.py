"""What has changed since a moment, by meta.lastModified: only of a provider that has shown that it means what it says.

Who is deleted appears in no such list, and some providers do not touch the moment when they should: full reads stay the authority.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

from sync.errors import CursorLost, SourceIncomplete, SourceRefused
from sync.sources.scim.answers import Malformed, lowered, read_listing, read_object, value_of
from sync.sources.scim.discovery import Features
from sync.sources.scim.line import Line
from sync.sources.scim.mapping import id_of
from sync.sources.scim.paging import Walk

OVERLAP = timedelta(minutes=10)
"""How far a read reaches back behind the newest change seen: a provider is several machines, and their clocks differ."""
BLIND_OVERLAP = timedelta(hours=3)
"""The same for a provider that does not tell its time, so that only this machine's clock is there to go by."""
HOW = "meta.lastModified; who is deleted is noticed by full reads only"


class Position(msgspec.Struct, frozen=True):
    """From where on changes are asked for: the provider, the moment (RFC 3339, UTC), and how many people it counted then."""

    url: str
    since: str
    total: int


class Follower:
    """Asks one provider what has changed. `filter_text` = the source's own filter, "" for none."""

    def __init__(self, line: Line, filter_text: str, page_size: int, features: Features) -> None:
        self._line, self._filter, self._page_size, self._features = line, filter_text, page_size, features

    def take_position(self, shown: int, began: str) -> tuple[str, str]:
        """Return (the cursor after a full read that began at `began` and showed so many people, ""), or ("", why there is none).

        `began` = the provider's `Date` before the read, "" if it tells none. Raises SourceUnavailable.
        """
        if self._features.filters is False:
            return "", "no incremental read: the provider has no filters"
        try:
            for moment, operator, expected in (("2999-01-01T00:00:00Z", "gt", 0), ("1970-01-01T00:00:00Z", "ge", shown)):
                count = self._count(f'meta.lastModified {operator} "{moment}"')
                if count != expected:
                    return "", f"no incremental read: asked for changes after {moment[:4]} the provider counts {count} people, not {expected}"
        except (SourceRefused, SourceIncomplete):
            return "", "no incremental read: the provider does not take a filter by meta.lastModified"
        return _encoded(Position(self._line.url, _stamp(_start(began)), shown)), ""

    def changes(self, cursor: str) -> tuple[frozenset[str], str]:
        """Return (ids that came or changed since then, the next cursor). Raises CursorLost, SourceError."""
        try:
            since = msgspec.json.decode(cursor, type=Position)
        except (msgspec.DecodeError, ValueError):
            raise CursorLost("cursor_lost", "the cursor is of another version") from None
        if since.url != self._line.url:
            raise CursorLost("cursor_lost", "another provider answers now")
        ids, newest = self._changed_since(since.since)
        total = self._count("")
        if total is None or total < since.total:
            raise CursorLost("cursor_lost", f"the provider counts {total} people, before {since.total}: somebody is gone")
        return frozenset(ids), _encoded(Position(since.url, max(since.since, newest), total))

    def _changed_since(self, moment: str) -> tuple[set[str], str]:
        ids, newest = set[str](), ""

        def take(resources: list[msgspec.Raw]) -> tuple[int, int]:
            nonlocal newest
            before = len(ids)
            for raw in resources:
                one, stamp = _changed(raw)
                ids.add(one)
                newest = max(newest, stamp)
            return len(resources), len(ids) - before

        try:
            for _ in Walk(self._line, "Users", self._page_size, self._features, self._both(f'meta.lastModified ge "{moment}"')).pages_of(take):
                pass
        except (SourceRefused, SourceIncomplete) as error:
            raise CursorLost("cursor_lost", f"the provider cannot be asked for changes: {error.message}") from error
        return ids, newest

    def _both(self, filter_text: str) -> dict[str, str]:
        both = " and ".join(one for one in (f"({self._filter})" if self._filter and filter_text else self._filter, filter_text) if one)
        return {"filter": both} if both else {}

    def _count(self, filter_text: str) -> int | None:
        """Return how many people match, None if the provider does not say. Raises SourceError."""
        answer = self._line.ask("Users", {**self._both(filter_text), "startIndex": "1", "count": "1"})
        if answer.status != 200:
            raise SourceRefused("bad_filter", f"{answer.url} answered {answer.status}.", "")
        listing = read_listing(answer.body, answer.url)
        return None if listing.total is None or (listing.resources and not listing.total) else listing.total


def _changed(raw: msgspec.Raw) -> tuple[str, str]:
    """Return (id, moment before its last change that the next read reaches back to). Raises CursorLost for what cannot be read."""
    try:
        told = read_object(raw)
        external_id, stamp = id_of(told), lowered(value_of(told.get("meta"))).get("lastmodified")
        if external_id is None or not isinstance(stamp, str):
            raise Malformed("shows a change without id or moment")
        return external_id, _stamp(datetime.fromisoformat(stamp).astimezone(UTC) - OVERLAP)
    except (Malformed, ValueError, OverflowError) as error:
        raise CursorLost("cursor_lost", f"the provider {error}") from None


def _start(date: str) -> datetime:
    try:
        return parsedate_to_datetime(date).astimezone(UTC) - OVERLAP
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(time.time(), UTC) - BLIND_OVERLAP


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _encoded(position: Position) -> str:
    return msgspec.json.encode(position).decode()
