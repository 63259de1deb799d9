"""A [[source]] of the kind scim, from its table to its settings."""

from __future__ import annotations

from typing import Any

import pytest

from sync.settings import ClientCredentials, Secret

TABLE = """
[[source]]
name = "partner"
kind = "scim"
url = "https://scim.example.com/scim/v2"
"""
POLICY = "[[keys.issue]]\nname = 'default'\nsources = ['corp', 'partner']\n"


def test_a_whole_table(folder: Any) -> None:
    """Every key arrives, secrets from their files, and the defaults are those of the example."""
    folder.secret("scim.secret", "s3cret\n")
    more = "filter = 'title eq \"(\"'\ndomains = ['example.com']\npage_size = 50\n[source.schedule]\nevery = '1h'\n[source.guard]\nmax_removed = 3\n"
    oauth2 = "[source.oauth2]\ntoken_url = 'https://login.example.com/token'\nclient_id = 'rosterd'\nclient_secret_file = 'scim.secret'\n"
    _, partner = folder.load(POLICY + TABLE + more + oauth2).sources
    assert (partner.kind, partner.urls, partner.filter, partner.page_size) == ("scim", ("https://scim.example.com/scim/v2",), 'title eq "("', 50)
    assert (partner.schedule.every, partner.guard.max_removed, partner.domains, partner.rank) == (3600, 3, ("example.com",), 1)
    assert partner.oauth2 == ClientCredentials("https://login.example.com/token", "rosterd", Secret("s3cret"))
    plain = folder.load(POLICY + TABLE + "token_file = 'scim.secret'").sources[1]
    assert (plain.token, plain.oauth2, plain.password, plain.page_size) == (Secret("s3cret"), None, None, 100)


MISTAKES = [
    ("", "urls = ['https://x']", "urls: is not a key of this table; did you mean url?"),
    ("http://scim.example.com/", "", "url: http://scim.example.com/ would send the credential and all people in the clear; use https://, or set …"),
    ("https://me:hunter2@scim.example.com/", "", "url: scim.example.com/ says more than where; user name and token have keys of their own"),
    ("https://scim.example.com/?tenant=x", "", "url: https://scim.example.com/?tenant=x says more than where; …"),
    ("scim.example.com", "", 'url: scim.example.com is no URL like "https://scim.example.com/scim/v2"'),
    ("https://scim.example.com:port/", "", "url: https://scim.example.com:port/ is no URL"),
    ("https://x", "username = 'rosterd'", "password_file: is missing; username needs it"),
    ("https://x", "password_file = 'ldap.password'", "username: is missing; password_file needs it"),
    (
        "https://x",
        "token_file = 'ldap.password'\nusername = 'x'\npassword_file = 'ldap.password'",
        "token_file: stands beside username; one of them says who reads",
    ),
    ("https://x", "token_file = 'nowhere'", "token_file: {folder}/nowhere does not exist"),
    ("https://x", "[source.oauth2]\ntoken_url = 'https://x'\nclient_secret_file = 'ldap.password'", "oauth2.client_id: is missing"),
    (
        "https://x",
        "[source.oauth2]\ntoken_url = 'http://x'\nclient_id = 'x'\nclient_secret_file = 'ldap.password'",
        "oauth2.token_url: http://x would send the credential and all people in the clear; …",
    ),
    ("https://x", "filter = 'title eq \"x'", "filter: leaves a quotation mark open"),
    ("https://x", "filter = '(title pr'", "filter: leaves a parenthesis open"),
    ("https://x", "filter = '(objectClass=person)'", 'filter: holds no comparison like userType eq "Employee"'),
]


@pytest.mark.parametrize(("url", "more", "said"), MISTAKES, ids=[said[:50] for _, _, said in MISTAKES])
def test_a_mistake_is_named(folder: Any, url: str, more: str, said: str) -> None:
    """One mistake gives one line that names the key and the remedy, and no secret."""
    (problem,) = folder.problems(POLICY + TABLE.replace("https://scim.example.com/scim/v2", url or "https://x") + more)
    expected = f"[[source]] partner: {said}".replace("{folder}", str(folder.path))
    assert problem.startswith(expected.rstrip("…")) and (expected.endswith("…") or problem == expected)
    assert "hunter2" not in problem


def test_the_url_is_missing(folder: Any) -> None:
    """A table without the one key that it needs says so."""
    assert folder.problems(POLICY + "[[source]]\nname = 'partner'\nkind = 'scim'") == ["[[source]] partner: url: is missing"]


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ("domains = ['example.com']", {"domains"}),
        ("filter = 'title pr'", {"filter"}),
        ("page_size = 7", set()),
        ("token_file = 'ldap.password'", set()),
        ("read_timeout = '7s'", set()),
    ],
)
def test_what_decides_who_is_read(folder: Any, more: str, parts: set[str]) -> None:
    """URL, filter and domains are part of the state (rule 9); how the provider is asked is not."""
    before, after = (folder.load(POLICY + TABLE + text).sources[1] for text in ("", more))
    assert {key for key in before.parts if before.parts[key] != after.parts[key]} == parts
    assert (before.digest != after.digest) == bool(parts)
    moved = folder.load(POLICY + TABLE.replace("scim.example", "other.example")).sources[1]
    assert {key for key in before.parts if before.parts[key] != moved.parts[key]} == {"url"}


def test_groups_of_scim_are_no_dns(folder: Any) -> None:
    """A policy for a SCIM source names groups as the provider does."""
    assert folder.load(TABLE + "[[keys.issue]]\nname = 'ai'\nsources = ['partner']\ngroups = ['AI users']").policies[0].groups == ("AI users",)
