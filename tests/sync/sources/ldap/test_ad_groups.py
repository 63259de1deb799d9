"""Groups of Active Directory: named by the person, by the primary group's number, and through groups in groups."""

from __future__ import annotations

import pytest

from sync.directory import Person
from sync.errors import SourceIncomplete
from sync.settings import GroupSearch
from sync.sources import normalise_group, open_source
from sync.sources.ldap import groups
from sync.sources.ldap.ber import Entry
from tests.servers.branch import Branch
from tests.sync.sources.ldap.corp import Read, read
from tests.sync.sources.ldap.domain import corp_ad


def _read(branch: Branch, *issuing: str, search: GroupSearch | None = None) -> Read:
    """Read everybody, after checking that asking for each of them alone says the same."""
    settings = corp_ad(branch, groups=search or GroupSearch())
    names = sorted(normalise_group("ldap", group) for group in issuing)
    seen = read(settings, *names)
    with open_source(settings, names).open() as reading:
        alone = reading.find_ids(person.external_id for person in seen.persons).persons
    assert _groups(alone) == _groups(seen.persons)
    return seen


def _groups(persons: object) -> dict[str, set[str]]:
    assert isinstance(persons, list)
    return {_short(person): {group.split(",")[0].removeprefix("cn=") for group in person.groups} for person in persons}


def _short(person: Person) -> str:
    return person.username.partition("-")[2]


def test_groups_in_groups_lead_to_the_issuing_one(branch: Branch) -> None:
    """Whoever is in a group that is in an issuing group, at any depth and through circles, is in the issuing group."""
    ann, bob, cyn, _ = (branch.add_person(name) for name in ("ann", "bob", "cyn", "dan"))
    inner = branch.add_group("inner", [ann])
    middle = branch.add_group("middle", [inner, bob])
    top = branch.add_group("top", [middle])
    branch.samba.modify(inner, member=[ann, top])
    apart = branch.add_group("apart", [cyn, inner])
    seen = _read(branch, top)
    assert _groups(seen.persons) == {"ann": {"inner", "top"}, "bob": {"middle", "top"}, "cyn": {"apart"}, "dan": set()}
    assert seen.proof.groups_found == {top.lower(): 1}
    assert _groups(_read(branch, top, apart).persons)["ann"] == {"inner", "top", "apart"}


def test_the_primary_group_issues_too(branch: Branch) -> None:
    """A primary group lists nobody and nobody lists it: the number on the entry decides, also when that group is in an issuing one."""
    ann, bob = branch.add_person("ann"), branch.add_person("bob")
    staff = branch.add_group("staff", [ann, bob])
    outer = branch.add_group("outer", [staff])
    number = int.from_bytes(branch.samba.value_of(staff, "objectSid")[-4:], "little")
    branch.samba.modify(ann, primaryGroupID=number)
    branch.samba.modify(staff, member=[])
    assert _groups(_read(branch).persons) == {"ann": {"domain users"}, "bob": set()}  # what was primary before is an ordinary group now
    seen = _read(branch, staff, outer)
    assert _groups(seen.persons) == {"ann": {"staff", "outer", "domain users"}, "bob": set()}
    assert seen.proof.groups_found == {staff.lower(): None, outer.lower(): 1}


def test_domain_users_issue_to_everybody(branch: Branch) -> None:
    """The group that everybody is in from the first day issues as any other, though it lists nobody."""
    branch.add_person("ann")
    everybody = f"CN=Domain Users,CN=Users,{branch.samba.suffix}"
    seen = _read(branch, everybody)
    assert _groups(seen.persons) == {"ann": {"domain users"}}
    assert seen.proof.groups_found[everybody.lower()] != 0


def test_empty_and_missing_issuing_groups_are_told_apart(branch: Branch) -> None:
    """An empty group is nobody's; one that is not there, or stands in another domain, is not found."""
    empty = branch.add_group("empty")
    missing, foreign = f"CN=none,{branch.groups}", "CN=crew,DC=elsewhere,DC=example,DC=com"
    assert _read(branch, empty, missing, foreign).proof.groups_found == {empty.lower(): 0}


def test_more_groups_in_a_group_than_one_filter_holds(branch: Branch) -> None:
    """Levels are asked for in portions; none of them is forgotten."""
    ann = branch.add_person("ann")
    below = [branch.add_group(f"g{number}") for number in range(60)]
    last = branch.add_group("last", [ann])
    branch.samba.modify(below[-1], member=[last])
    top = branch.add_group("top", below)
    assert _groups(_read(branch, top).persons) == {"ann": {"last", "top"}}


def test_a_group_search_counts_primary_groups(branch: Branch) -> None:
    """Groups that are searched for list their members; the primary group and what it is in come beside."""
    ann, bob = branch.add_person("ann"), branch.add_person("bob")
    staff = branch.add_group("staff", [ann])
    branch.add_group("outer", [staff, bob])
    number = int.from_bytes(branch.samba.value_of(staff, "objectSid")[-4:], "little")
    branch.samba.modify(ann, primaryGroupID=number)
    branch.samba.modify(staff, member=[])
    search = GroupSearch(base=branch.groups)
    assert _groups(_read(branch, search=search).persons) == {"ann": {"staff", "outer"}, "bob": {"outer"}}


def test_a_group_of_1600_members_is_read_to_its_last_one(branch: Branch) -> None:
    """Members beyond a range are fetched range by range, whatever size the server makes them."""
    anything = branch.samba.find(f"CN=Configuration,{branch.samba.suffix}", "(objectClass=*)")[:1600]
    crew = branch.add_group("crew", anything)
    last = branch.add_person("zed")
    for ann in (branch.add_person("ann"), last):
        branch.samba.extend(crew, member=[ann])
    for member in ("member", "member;range=0-699"):
        seen = _read(branch, crew, search=GroupSearch(base=branch.groups, member=member))
        assert _groups(seen.persons) == {"ann": {"crew"}, "zed": {"crew"}}
        assert seen.proof.groups_found == {crew.lower(): 1602}


class _Parts:
    """A line that answers with parts of a group, one after the other."""

    def __init__(self, *parts: Entry) -> None:
        self._parts = list(parts)
        self.asked: list[str] = []

    def fetch(self, asked: groups.Search) -> tuple[list[Entry], None]:
        self.asked += asked.attributes
        return ([self._parts.pop(0)] if self._parts else []), None


def test_ranges_that_lead_nowhere_stop_the_read() -> None:
    """A server that goes back, or falls silent, in the middle of a group has not sent it whole."""
    name = "cn=big,dc=example"
    first = Entry(name, {"member": [b"cn=a"]}, cut=True, rest=1500)
    for answer in ((), (first,), (Entry(name, {"member": [b"cn=b"]}),)):
        index = groups.GroupIndex(GroupSearch(base="dc=example"))
        index.take(first)
        with pytest.raises(SourceIncomplete) as failure:
            index.complete(_Parts(*answer))  # type: ignore[arg-type]
        assert failure.value.code == "group_cut"
    index = groups.GroupIndex(GroupSearch(base="dc=example"))
    index.take(first)
    line = _Parts(Entry(name, {"member": [b"cn=b"]}, cut=True, rest=3000), Entry(name, {"member": [b"cn=c"]}, cut=True))
    index.complete(line)  # type: ignore[arg-type]
    assert line.asked == ["member;range=1500-*", "member;range=3000-*"]
    assert index.sizes == {name: 3}
