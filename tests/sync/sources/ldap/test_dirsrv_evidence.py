"""Evidence for departures on a real 389 Directory Server and its access rules: hidden is not gone (rule 1)."""

from __future__ import annotations

import random

import pytest

from sync.directory import Person
from tests.servers.dirsrv import DirsrvTree
from tests.sync.sources.ldap.corp import ask, corp, read

EVERYBODY = '(targetattr="*")(version 3.0; acl "read"; allow (read, search, compare) userdn="ldap:///all";)'


def _people(tree: DirsrvTree, count: int) -> list[Person]:
    tree.add_people(count)
    return sorted(read(corp(tree)).persons, key=lambda person: person.username)


def _deny(what: str, rights: str = "read, search, compare") -> str:
    return f'{what}(version 3.0; acl "deny"; deny ({rights}) userdn="ldap:///all";)'


def test_deleted_people_departed_without_a_right_to_see_tombstones(dirsrv: DirsrvTree) -> None:
    """389 shows tombstones to its Directory Manager only; everybody else hears that nothing stands there any more."""
    one = _people(dirsrv, 2)[0]
    dirsrv.delete(one.place)
    finding = ask(corp(dirsrv), one)[one.external_id]
    assert (finding.verdict, finding.why) == ("departed", "is gone from the directory")
    assert f"noSuchObject (32), the nearest entry is {dirsrv.base}" in finding.evidence


def test_a_tombstone_is_evidence_where_it_may_be_read(dirsrv: DirsrvTree) -> None:
    """Bound as Directory Manager, the deleted entry itself is found, by the id that it had, wherever it stood last."""
    one = _people(dirsrv, 2)[0]
    native = dirsrv.id_of(one.place)
    dirsrv.delete(dirsrv.move(one.place, dirsrv.former))
    finding = ask(corp(dirsrv, bind_dn=dirsrv.admin_dn), one)[one.external_id]
    assert (finding.verdict, finding.why) == ("departed", "was deleted from the directory")
    assert f"nsuniqueid={native},uid={one.username},{dirsrv.former}" in finding.evidence


def test_moved_replaced_and_filtered_people_departed(dirsrv: DirsrvTree) -> None:
    """Outside the base, under a new id, or provably outside the filter: each has evidence of its own."""
    settings = corp(dirsrv, filter="(&(objectClass=inetOrgPerson)(!(employeeType=retired)))")
    moved, replaced, retired = _people(dirsrv, 3)
    dirsrv.move(moved.place, dirsrv.former)
    dirsrv.delete(replaced.place)
    dirsrv.add_person(replaced.username)
    dirsrv.modify(retired.place, employeeType="retired")
    findings = ask(settings, moved, replaced, retired)
    whys = [findings[person.external_id].why for person in (moved, replaced, retired)]
    assert whys == ["stands outside the base now", "another entry stands in its place", "no longer matches the filter"]


HIDING = {
    "the people, by a filter": [EVERYBODY, _deny('(targetfilter="(sn=Secret)")(targetattr="*")')],
    "their ids": [EVERYBODY, _deny('(targetfilter="(sn=Secret)")(targetattr="nsUniqueId")')],
    "their classes": [EVERYBODY, _deny('(targetfilter="(sn=Secret)")(targetattr="objectClass")')],
    "all they have but their ids": [EVERYBODY, _deny('(targetfilter="(sn=Secret)")(targetattr!="nsUniqueId")')],
    "searching, not reading": [EVERYBODY, _deny('(targetfilter="(sn=Secret)")(targetattr="*")', "search")],
    "reading, not searching": [EVERYBODY, _deny('(targetfilter="(sn=Secret)")(targetattr="*")', "read")],
    "everything, for want of a rule": [],
    "everything but the classes": ['(targetattr="objectClass")(version 3.0; acl "classes"; allow (read, search) userdn="ldap:///all";)'],
}


@pytest.mark.parametrize("rules", HIDING.values(), ids=HIDING.keys())
def test_people_hidden_by_an_access_rule_are_unproven(dirsrv: DirsrvTree, rules: list[str]) -> None:
    """However an access rule hides people, none of them has departed."""
    people = _people(dirsrv, 20)
    for person in people:
        dirsrv.modify(person.place, sn="Secret")
    dirsrv.set_acis(*rules)
    findings = ask(corp(dirsrv), *people)
    assert {finding.verdict for finding in findings.values()} == {"unproven"}, next(f for f in findings.values() if f.verdict != "unproven")


def test_below_a_hidden_container_nothing_can_be_proven(dirsrv: DirsrvTree) -> None:
    """389 answers plain success where it hides what is above: nobody departs by that, deleted or not."""
    parent = dirsrv.add(f"ou=secret,{dirsrv.base}", objectClass="organizationalUnit")
    dirsrv.add_person("ada", parent=parent)
    dirsrv.add_person("bob", parent=parent)
    ada, bob = sorted(read(corp(dirsrv)).persons, key=lambda person: person.username)
    dirsrv.set_acis(EVERYBODY, _deny(f'(target="ldap:///{parent}")(targetattr="*")'))
    dirsrv.delete(ada.place)
    assert [finding.verdict for finding in ask(corp(dirsrv), ada, bob).values()] == ["unproven", "unproven"]


def test_whatever_rules_are_drawn_nobody_who_is_there_departs(dirsrv: DirsrvTree) -> None:
    """Sixty random sets of access rules, deletions in between: who departs was deleted, who is there never departs."""
    seed = random.randrange(2**32)
    drawn = random.Random(seed)
    people = _people(dirsrv, 24)
    for person in people:
        dirsrv.modify(person.place, sn=drawn.choice(["Secret", "Plain"]))
    alive = dict.fromkeys((person.external_id for person in people), True)
    departed: set[str] = set()
    for _ in range(60):
        dirsrv.set_acis(*_draw_rules(drawn, dirsrv))
        victim = drawn.choice(people)
        if drawn.random() < 0.2 and alive[victim.external_id]:
            dirsrv.delete(victim.place)
            alive[victim.external_id] = False
        found = ask(corp(dirsrv), *people)
        departed |= {one for one, finding in found.items() if finding.verdict == "departed"}
        wrong = [finding for one, finding in found.items() if finding.verdict == "departed" and alive[one]]
        assert not wrong, f"seed {seed}: {wrong[0]}, under {dirsrv.search('(objectClass=domain)', 'aci')[0]['raw_attributes']}"
    dirsrv.set_acis(EVERYBODY)
    assert {one for one, finding in ask(corp(dirsrv), *people).items() if finding.verdict == "departed"} == {one for one in alive if not alive[one]}
    assert departed <= {one for one in alive if not alive[one]}


def _draw_rules(drawn: random.Random, tree: DirsrvTree) -> list[str]:
    rules = [EVERYBODY] if drawn.random() < 0.8 else []
    for _ in range(drawn.randint(1, 3)):
        where = drawn.choice(["", f'(target="ldap:///{tree.base}")', f'(target="ldap:///uid=*,{tree.base}")', '(targetfilter="(sn=Secret)")'])
        attributes = drawn.choice(["*", "nsUniqueId", "objectClass", "nsUniqueId || objectClass", "uid || cn", "sn"])
        effect, rights = drawn.choice(["deny", "deny", "allow"]), drawn.choice(["read", "search", "read, search", "compare", "read, search, compare"])
        what = f'{where}(targetattr{drawn.choice(["=", "!=" if attributes != "*" else "="])}"{attributes}")'
        rules.append(f'{what}(version 3.0; acl "r{len(rules)}"; {effect} ({rights}) userdn="ldap:///all";)')
    return rules
