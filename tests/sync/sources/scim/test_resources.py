"""From a resource to a person: what is read, and what becomes of values that are bad."""

from __future__ import annotations

from typing import Any

import pytest

from sync.directory import Listed
from tests.servers.provider import Provider
from tests.sync.sources.scim.company import read


def test_a_whole_person(provider: Provider) -> None:
    """Id, user name, name, addresses and state are read; what nobody needs is not looked at."""
    provider.add("ada", "Ada@Example.com", "a.l@example.com", name={"formatted": "Countess Lovelace"}, title=7, photos="?")
    person = read(provider.url).one("ada")
    assert (person.external_id, person.name, person.enabled, person.place, person.dropped) == ("id-ada", "Ada", True, "", ())
    assert person.emails == (Listed("Ada@Example.com", "ada@example.com", True), Listed("a.l@example.com", "a.l@example.com"))


def test_names_of_attributes_compare_without_case(provider: Provider) -> None:
    """RFC 7643 section 2.1: a provider may write USERNAME, and `Active: false` disables."""
    provider.users["x"] = {"ID": "x", "USERNAME": "ada", "Active": False, "EMails": [{"VALUE": "a@example.com", "Primary": "TRUE"}]}
    person = read(provider.url).one("ada")
    assert (person.external_id, person.enabled, person.emails[0].marked) == ("x", False, True)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"displayName": None, "name": {"formatted": "F", "givenName": "G"}}, "F"),
        ({"displayName": " ", "name": {"givenName": "G", "familyName": "H"}}, "G H"),
        ({"displayName": ["x"], "name": "text"}, ""),
        ({"displayName": None, "name": {"familyName": "H"}}, "H"),
        ({"displayName": "x" * 2000, "name": {"formatted": "F"}}, "F"),
    ],
)
def test_names_of_people(provider: Provider, facts: dict[str, Any], name: str) -> None:
    """The display name, else the formatted one, else its parts; a bad one is not taken."""
    provider.add("ada", **facts)
    assert read(provider.url).one("ada").name == name


ADDRESSES: list[tuple[Any, list[str], int]] = [
    ([{"value": "a@example.com"}, {"value": "nonsense"}, {"value": 7}, {"type": "work"}, 5, None], ["a@example.com"], 3),
    ("a@example.com", ["a@example.com"], 0),
    ({"value": "a@example.com"}, ["a@example.com"], 0),
    (["a@example.com", "b@example.com"], ["a@example.com", "b@example.com"], 0),
    ([{"value": "a@example.com"}, {"value": "A@EXAMPLE.com"}], ["a@example.com"], 0),
    ([{"value": "bob@corp.local"}, {"value": " b@example.com "}], ["bob@corp.local", "b@example.com"], 0),
    ([{"value": "x\0y@example.com"}, {"value": "z" * 2000}], [], 2),
    ([{"value": f"a{number}@example.com"} for number in range(70)], [f"a{number}@example.com" for number in range(64)], 6),
    ([{"value": "h@example.com", "type": "home"}, {"value": "w@example.com", "type": "Work"}], ["w@example.com", "h@example.com"], 0),
    (7, [], 1),
]


@pytest.mark.parametrize(("emails", "taken", "dropped"), ADDRESSES)
def test_addresses_bad_and_good(provider: Provider, emails: Any, taken: list[str], dropped: int) -> None:
    """Every address that is one is taken, once, the best first; every other value is left out and named; the person stays."""
    provider.add("ada", emails=emails)
    person = read(provider.url).one("ada")
    assert [email.spelt for email in person.emails] == taken
    assert [one.attribute for one in person.dropped] == ["emails"] * dropped


def test_only_addresses_of_the_domains(provider: Provider) -> None:
    """With `domains`, other addresses are left out and named, whoever marked them primary."""
    provider.add("ada", "ceo@victim.example", "ada@BÜCHER.example")
    person = read(provider.url, domains=("bücher.example",)).one("ada")
    assert [email.spelt for email in person.emails] == ["ada@BÜCHER.example"]
    assert [one.value for one in person.dropped] == ["ceo@victim.example"]


def test_the_user_name_is_never_an_address(provider: Provider) -> None:
    """Whoever has an address for a user name, and no other, has no address."""
    provider.add("ada@example.com", emails=[])
    assert read(provider.url).one("ada@example.com").emails == ()


@pytest.mark.parametrize("usable", [42, "0", "x" * 1024, "a b", "ünï"])
def test_ids_that_can_be_used(provider: Provider, usable: Any) -> None:
    """Texts and whole numbers are ids, as they are."""
    provider.users.update({"x": {"id": usable, "userName": "ada"}})
    assert read(provider.url).one("ada").external_id == str(usable)


@pytest.mark.parametrize("unusable", ["", ".", "..", "...", " a", "a\n", "a\0", "x" * 1025, True, 1.5, None, [], {}])
def test_ids_that_cannot(provider: Provider, unusable: Any) -> None:
    """What is empty, too long, or no name of one thing is no id; the resource is left out, named by where it stood."""
    provider.users.update({"x": {"id": unusable, "userName": "ada"}})
    provider.add("bob")
    people = read(provider.url)
    assert people.usernames == ["bob"]
    assert [(one.place, one.external_id) for one in people.refused] == [("page 1, resource 1", "")]


def test_many_null_resources_are_one(provider: Provider) -> None:
    """A provider that lists nothing in between is read to its end."""
    provider.people(150)
    provider.users |= {f"null{number}": None for number in range(60)}
    people = read(provider.url)
    assert len(people.usernames) == 150
    assert [one.why for one in people.refused] == ["is no JSON object"]
    assert people.proof.complete


def test_two_users_with_one_id(provider: Provider) -> None:
    """The first keeps the id, the second is refused and named; the same one shown twice is no second one."""
    for number, name in enumerate(("ada", "bob", "ada")):
        provider.users[str(number)] = {"id": "x", "userName": name}
    people = read(provider.url)
    assert people.usernames == ["ada"]
    assert [(one.external_id, one.why) for one in people.refused] == [("x", "shares its id with a user who was read before it")]
