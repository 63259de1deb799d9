"""Incremental reads of a real 389 Directory Server, by modifyTimestamp."""

from __future__ import annotations

from sync.sources import open_source
from tests.servers.dirsrv import DirsrvTree
from tests.sync.sources.ldap.corp import corp, read


def test_whoever_changed_came_or_moved_is_named_by_the_id_that_is_kept(dirsrv: DirsrvTree) -> None:
    """Ids are those of a full read; whoever is moved out of the base is named as well; the deleted wait for a full read."""
    dirsrv.add_people(20)
    people = {person.username: person for person in read(corp(dirsrv)).persons}
    proof = read(corp(dirsrv)).proof
    assert "timestamps" in proof.cursor, proof.no_cursor
    dirsrv.modify(people["u000001"].place, sn="Other")
    dirsrv.move(people["u000002"].place, dirsrv.former)
    dirsrv.delete(people["u000003"].place)
    dirsrv.add_person("new")
    with open_source(corp(dirsrv)).open() as reading:
        delta = reading.delta(proof.cursor)
        found = {person.username for person in reading.find_ids(delta.touched).persons}
    assert {people["u000001"].external_id, people["u000002"].external_id, read(corp(dirsrv)).one("new").external_id} <= delta.touched
    assert "u000002" not in found
    assert {"u000001", "new"} <= found


def test_members_of_an_issuing_group_are_read_every_time(dirsrv: DirsrvTree) -> None:
    """The MemberOf plug-in says who is in a group now, by the ids that are kept."""
    ada, bob = (dirsrv.add_person(uid) for uid in ("ada", "bob"))
    group = dirsrv.add_group("ai", [ada])
    before = read(corp(dirsrv), group)
    dirsrv.modify(group, member=[bob])
    with open_source(corp(dirsrv), [group]).open() as reading:
        delta = reading.delta(before.proof.cursor)
    assert delta.members == {group: frozenset({before.one("bob").external_id})}
