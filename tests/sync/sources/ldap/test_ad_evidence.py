"""Evidence for departures from Active Directory, where a hidden entry looks like none and a hidden value like none: graves, places, and rights."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sync.directory import Person
from sync.settings import SourceSettings
from sync.sources.ldap.descriptors import attributes_of, grants
from sync.sources.ldap.dn import above
from tests.servers.branch import Branch
from tests.sync.sources.ldap.corp import ask, read
from tests.sync.sources.ldap.domain import corp_ad


def _people(branch: Branch, *names: str, parent: str = "", **settings: Any) -> list[Person]:
    for name in names:
        branch.add_person(name, parent=parent)
    return sorted(read(corp_ad(branch, **settings)).persons, key=lambda person: person.username)


def _verdicts(settings: SourceSettings, *people: Person) -> list[str]:
    found = ask(settings, *people)
    return [found[person.external_id].verdict for person in people]


def _verdict(settings: SourceSettings, person: Person) -> tuple[str, str]:
    finding = ask(settings, person)[person.external_id]
    return finding.verdict, finding.why


def test_a_deleted_object_is_evidence_for_who_may_list_them(branch: Branch) -> None:
    """An account with the right to list the deleted objects finds the person among them, whatever else it may see."""
    ann, _ = _people(branch, "ann", "bob")
    branch.samba.delete(ann.place)
    finding = ask(corp_ad(branch, bind_dn=branch.samba.undertaker), ann)[ann.external_id]
    assert (finding.verdict, finding.why) == ("departed", "was deleted from the directory")
    assert "CN=Deleted Objects" in finding.evidence
    assert f"objectGUID={ann.external_id}" in finding.evidence


def test_without_that_right_the_place_is_evidence(branch: Branch) -> None:
    """Who may list everything that stood beside the person sees that the place is empty; the evidence says so."""
    ann, bob = _people(branch, "ann", "bob")
    branch.samba.delete(ann.place)
    finding = ask(corp_ad(branch), ann)[ann.external_id]
    assert (finding.verdict, finding.why) == ("departed", "is gone from the directory")
    assert f"may list whatever stands below {branch.base}" in finding.evidence
    assert read(corp_ad(branch)).usernames == {bob.username}


def test_a_removed_unit_lets_its_people_go(branch: Branch) -> None:
    """When the whole unit is gone, the unit above it proves it."""
    paris = branch.add_ou("paris")
    (ann,) = _people(branch, "ann", parent=paris)
    branch.samba.delete(ann.place, paris)
    assert _verdict(corp_ad(branch), ann) == ("departed", "is gone from the directory")


def test_people_moved_out_of_the_base_departed(branch: Branch) -> None:
    """Another unit, outside the base: the evidence names it."""
    (ann,) = _people(branch, "ann")
    place = branch.samba.move(ann.place, branch.former)
    finding = ask(corp_ad(branch), ann)[ann.external_id]
    assert (finding.verdict, finding.why) == ("departed", "stands outside the base now")
    assert place in finding.evidence


def test_another_entry_in_the_old_place_is_a_departure(branch: Branch) -> None:
    """Made anew under the same name, it is another person."""
    (ann,) = _people(branch, "ann")
    branch.samba.delete(ann.place)
    branch.add_person("ann")
    assert _verdict(corp_ad(branch), ann) == ("departed", "another entry stands in its place")


def test_people_in_a_hidden_unit_are_unproven_and_stay_so_when_deleted(branch: Branch) -> None:
    """Below a unit whose list is hidden nothing can be told, whether somebody is still there or not; only a deleted object proves it."""
    paris = branch.add_ou("paris")
    ann, bob = _people(branch, "ann", "bob", parent=paris)
    branch.hide(paris)
    assert read(corp_ad(branch)).persons == []
    assert _verdicts(corp_ad(branch), ann, bob) == ["unproven", "unproven"]
    branch.samba.delete(ann.place)
    assert _verdicts(corp_ad(branch), ann, bob) == ["unproven", "unproven"]
    branch.samba.deny(paris, branch.samba.undertaker, "list read")
    assert _verdicts(corp_ad(branch, bind_dn=branch.samba.undertaker), ann, bob) == ["departed", "unproven"]


def test_the_whole_base_hidden_is_nobody_s_departure(branch: Branch) -> None:
    """However far up the rule stands that hides people."""
    people = _people(branch, *(f"p{number:02d}" for number in range(12)))
    branch.hide(branch.top)
    assert set(_verdicts(corp_ad(branch), *people)) == {"unproven"}


HIDING = {
    "the entry's attributes": (),
    "its id only": ("objectGUID",),
    "its classes only": ("objectClass",),
    "what the filter asks for": ("sAMAccountType",),
}


@pytest.mark.parametrize("attributes", HIDING.values(), ids=HIDING.keys())
def test_people_hidden_one_by_one_are_unproven(branch: Branch, attributes: tuple[str, ...]) -> None:
    """Whatever of an entry is hidden, it has not departed; a real leaver beside it has."""
    ann, bob, cyn = _people(branch, "ann", "bob", "cyn")
    branch.hide(ann.place, *attributes)
    branch.samba.delete(cyn.place)
    assert _verdicts(corp_ad(branch), ann, bob, cyn) == ["unproven", "unproven", "departed"]


def test_who_no_longer_matches_a_filter_that_can_be_read_departed(branch: Branch) -> None:
    """A value that changed or was taken away counts when the account may read the attribute."""
    settings = corp_ad(branch, filter="(&(objectClass=user)(employeeType=staff))")
    for name in ("ann", "bob"):
        branch.add_person(name, employeeType="staff")
    ann, bob = sorted(read(settings).persons, key=lambda person: person.username)
    branch.samba.modify(ann.place, employeeType="retired")
    branch.samba.modify(bob.place, employeeType=[])
    assert _verdicts(settings, ann, bob) == ["departed", "departed"]


def test_who_no_longer_matches_a_filter_on_hidden_attributes_is_unproven(branch: Branch) -> None:
    """Active Directory counts a hidden value as none, so that even the negation of the filter matches: rights decide instead."""
    settings = corp_ad(branch, filter="(&(objectClass=user)(employeeType=staff))")
    for name in ("ann", "bob"):
        branch.add_person(name, employeeType="staff")
    ann, bob = sorted(read(settings).persons, key=lambda person: person.username)
    branch.hide(ann.place, "employeeType")
    branch.samba.modify(bob.place, employeeType=[])
    branch.hide(bob.place, "employeeType")
    assert read(settings).persons == []
    assert _verdicts(settings, ann, bob) == ["unproven", "unproven"]


def test_a_hidden_state_is_no_departure(branch: Branch) -> None:
    """Somebody refused because userAccountControl is hidden has not left."""
    (ann,) = _people(branch, "ann")
    branch.hide(ann.place, "userAccountControl")
    assert _verdicts(corp_ad(branch), ann) == ["unproven"]


def test_people_without_a_place_or_with_a_strange_one_are_unproven(branch: Branch) -> None:
    """Where nobody knows where somebody stood, or it is no DN, not finding them proves nothing."""
    ghosts = [Person(f"00000000-0000-4000-8000-00000000000{number}", place, "", "", (), (), True) for number, place in enumerate(("", "no dn"))]
    assert _verdicts(corp_ad(branch), *ghosts) == ["unproven", "unproven"]


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("(&(objectClass=user)(!(cn=a\\28b=c\\29)))", ["objectclass", "cn"]),
        ("(userAccountControl:1.2.840.113556.1.4.803:=2)", ["useraccountcontrol"]),
        ("( mail >= x )", ["mail"]),
        ("(|(a~=1)(b<=2)(cn;lang-en=*))", ["a", "b", "cn"]),
    ],
)
def test_the_attributes_of_a_filter_are_all_found(text: str, attributes: list[str]) -> None:
    """Every attribute whose hiding could change what the filter says is looked at."""
    assert attributes_of(text) == attributes


@pytest.mark.parametrize(
    ("dn", "parent"), [("CN=a\\,b,OU=x,DC=y", "OU=x,DC=y"), ("CN=a\\2C,DC=y", "DC=y"), ("DC=y", ""), ("", ""), ("CN=\\\\,DC=y", "DC=y")]
)
def test_the_place_above_is_cut_at_the_first_real_comma(dn: str, parent: str) -> None:
    """A comma in a name does not end it."""
    assert above(dn) == parent


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x01\0\x04\x80" + bytes(16), bytes(19), b"\xff" * 64, b"\x01\0\x04\x80" + bytes(12) + b"\x14\0\0\0" + b"\x04\0\xff\xff\xff\xff\0\0"],
)
def test_a_descriptor_that_cannot_be_read_grants_nothing(octets: bytes) -> None:
    """Nobody departs on a descriptor that is cut off, empty or made up."""
    assert not grants(octets, [b"\x01\x01" + bytes(10)], 0x04)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_hidden_only_those_who_left_depart(branch: Branch, seed: int) -> None:
    """Random rights on units and people, taken and given, inherited or not, for all attributes or some: nobody who is still there departs."""
    chance = random.Random(seed)
    units = [branch.base, branch.add_ou("a"), branch.add_ou("b")]
    units.append(branch.samba.add(f"OU=c,{units[1]}", objectClass="organizationalUnit"))
    for number in range(12):
        branch.add_person(f"p{number:02d}", parent=chance.choice(units))
    people = read(corp_ad(branch)).persons
    gone = chance.sample(people, 4)
    for _ in range(chance.randrange(1, 6)):
        _change_rights(branch, chance, chance.choice([*units, *(person.place for person in people)]))
    for person in gone[:3]:
        branch.samba.delete(person.place)
    branch.samba.move(gone[3].place, chance.choice([branch.former, branch.top]))
    for account in (branch.samba.reader, branch.samba.undertaker):
        found = ask(corp_ad(branch, bind_dn=account), *people)
        departed = {one for one, finding in found.items() if finding.verdict == "departed"}
        assert departed <= {person.external_id for person in gone}, [found[one] for one in departed]
        if account == branch.samba.undertaker:
            assert departed >= {person.external_id for person in gone[:3]}


def _change_rights(branch: Branch, chance: random.Random, dn: str) -> None:
    samba, rights = branch.samba, chance.choice(["list", "read", "list read", "all"])
    attributes = chance.choice([(), (), ("objectGUID",), ("sAMAccountType",), ("objectClass",)]) if rights == "read" else ()
    act = chance.choice([samba.deny, samba.deny, samba.deny_here, samba.grant])
    act(dn, samba.reader, rights, *(() if act == samba.deny_here else attributes))
