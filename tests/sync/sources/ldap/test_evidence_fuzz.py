"""Whatever an access rule hides: nobody who stands in the base and matches the filter has ever departed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from sync.directory import Person
from sync.errors import SourceError
from tests.servers.slapd import Slapd
from tests.servers.slapd_texts import SUFFIX
from tests.sync.sources.ldap.corp import ask, corp, read

_CHILD = f"ou=child,ou=people,{SUFFIX}"
_WHAT = st.sampled_from(
    [
        "*",
        'dn.exact="uid=u000001,ou=people,dc=example,dc=com"',
        f'dn.subtree="{_CHILD}"',
        f'dn.children="{_CHILD}"',
        f'dn.exact="{_CHILD}"',
        'dn.one="ou=people,dc=example,dc=com"',
        'dn.subtree="ou=people,dc=example,dc=com"',
        'dn.exact="ou=people,dc=example,dc=com"',
        'dn.exact="dc=example,dc=com"',
        'dn.regex="^uid=u00000[135],"',
        "filter=(employeeType=staff)",
        "filter=(!(uid=u000002))",
    ]
)
_ATTRS = st.sampled_from(
    ["", "entry", "children", "entryUUID", "objectClass", "employeeType", "entry,entryUUID", "uid,objectClass", "employeeType val=staff"]
)
_LEVELS = st.sampled_from(["none", "disclose", "auth", "compare", "search", "read", "=d", "=s", "=r", "=rd", "=sd", "=cs", "=xs", "=0"])
_WHO = st.sampled_from(["*", "users", f'dn.exact="cn=sync,{SUFFIX}"', f'dn.exact="cn=limited,{SUFFIX}"'])
_FILTERS = st.sampled_from(
    [
        "(objectClass=inetOrgPerson)",
        "(employeeType=staff)",
        "(employeeType=st*)",
        "(employeeType=*)",
        "(employeeType>=a)",
        "(!(employeeType=left))",
        "(&(objectClass=inetOrgPerson)(!(employeeType=left)))",
        "(|(employeeType=staff)(uid=*))",
        "(&(uid=u*)(|(employeeType=staff)(employeeType=guest)))",
    ]
)


@st.composite
def _rules(draw: st.DrawFn) -> list[str]:
    rules = []
    for _ in range(draw(st.integers(1, 4))):
        what, attributes = draw(_WHAT), draw(_ATTRS)
        targets = f"{what} attrs={attributes}" if attributes else what
        who = draw(st.lists(st.tuples(_WHO, _LEVELS), min_size=1, max_size=2))
        rules.append(f"to {targets} " + " ".join(f"by {one} {level}" for one, level in who))
    return [*rules, *draw(st.sampled_from([["to * by users read"], ["to * by * none"], []]))]


@dataclass(frozen=True)
class _Town:
    server: Slapd
    here: list[Person]
    gone: list[Person]


@pytest.fixture
def town(slapd: Slapd) -> _Town:
    """Return a directory with people who are there, in two places, and people who were deleted."""
    slapd.add(_CHILD, objectClass="organizationalUnit")
    slapd.add_people(6)
    slapd.add_people(4, first=11, parent=_CHILD)
    for person in read(corp(slapd)).persons:
        slapd.modify(person.place, employeeType="staff")
    people = sorted(read(corp(slapd)).persons, key=lambda person: person.username)
    gone = [people[5], people[9]]
    slapd.delete(*(person.place for person in gone))
    return _Town(slapd, [person for person in people if person not in gone], gone)


@effort(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=_rules(), filter_text=_FILTERS)
def test_no_access_rule_makes_anybody_depart(town: _Town, rules: list[str], filter_text: str) -> None:
    """Random access rules, random filters: whoever is there is at worst unproven, and asking never fails."""
    town.server.set_acl(*rules)
    findings = ask(corp(town.server, filter=filter_text), *town.here, *town.gone)
    assert [findings[person.external_id] for person in town.here if findings[person.external_id].verdict == "departed"] == []


@effort(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=_rules(), filter_text=_FILTERS)
def test_no_access_rule_turns_a_full_read_and_its_evidence_into_a_loss(town: _Town, rules: list[str], filter_text: str) -> None:
    """Read under random access rules, ask about everybody missing: of those who are there nobody departs."""
    town.server.set_acl(*rules)
    settings = corp(town.server, filter=filter_text)
    try:
        seen = read(settings)
    except SourceError:
        return
    missing = [person for person in town.here if person.external_id not in {one.external_id for one in seen.persons}]
    if seen.proof.complete and missing:
        assert {finding.verdict for finding in ask(settings, *missing).values()} == {"unproven"}
