"""What docs/ldap.md tells a directory's administrator to do is done here to real servers; the tests that docs/directories.md names exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.directory import Person
from sync.errors import SourceIncomplete, SourceRefused
from sync.sources.ldap.probe import probe
from tests.servers.branch import Branch
from tests.servers.dirsrv import DirsrvTree
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import ask, corp, read
from tests.sync.sources.ldap.domain import corp_ad

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
    assert [step.remedy for step in probe(settings) if step.step == "departures"] == [""]
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


def test_the_acis_and_limits_of_the_page_are_enough(dirsrv: DirsrvTree) -> None:
    """With them a 389 Directory Server is read, `rosterd check` has nothing to say but what its limits are, and a leaver is proven gone."""
    account = ACCOUNT.replace("dc=example,dc=com", dirsrv.suffix)
    dirsrv.add(f"ou=services,{dirsrv.suffix}", objectClass="organizationalUnit")
    dirsrv.add(account, objectClass=["applicationProcess", "simpleSecurityObject"], userPassword=dirsrv.password)
    places = [dirsrv.add_person(uid) for uid in ("ada", "bob", "cyn")]
    dirsrv.modify(places[2], nsAccountLock="TRUE")
    settings = corp(dirsrv, bind_dn=account)
    dirsrv.set_acis()
    assert read(settings).persons == []
    acis = re.findall(r"^ {4}aci: (.*)$", PAGE, re.MULTILINE)
    dirsrv.set_acis(*(aci.replace("dc=example,dc=com", dirsrv.suffix) for aci in acis), dn=dirsrv.base)
    for name, value in re.findall(r"^ +(ns\w+Limit): (-1)$", PAGE, re.MULTILINE):
        dirsrv.modify(account, **{name: value})
    before = read(settings)
    assert (len(acis), before.usernames, before.proof.complete) == (2, {"ada", "bob", "cyn"}, True)
    assert (before.one("ada").emails[0].spelt, before.one("cyn").enabled) == ("ada@example.com", False)
    told = [step for step in probe(settings) if not step.ok or (step.remedy and not step.step.startswith("tls"))]
    assert [step.step for step in told] == ["limits"], told
    dirsrv.delete(places[1])
    assert [finding.verdict for finding in ask(settings, before.one("bob")).values()] == ["departed"]


def test_the_table_of_directories_names_tests_that_exist() -> None:
    """Every cell that names a test names one, and only one file, that is there."""
    page = (Path(__file__).parent.parent / "docs/directories.md").read_text()
    files = {name: (Path(__file__).parent.parent / path).read_text() for name, path in re.findall(r"`([\w-]+)` = (tests/[\w/]+\.py)", page)}
    cells = re.findall(r"`([\w-]+)` (\w+)(?= *\|)", page)
    assert len(cells) > 40
    for file, words in cells:
        assert re.search(rf"^def test_\w*{words}\w*\(", files[file], re.MULTILINE), (file, words)


def test_the_tables_of_faults_name_tests_that_exist() -> None:
    """Every test that the last column of either table in docs/faults.md names is there, and every row names one."""
    root = Path(__file__).parent.parent
    page = (root / "docs/faults.md").read_text()
    files = {name: (root / path).read_text() for name, path in re.findall(r"`([\w-]+)` = (tests/[\w/]+\.py)", page)}
    columns = [line.rpartition(" | ")[2] for line in page.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    rows = [re.findall(r"`([\w-]+)` ((?:\w+(?:, )?)+)", column) for column in columns]
    assert len(rows) > 40 and all(rows)
    named = [(file, word) for row in rows for file, words in row for word in words.strip(", ").split(", ")]
    assert [(file, word) for file, word in named if not re.search(rf"^(def test_\w*{word}|class {word}|{word} = )", files[file], re.MULTILINE)] == []


def test_every_fault_of_the_daemon_is_in_its_table() -> None:
    """Each test of tests/daemon/faults stands behind a row of the second table."""
    root = Path(__file__).parent.parent
    page = (root / "docs/faults.md").read_text()
    for path in (root / "tests/daemon/faults").glob("test_*.py"):
        (name,) = re.findall(rf"`(\w+)` = {path.relative_to(root)}", page)
        words = ", ".join(re.findall(rf"`{name}` ((?:\w+(?:, )?)+)", page)).replace(", ,", ",").split(", ")
        tests = re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
        assert [test for test in tests if not any(word and word in test for word in words)] == [], path.name


SECTION = PAGE.partition("## Active Directory")[2].partition("\n## ")[0]


def test_the_property_sets_of_the_page_are_enough(branch: Branch) -> None:
    """An account that may read no more of the people than everybody may, and those two sets, reads them whole."""
    before = _domain_people(branch)
    branch.samba.deny(branch.base, branch.samba.reader, "read")
    assert read(corp_ad(branch)).persons == []
    sets = re.findall(r'/I:S /G "CORP\\rosterd:RP;(.*);user"', SECTION)
    assert len(sets) == 2
    for name in sets:
        branch.samba.grant_set(branch.base, branch.samba.reader, name)
    assert _by_name(read(corp_ad(branch)).persons) == before


def test_each_property_set_of_the_page_is_needed(branch: Branch) -> None:
    """With one of the two missing, somebody is not read as they are."""
    before = _domain_people(branch)
    sets = re.findall(r"RP;(.*);user", SECTION)
    for missing in sets:
        branch.samba.deny(branch.base, branch.samba.reader, "read")
        for name in sets:
            if name != missing:
                branch.samba.grant_set(branch.base, branch.samba.reader, name)
        assert _by_name(read(corp_ad(branch)).persons) != before, missing


def test_check_prints_the_commands_of_the_page(branch: Branch) -> None:
    """The two commands that show the deleted objects are the same on the page and in check's remedy."""
    ((path, owner), (_, grant)) = re.findall(r'dsacls "(CN=Deleted Objects,.*)" (/.*)', SECTION)
    _domain_people(branch)
    (remedy,) = [found.remedy for found in probe(corp_ad(branch)) if found.step == "departures"]
    assert path.lower() == branch.samba.graveyard.lower()
    assert f'dsacls "{branch.samba.graveyard}" {owner}' in remedy
    assert f'dsacls "{branch.samba.graveyard}" {grant.replace("CORP", "DOMAIN").replace("rosterd", "ACCOUNT")}' in remedy


def _domain_people(branch: Branch) -> dict[str, Person]:
    """Make two people who use everything that is read, and return them as an ordinary account sees them."""
    ann = branch.add_person("ann", proxyAddresses=["SMTP:ann@example.com", "smtp:a@example.com"], accountExpires="135379296000000000")
    branch.add_person("bob", userAccountControl=546)
    branch.add_group("crew", [ann])
    return _by_name(read(corp_ad(branch)).persons)


def _by_name(persons: list[Person]) -> dict[str, Person]:
    return {person.username: person for person in persons}
