"""Evidence for departures, against a real slapd and its access rules: hidden is not gone (rule 1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sync.directory import Person
from sync.sources.ldap import evidence
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import ask, corp, read


def _people(slapd: Slapd, count: int = 40) -> list[Person]:
    slapd.add_people(count)
    return sorted(read(corp(slapd)).persons, key=lambda person: person.username)


def test_deleted_people_departed_and_the_evidence_names_what_was_asked(slapd: Slapd) -> None:
    """Whoever was deleted has departed: no search finds them, and their parent says that nothing is there."""
    one, other = _people(slapd, 2)
    slapd.delete(one.place)
    finding = ask(corp(slapd), one)[one.external_id]
    assert finding.verdict == "departed"
    assert one.place in finding.evidence
    assert "noSuchObject (32), the nearest entry is ou=people,dc=example,dc=com" in finding.evidence
    assert read(corp(slapd)).usernames == {other.username}


def test_people_moved_out_of_the_base_departed_to_where_the_evidence_says(slapd: Slapd) -> None:
    """Whoever stands elsewhere in the directory has departed, and the evidence names the place."""
    one = _people(slapd, 2)[0]
    slapd.move(one.place, slapd.former)
    finding = ask(corp(slapd), one)[one.external_id]
    assert (finding.verdict, finding.why) == ("departed", "stands outside the base now")
    assert f"uid={one.username},ou=former,dc=example,dc=com" in finding.evidence


def test_people_who_no_longer_match_the_filter_departed(slapd: Slapd) -> None:
    """Whoever stands in the base but provably fails the filter has departed."""
    slapd.add_person("ann", employeeType="staff")
    settings = corp(slapd, filter="(&(objectClass=inetOrgPerson)(employeeType=staff))")
    (ann,) = read(settings).persons
    slapd.modify(ann.place, employeeType="retired")
    finding = ask(settings, ann)[ann.external_id]
    assert (finding.verdict, finding.why) == ("departed", "no longer matches the filter")
    slapd.modify(ann.place, employeeType=[])
    assert ask(settings, ann)[ann.external_id].verdict == "departed"


def test_people_whose_filter_attribute_is_hidden_are_unproven(slapd: Slapd) -> None:
    """An access rule that hides what the filter asks for does not make anybody leave."""
    slapd.add_person("ann", employeeType="staff")
    settings = corp(slapd, filter="(employeeType=staff)")
    (ann,) = read(settings).persons
    slapd.set_acl("to attrs=employeeType by * none", "to * by users read")
    assert read(settings).persons == []
    assert ask(settings, ann)[ann.external_id].verdict == "unproven"


def test_people_who_are_there_after_all_are_unproven(slapd: Slapd) -> None:
    """Whoever stands in the base and matches the filter was missed, not lost."""
    one = _people(slapd, 2)[0]
    finding = ask(corp(slapd), one)[one.external_id]
    assert finding.verdict == "unproven"
    assert "contradicts itself" in finding.why


def test_a_new_entry_in_the_old_place_is_a_departure(slapd: Slapd) -> None:
    """When the entry was made anew under the same name, whoever had it before has departed."""
    one = _people(slapd, 2)[0]
    slapd.delete(one.place)
    slapd.add_person(one.username)
    finding = ask(corp(slapd), one)[one.external_id]
    assert (finding.verdict, finding.why) == ("departed", "another entry stands in its place")


def test_a_person_without_a_known_place_is_unproven(slapd: Slapd) -> None:
    """Where nobody knows where an entry stood, not finding it proves nothing."""
    ghost = Person("00000000-0000-4000-8000-00000000dead", "", "", "", (), (), True)
    assert ask(corp(slapd), ghost)[ghost.external_id].verdict == "unproven"


def test_a_removed_ou_lets_its_people_go(slapd: Slapd) -> None:
    """When a whole ou is gone, the entry above it proves it."""
    slapd.add(f"ou=paris,{slapd.base}", objectClass="organizationalUnit")
    dn = slapd.add_person("ann", parent=f"ou=paris,{slapd.base}")
    ann = read(corp(slapd)).one("ann")
    slapd.delete(dn, f"ou=paris,{slapd.base}")
    finding = ask(corp(slapd), ann)[ann.external_id]
    assert finding.verdict == "departed"
    assert "the nearest entry is ou=people" in finding.evidence


HIDING = {
    "entry by entry": [f'to dn.exact="uid=u{number:06d},ou=people,dc=example,dc=com" by * none' for number in range(1, 21)],
    "by dn.regex": ['to dn.regex="^uid=u0000(0[1-9]|1[0-9]|20),ou=people" by * none'],
    "by filter": ["to filter=(sn=Secret) by * none"],
    "only the entry itself": ["to filter=(sn=Secret) attrs=entry by * none"],
    "the entry may be searched but not read": ["to filter=(sn=Secret) attrs=entry by * search"],
    "only disclosed": ["to filter=(sn=Secret) by * disclose"],
    "its id only": ["to filter=(sn=Secret) attrs=entryUUID by * none"],
    "its classes only": ["to filter=(sn=Secret) attrs=objectClass by * none"],
    "everything but its name": ["to filter=(sn=Secret) attrs=entry by * read", "to filter=(sn=Secret) by * none"],
    "the whole ou": ['to dn.subtree="ou=people,dc=example,dc=com" by * none'],
    "the whole ou but its head": ['to dn.children="ou=people,dc=example,dc=com" by * none'],
    "one level": ['to dn.one="ou=people,dc=example,dc=com" by * none'],
    "all of the tree": ["to * by * none"],
    "to this account": ['to filter=(sn=Secret) by dn.exact="cn=sync,dc=example,dc=com" none by * read'],
    "auth only": ["to filter=(sn=Secret) by * auth"],
    "compare only": ["to filter=(sn=Secret) by * compare"],
}


@pytest.mark.parametrize("rules", HIDING.values(), ids=HIDING.keys())
def test_twenty_people_hidden_by_an_access_rule_are_unproven(slapd: Slapd, rules: list[str]) -> None:
    """However an access rule hides people, none of them has departed."""
    hidden = _people(slapd)[:20]
    for person in hidden:
        slapd.modify(person.place, sn="Secret")
    slapd.set_acl(*rules, "to * by users read")
    findings = ask(corp(slapd), *hidden)
    assert {finding.verdict for finding in findings.values()} == {"unproven"}, next(f for f in findings.values() if f.verdict != "unproven")


def test_people_in_a_hidden_child_ou_are_unproven_and_stay_so_when_deleted(slapd: Slapd) -> None:
    """Below an ou that is hidden nothing can be proven, whether somebody is still there or not."""
    parent = f"ou=secret,{slapd.base}"
    slapd.add(parent, objectClass="organizationalUnit")
    slapd.add_people(20, parent=parent)
    people = read(corp(slapd)).persons
    slapd.set_acl(f'to dn.subtree="{parent}" by * none', "to * by users read")
    slapd.delete(people[0].place)
    assert {finding.verdict for finding in ask(corp(slapd), *people).values()} == {"unproven"}


def test_a_deletion_is_seen_beside_hidden_people(slapd: Slapd) -> None:
    """Hiding twenty people does not keep a real leaver from leaving."""
    people = _people(slapd)
    for person in people[:20]:
        slapd.modify(person.place, sn="Secret")
    slapd.set_acl("to filter=(sn=Secret) by * none", "to * by users read")
    slapd.delete(people[30].place)
    findings = ask(corp(slapd), *people[:20], people[30])
    assert [one for one, finding in findings.items() if finding.verdict == "departed"] == [people[30].external_id]


def test_an_account_that_sees_only_the_base_still_proves_departures(slapd: Slapd) -> None:
    """Where the tree above the base is hidden, the base itself is searched, and its own word counts."""
    one, moved, _ = _people(slapd, 3)
    slapd.set_acl('to dn.subtree="ou=people,dc=example,dc=com" by users read', "to * by * none")
    slapd.delete(one.place)
    slapd.move(moved.place, slapd.former)
    findings = ask(corp(slapd), one, moved)
    assert {finding.verdict for finding in findings.values()} == {"departed"}


def test_hundreds_of_absent_people_are_asked_about_in_batches(slapd: Slapd) -> None:
    """Every absent person gets exactly one finding, however many there are."""
    people = _people(slapd, 2 * evidence.AT_ONCE + 30)
    gone = people[::2]
    slapd.delete(*(person.place for person in gone))
    findings = ask(corp(slapd), *people)
    assert {one for one, finding in findings.items() if finding.verdict == "departed"} == {person.external_id for person in gone}


def test_hostile_ids_and_places_are_asked_about_literally(slapd: Slapd) -> None:
    """An id or a place that looks like a filter matches nothing it should not."""
    _people(slapd, 3)
    ghosts = [Person("*)(objectClass=*", "uid=*", "", "", (), (), True), Person("\\2a\0", "not a dn", "", "", (), (), True)]
    findings = ask(corp(slapd), *ghosts)
    assert {finding.verdict for finding in findings.values()} == {"unproven"}


def test_another_server_that_still_shows_somebody_keeps_them(make_slapd: Callable[[], Slapd]) -> None:
    """A replica that lags or was restored removes nobody: what another server of `urls` still shows is no departure."""
    here, there = make_slapd(), make_slapd()
    for server in (here, there):
        server.add_people(5)
    settings = corp(here, urls=(here.url, there.url))
    people = {person.username: person for person in read(settings).persons}
    gone, moved, lagging = (people[f"u00000{number}"] for number in (1, 2, 3))
    for server in (here, there):
        server.delete(gone.place)
        server.move(moved.place, server.former)
    here.delete(lagging.place)
    found = ask(settings, gone, moved, lagging)
    assert {one: finding.verdict for one, finding in found.items()} == {
        gone.external_id: "departed", moved.external_id: "departed", lagging.external_id: "unproven",
    }  # fmt: skip
    assert there.url in found[lagging.external_id].why
    there.delete(lagging.place)
    assert ask(settings, lagging)[lagging.external_id].verdict == "departed"


def test_a_server_that_is_down_does_not_keep_anybody(make_slapd: Callable[[], Slapd]) -> None:
    """What one server proves stands while another cannot be asked; the evidence says so."""
    here, there = make_slapd(), make_slapd()
    here.add_people(3)
    settings = corp(here, urls=(here.url, there.url))
    person = read(settings).persons[0]
    here.delete(person.place)
    there.stop()
    finding = ask(settings, person)[person.external_id]
    assert finding.verdict == "departed"
    assert f"{there.url} could not be asked" in finding.evidence
