"""Groups: what the entry says of itself, and what the groups say of the entry."""

from __future__ import annotations

from typing import Any

import pytest

from sync.errors import SourceIncomplete, SourceRefused
from sync.settings import GroupSearch
from sync.sources import open_source
from sync.sources.ldap import groups
from sync.sources.ldap.ber import Entry
from tests.servers.slapd import Slapd
from tests.servers.slapd_texts import SUFFIX
from tests.sync.sources.ldap.corp import corp, read


def _name(group: str) -> str:
    return f"cn={group},ou=groups,{SUFFIX}"


def _searching(slapd: Slapd, **changes: Any) -> GroupSearch:
    return GroupSearch(**({"base": slapd.groups} | changes))


def _groups(slapd: Slapd, search: GroupSearch) -> dict[str, set[str]]:
    """Return the groups of everybody, as the full read has them, after checking that a single look-up says the same."""
    settings = corp(slapd, groups=search)
    everybody = read(settings).persons
    with open_source(settings).open() as reading:
        alone = reading.find_ids(person.external_id for person in everybody).persons
    assert {person.external_id: person.groups for person in alone} == {person.external_id: person.groups for person in everybody}
    return {person.username: {group.split(",")[0].removeprefix("cn=") for group in person.groups} for person in everybody}


def test_group_of_names_is_searched_by_dn(slapd: Slapd) -> None:
    """Members are compared as DNs: case, spaces and escapes do not matter."""
    ann = slapd.add_person("ann, the first".replace(",", "\\,"), cn="ann")
    bob = slapd.add_person("bob")
    slapd.add_group("one", [ann.upper()])
    slapd.add_group("two", [bob, ann.replace("\\,", "\\2C").replace(",dc", ", dc")])
    assert _groups(slapd, _searching(slapd)) == {"ann, the first": {"one", "two"}, "bob": {"two"}}


def test_unique_members_lose_their_bits(slapd: Slapd) -> None:
    """uniqueMember may carry an optional UID behind the DN (RFC 4517 section 3.3.21)."""
    ann = slapd.add_person("ann")
    slapd.add(f"cn=u,{slapd.groups}", objectClass="groupOfUniqueNames", uniqueMember=[f"{ann}#'0101'B"])
    slapd.add(f"cn=v,{slapd.groups}", objectClass="groupOfUniqueNames", uniqueMember=[ann])
    search = _searching(slapd, filter="(objectClass=groupOfUniqueNames)", member="uniqueMember")
    assert {person.username: person.groups for person in read(corp(slapd, groups=search)).persons} == {"ann": (_name("u"), _name("v"))}


def test_posix_groups_list_user_names(slapd: Slapd) -> None:
    """memberUid is compared with the user name, with its case."""
    slapd.add_person("ann")
    slapd.add_person("ANNA", cn="x")
    slapd.add(f"cn=p,{slapd.groups}", objectClass="posixGroup", gidNumber="1", memberUid=["ann", "nobody"])
    assert _groups(slapd, _searching(slapd, filter="(objectClass=posixGroup)", member="memberUid")) == {"ann": {"p"}, "ANNA": set()}


def test_nested_groups_count_through_circles(slapd: Slapd) -> None:
    """A member of a group is in every group above it, and groups that contain each other do not run for ever."""
    ann, bob = slapd.add_person("ann"), slapd.add_person("bob")
    slapd.add_group("inner", [ann, _name("outer")])
    slapd.add_group("middle", [_name("inner"), bob])
    slapd.add_group("outer", [_name("middle")])
    slapd.add_group("apart", [_name("apart")])
    assert _groups(slapd, _searching(slapd)) == {"ann": {"inner", "middle", "outer"}, "bob": {"middle", "outer", "inner"}}
    assert _groups(slapd, _searching(slapd, nested=False)) == {"ann": {"inner"}, "bob": {"middle"}}


def test_the_group_search_keeps_to_its_filter(slapd: Slapd) -> None:
    """Groups that the filter leaves out give nobody anything."""
    ann = slapd.add_person("ann")
    slapd.add_group("in", [ann])
    slapd.add_group("out", [ann])
    assert _groups(slapd, _searching(slapd, filter="cn=in")) == {"ann": {"in"}}


