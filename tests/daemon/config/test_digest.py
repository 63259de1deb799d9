"""What decides who is read has a digest for each key; what does not, has none (rule 9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

DECIDING = [
    ('filter = "(uid=*)"', {"filter"}),
    ('domains = ["example.com"]', {"domains"}),
    ('vendor = "generic"', {"vendor"}),
    ('[source.attributes]\nid = "nsUniqueId"', {"attributes.id"}),
    ('[source.attributes]\nemails = ["mail", "alias"]\nname = "cn"', {"attributes.emails", "attributes.name"}),
    ('[source.groups]\nbase = "ou=g,dc=x"\nnested = false', {"groups.base", "groups.nested"}),
    ('[source.disabled]\nwhen = ["a=b"]', {"disabled.when"}),
]
INDIFFERENT = [
    'page_size = 7\nread_timeout = "9s"',
    '[source.schedule]\nevery = "9m"',
    "[source.guard]\nmax_removed = 3",
    'ca_file = "ldap.password"',
]


@pytest.mark.parametrize(("added", "parts"), DECIDING)
def test_a_key_that_decides_who_is_read_changes_its_part(folder: Any, added: str, parts: set[str]) -> None:
    """Changing such a key changes its part and the digest, and no other part."""
    before, after = folder.load().sources[0], folder.load(added).sources[0]
    assert {name for name in before.parts if before.parts[name] != after.parts[name]} == parts
    assert before.digest != after.digest


@pytest.mark.parametrize("added", INDIFFERENT)
def test_a_key_that_decides_nothing_changes_nothing(folder: Any, added: str) -> None:
    """How often, how fast and through what the directory is read is no reason to read it again."""
    assert folder.load().sources[0].digest == folder.load(added).sources[0].digest


def test_neither_servers_nor_secrets_are_part_of_it(folder: Any, replaced: Callable[..., str]) -> None:
    """Another replica, another password and another bind account are the same directory."""
    before = folder.load().sources[0]
    folder.secret("ldap.password", "another")
    small = replaced("ldap.example.com", "ldap2.example.com").replace("cn=sync", "cn=other")
    assert folder.load(small=small).sources[0].digest == before.digest


def test_the_order_of_sources_is_part_of_it(folder: Any, replaced: Callable[..., str]) -> None:
    """A source put in front of another changes the other's rank: it decides who gets an address that both list."""
    first = '[[source]]\nname = "first"\nkind = "ldap"\nurls = ["ldaps://x"]\nbase = "dc=x"\n[[source]]'
    before, after = folder.load().sources[0], folder.load(small=replaced("[[source]]", first)).sources[1]
    assert (before.rank, after.rank) == (0, 1)
    assert {name for name in before.parts if before.parts[name] != after.parts[name]} == {"order"}


def test_one_base_is_one_base_however_it_is_written(folder: Any, replaced: Callable[..., str]) -> None:
    """`base` and a list of one are the same."""
    small = replaced('base = "ou=people,dc=example,dc=com"', 'bases = ["ou=people,dc=example,dc=com"]')
    assert folder.load(small=small).sources[0].digest == folder.load().sources[0].digest
