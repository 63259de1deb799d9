"""Whatever a provider answers, reading ends with people or with one of our errors: never with a bug, never with somebody made up."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.directory import Person, Refused
from sync.errors import SourceError
from sync.sources.scim.answers import detail_of, read_listing
from sync.sources.scim.discovery import features_of
from sync.sources.scim.mapping import Mapper
from tests.servers.provider import Provider, found
from tests.sync.sources.scim.company import ask_about, read, settings_of

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8)
NAMES = st.sampled_from(["id", "ID", "userName", "displayName", "name", "active", "Active", "emails", "groups", "meta", "schemas", "x"])
INNER = st.dictionaries(st.sampled_from(["value", "primary", "type", "display", "formatted", "resourceType"]), VALUES, max_size=4)
RESOURCES = st.dictionaries(NAMES, VALUES | INNER | st.lists(INNER | VALUES, max_size=4), max_size=8)
ENVELOPES = st.dictionaries(
    st.sampled_from(["Resources", "resources", "totalResults", "nextCursor", "schemas", "detail", "scimType"]),
    VALUES | st.lists(RESOURCES, max_size=3),
    max_size=5,
)
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(RESOURCES)
def test_any_resource_is_a_person_or_refused(resource: dict[str, Any]) -> None:
    """A resource becomes a person with the id it has, or is refused; what a person is made of can be stored."""
    one = Mapper(settings_of("https://x.example"), lambda external_id, said: said).person(msgspec.Raw(json.dumps(resource).encode()), "here")
    assert isinstance(one, Person | Refused)
    if isinstance(one, Person):
        assert one.external_id == str(resource.get("id", resource.get("ID")))
        assert not any("\0" in text for text in (one.external_id, one.username, one.name, *one.groups, *(email.spelt for email in one.emails)))
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Person) == one


@MANY
@given(st.one_of(ENVELOPES.map(lambda told: json.dumps(told).encode()), st.binary(max_size=60), VALUES.map(lambda told: json.dumps(told).encode())))
def test_any_answer_is_a_list_or_an_error(body: bytes) -> None:
    """An answer is a list of resources, or refused; what it says of an error is short and on one line."""
    with suppress(SourceError):
        read_listing(body, "https://x.example")
    assert len(detail_of(body)) <= 301 and "\n" not in detail_of(body)


@MANY
@given(st.dictionaries(st.sampled_from(["pagination", "filter"]), VALUES | INNER, max_size=2))
def test_any_description_is_understood(told: dict[str, Any]) -> None:
    """Whatever stands in a ServiceProviderConfig, each word is true, false, a sensible number, or nothing."""
    features = features_of(told)
    assert features.largest_page is None or features.largest_page >= 10


def test_broken_answers_at_any_place(provider: Provider) -> None:
    """Octets of a good answer changed, cut or doubled at random: the read ends with an error of ours, or with nobody who is not there."""
    chance = random.Random(7)
    for number in range(8):
        provider.add(f"p{number}", f"p{number}@example.com", groups=[{"value": "g"}])
    good = found({"schemas": ["x"], "totalResults": 8, "Resources": list(provider.users.values())})[2]
    ended = {"read": 0, "failed": 0}
    for _ in range(150):
        at, what = chance.randrange(len(good)), chance.choice(["change", "cut", "double"])
        changed = bytes([chance.randrange(256)]) if what == "change" else b"" if what == "cut" else good[at : at + 40]
        provider.answers.clear()
        provider.answers.append((200, {}, good[:at] + changed + good[at + 1 :]))
        try:
            people = read(provider.url)
        except SourceError:
            ended["failed"] += 1
        else:
            ended["read"] += 1
            assert len(people.persons) + len(people.refused) >= 8
    assert min(ended.values()) > 10, ended


def test_broken_evidence_takes_nobody_away(provider: Provider) -> None:
    """Whatever stands in an answer about one id, only a status of 404 is a departure."""
    chance = random.Random(11)
    provider.people(1)
    good = json.dumps({"id": "id-ada", "userName": "ada", "active": True}).encode()
    for status in (200, 400, 410, 501):
        for _ in range(30):
            at = chance.randrange(len(good))
            provider.always["Users/id-ada"] = (status, {}, good[:at] + bytes([chance.randrange(256)]) + good[at + 1 :])
            assert ask_about(provider.url, "id-ada")["id-ada"].verdict == "unproven"
