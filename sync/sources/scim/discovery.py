"""What a provider says it can do (RFC 7643 section 5, RFC 9865 section 4): each word taken by itself, none believed too far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sync.errors import SourceError
from sync.sources.scim.answers import Malformed, lowered, read_object, value_of
from sync.sources.scim.line import OF_ONE_ANSWER, Line

SENSIBLE_PAGE = 10
"""A smaller largest page is taken for a mistake: providers announce 0 and 1 and mean nothing by it."""


@dataclass(frozen=True, slots=True)
class Features:
    """`cursor`, `index` = the ways of paging, None where it does not say; `largest_page` likewise. `told` = in words, for `rosterd check`."""

    cursor: bool | None = None
    index: bool | None = None
    filters: bool | None = None
    largest_page: int | None = None
    told: str = "it does not describe itself: pages by index are tried"

    @property
    def by_cursor(self) -> bool:
        """Whether pages are asked for by cursor from the beginning."""
        return self.cursor is True and self.index is not True


def discover(line: Line) -> Features:
    """Ask for /ServiceProviderConfig. A provider that has none, or a wrong one, is read all the same; an unreachable one raises SourceError."""
    try:
        answer = line.ask("ServiceProviderConfig")
    except SourceError as error:
        if error.code in OF_ONE_ANSWER:
            return Features()
        raise
    if answer.status != 200:
        return Features()
    try:
        told = read_object(answer.body)
    except Malformed:
        return Features(told="what it says about itself cannot be read: pages by index are tried")
    return features_of({name: _value(raw) for name, raw in told.items() if name in ("pagination", "filter")})


def features_of(told: dict[str, Any]) -> Features:
    """Return what a decoded ServiceProviderConfig says; a word that cannot be read is as if it were not said."""
    paging, filters = lowered(told.get("pagination")), lowered(told.get("filter"))
    cursor, index, filtering = (_flag(one) for one in (paging.get("cursor"), paging.get("index"), filters.get("supported")))
    if paging.get("defaultpaginationmethod") == "cursor" and cursor is None:
        cursor = True
    largest = _page(paging.get("maxpagesize")) or _page(filters.get("maxresults"))
    words = [
        f"pages by {'cursor' if cursor is True and index is not True else 'index'}",
        f"at most {largest} at once" if largest else "",
        {True: "filters", False: "no filters", None: ""}[filtering],
    ]
    return Features(cursor, index, filtering, largest, ", ".join(word for word in words if word))


def _value(raw: Any) -> Any:
    try:
        return value_of(raw)
    except Malformed:
        return None


def _flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _page(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= SENSIBLE_PAGE else None
