"""What a provider says about itself is taken word by word: a wrong one costs that word, never the read."""

from __future__ import annotations

from typing import Any

import pytest

from sync.sources.scim.discovery import features_of
from tests.servers.provider import Provider, error
from tests.sync.sources.scim.company import read

WORDS: list[tuple[Any, tuple[bool, bool | None, int | None]]] = [
    ({}, (False, None, None)),
    ({"filter": {"supported": True, "maxResults": 200}}, (False, True, 200)),
    ({"filter": {"supported": "False", "maxResults": 0}}, (False, False, None)),
    ({"filter": {"supported": 7, "maxResults": "many"}}, (False, None, None)),
    ({"filter": None, "pagination": []}, (False, None, None)),
    ({"filter": "yes", "pagination": {"cursor": True, "index": False, "maxPageSize": 30}}, (True, None, 30)),
    ({"pagination": {"Cursor": "true", "INDEX": "false", "maxPageSize": -3}}, (True, None, None)),
    ({"pagination": {"cursor": True, "index": True}}, (False, None, None)),
    ({"pagination": {"defaultPaginationMethod": "cursor"}}, (True, None, None)),
    ({"pagination": {"cursor": None, "index": None, "maxPageSize": True}, "filter": {"maxResults": 500}}, (False, None, 500)),
]


@pytest.mark.parametrize(("told", "expected"), WORDS)
def test_each_word_by_itself(told: dict[str, Any], expected: tuple[bool, bool | None, int | None]) -> None:
    """Missing, null, of another type or nonsense: the word is as if it were not said, and the others count."""
    features = features_of(told)
    assert (features.by_cursor, features.filters, features.largest_page) == expected


@pytest.mark.parametrize(
    "reply",
    [error(404, "none"), error(403, "no"), error(500, "no"), error(501, "no"), (302, {"location": "/login"}, b""),
     (200, {}, b"<html>"), (200, {}, b"[]"), (200, {}, b'{"filter": {"maxResults": 1e999}}'), (200, {}, b'{"filter": [[[')],
    ids=lambda reply: f"{reply[0]} {reply[2][:12]!r}",
)  # fmt: skip
def test_a_provider_without_a_description_is_read(provider: Provider, reply: tuple[int, dict[str, str], bytes]) -> None:
    """Whatever stands in the place of ServiceProviderConfig, the users are read."""
    provider.people(150)
    provider.always["ServiceProviderConfig"] = reply
    assert len(read(provider.url).usernames) == 150
