"""What docs/ldap.md tells the directory's administrator to do is done here to a real slapd, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.errors import SourceIncomplete, SourceRefused
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import ask, corp, read

PAGE = (Path(__file__).parent.parent / "docs/ldap.md").read_text()
ACCOUNT = "cn=rosterd,ou=services,dc=example,dc=com"


@pytest.fixture
def server(make_slapd: Callable[[], Slapd]) -> Slapd:
    """A server with three people and the account that the page speaks of, which by itself may see nothing."""
    slapd = make_slapd()
    slapd.add("ou=services,dc=example,dc=com", objectClass="organizationalUnit")
    slapd.add(ACCOUNT, objectClass=["applicationProcess", "simpleSecurityObject"], userPassword=slapd.password)
    for uid in ("ada", "bob", "cyn"):
        slapd.add_person(uid)
    slapd.set_limits('dn.exact="cn=nobody,dc=example,dc=com" size=unlimited')
    slapd.set_acl("to * by * none")
    return slapd


def rule(word: str) -> str:
    """Return the value that the page gives for an attribute of cn=config, its lines joined."""
    found = re.search(rf"^ +{word}: (.*(?:\n {{6,}}by .*)*)", PAGE, re.MULTILINE)
    assert found
    return " ".join(found[1].split())


def test_the_access_rule_of_the_page_is_enough(server: Slapd) -> None:
    """With that one rule in front, everybody is read with their address, and somebody deleted is proven gone."""
    settings = corp(server, bind_dn=ACCOUNT)
    with pytest.raises(SourceRefused):
        read(settings)
    server.set_acl(rule("olcAccess"), "to * by * none")
    before = read(settings)
    assert before.proof.complete and before.usernames == {"ada", "bob", "cyn"}
    assert before.one("ada").emails[0].spelt == "ada@example.com"
    server.delete(before.one("bob").place)
    assert [finding.verdict for finding in ask(settings, before.one("bob")).values()] == ["departed"]


def test_the_limits_line_of_the_page_is_enough(server: Slapd) -> None:
    """Without it a big directory cannot be read, with it it is read to the end."""
    settings = corp(server, bind_dn=ACCOUNT)
    server.set_acl(rule("olcAccess"), "to * by * none")
    server.add_people(600)
    with pytest.raises(SourceIncomplete, match="500"):
        read(settings)
    server.set_limits(rule("olcLimits"))
    assert read(settings).proof.entries == 603