def test_a_group_search_that_is_cut_off_stops_the_read(slapd: Slapd) -> None:
    """Half of the groups is half of the directory: people would lose keys."""
    people = [slapd.add_person("ann")]
    for number in range(30):
        slapd.add_group(f"g{number}", people)
    slapd.set_limits(f'dn.exact="{slapd.bind_dn}" size=10')
    with pytest.raises(SourceIncomplete) as failure:
        read(corp(slapd, groups=_searching(slapd), page_size=5))
    assert failure.value.code == "size_limit"
    with pytest.raises(SourceRefused) as refusal:
        read(corp(slapd, groups=_searching(slapd, base=f"ou=none,{SUFFIX}")))
    assert refusal.value.code == "base_not_found"


def test_a_group_too_big_to_read_stops_the_read(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that were not read would all lose their keys."""
    slapd.add_group("big", slapd.add_people(100))
    monkeypatch.setattr(groups, "BIGGEST_GROUP", 2000)
    with pytest.raises(SourceIncomplete) as failure:
        read(corp(slapd, groups=_searching(slapd)))
    assert failure.value.code == "group_too_big"


def test_groups_much_bigger_than_people_are_read(slapd: Slapd) -> None:
    """A group of many thousands is over the bound for people, and read all the same."""
    dns = slapd.add_people(20_000, parent=f"ou=people,{SUFFIX}")
    long = [f"uid={'x' * 300}{number},{SUFFIX}" for number in range(15_000)]
    slapd.load(f"dn: {_name('all')}\nobjectClass: groupOfNames\ncn: all\n" + "".join(f"member: {dn}\n" for dn in [*dns, *long]) + "\n")
    seen = read(corp(slapd, groups=_searching(slapd)), _name("all"))
    assert {person.groups for person in seen.persons} == {(_name("all"),)}
    assert seen.proof.groups_found == {_name("all"): 35_000}


def test_the_proof_says_which_issuing_groups_the_directory_shows(slapd: Slapd) -> None:
    """By memberOf, each issuing group is looked up: there or not, and with how many members."""
    ann, bob = slapd.add_person("ann"), slapd.add_person("bob")
    slapd.add_group("two", [ann, bob])
    slapd.add_group("hidden", [ann])
    slapd.add_group("closed", [ann])
    slapd.add(f"cn=empty,{slapd.groups}", objectClass="posixGroup", gidNumber="1")
    slapd.set_acl(
        f'to dn.exact="{_name("hidden")}" by * none', f'to dn.exact="{_name("closed")}" attrs=member by * none', "to * by users read by * none"
    )
    asked = [_name(group) for group in ("two", "hidden", "closed", "empty", "missing")]
    seen = read(corp(slapd), *asked, "not a dn")
    assert seen.proof.groups_found == {_name("two"): 2, _name("closed"): None, _name("empty"): 0}
    assert seen.one("ann").groups == (_name("closed"), _name("hidden"), _name("two"))


def test_by_a_search_only_groups_that_it_finds_are_shown(slapd: Slapd) -> None:
    """A group outside the search gives nobody anything, so it is as good as missing; one whose members are hidden is empty."""
    ann = slapd.add_person("ann")
    slapd.add_group("in", [ann])
    slapd.add_group("closed", [ann])
    slapd.add_group("out", [ann])
    slapd.set_acl(f'to dn.exact="{_name("closed")}" attrs=member by * none', "to * by users read by * none")
    seen = read(corp(slapd, groups=_searching(slapd, filter="(|(cn=in)(cn=closed))")), *map(_name, ("in", "closed", "out")))
    assert seen.proof.groups_found == {_name("in"): 1, _name("closed"): 0}


def test_a_group_that_came_in_part_stops_the_read() -> None:
    """Members that the server left out would all lose their keys."""
    with pytest.raises(SourceIncomplete) as failure:
        groups.GroupIndex(GroupSearch(base=SUFFIX)).take(Entry(_name("big"), {"member": [b"uid=a"]}, cut=True))
    assert failure.value.code == "group_cut"
