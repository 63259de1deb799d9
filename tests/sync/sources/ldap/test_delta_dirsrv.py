"""Incremental reads of a real 389 Directory Server, by content sync, and by modifyTimestamp where it has none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest

from sync.errors import CursorLost
from sync.sources import open_source
from sync.sources.ldap.delta import Position
from tests.servers.dirsrv import Dirsrv, DirsrvTree
from tests.sync.sources.ldap.corp import corp, read


def test_whoever_came_changed_moved_or_went_is_named(dirsrv: DirsrvTree) -> None:
    """Content sync names exactly those, by the ids that are kept; then nobody."""
    dirsrv.add_people(20)
    before = read(corp(dirsrv))
    people = {person.username: person for person in before.persons}
    assert "content-sync" in before.proof.cursor, before.proof.no_cursor
    dirsrv.modify(people["u000001"].place, sn="Other")
    dirsrv.move(people["u000002"].place, dirsrv.former)
    dirsrv.delete(people["u000003"].place)
    dirsrv.add_person("new")
    with open_source(corp(dirsrv)).open() as reading:
        delta = reading.delta(before.proof.cursor)
        after = reading.delta(delta.cursor)
    new = read(corp(dirsrv)).one("new").external_id
    assert delta.touched == {new, *(people[f"u00000{number}"].external_id for number in (1, 2, 3))}
    assert after.touched == frozenset()


def test_a_cookie_of_somebody_else_or_of_another_time_is_lost(dirsrv: DirsrvTree) -> None:
    """A cookie made out for another account, and one whose changes the server no longer has (or does not have yet), ask for a full read."""
    dirsrv.add_people(3)
    cursor = read(corp(dirsrv)).proof.cursor
    position = msgspec.json.decode(cursor, type=Position)
    (place, cookie), *_ = position.places.items()
    for other in (cookie.replace("cn=sync", "cn=limited"), f"{cookie.rpartition('#')[0]}#999999999", "nonsense"):
        broken = str(msgspec.structs.replace(position, places={place: other}))
        with open_source(corp(dirsrv)).open() as reading, pytest.raises(CursorLost):
            reading.delta(broken)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dirsrv]:
    """Yield a server that may be put back and trimmed: nobody else uses it."""
    with Dirsrv(tmp_path_factory.mktemp("apart")).prepare() as server:
        yield server.start()


def test_a_server_that_was_put_back_is_not_believed_once_its_numbers_have_caught_up(apart: Dirsrv) -> None:
    """Its numbers of changes begin again: a later poll would be answered as if whoever came first after the restoration had not."""
    grown = apart.plant()
    backup = grown.export()
    grown.add_people(10)
    cursor = read(corp(grown)).proof.cursor
    apart.restore(grown, backup)
    came = {grown.add_person(f"later{number}") for number in range(60)}
    now = read(corp(grown))
    believed = msgspec.structs.replace(msgspec.json.decode(cursor, type=Position), data=msgspec.json.decode(now.proof.cursor, type=Position).data)
    with open_source(corp(grown)).open() as reading:
        named = reading.delta(str(believed)).touched
        assert 0 < len(named & {person.external_id for person in now.persons}) < len(came)
        with pytest.raises(CursorLost, match="started anew"):
            reading.delta(cursor)


def test_a_log_that_was_trimmed_asks_for_a_full_read(apart: Dirsrv) -> None:
    """389 would end the poll well without naming those whose changes it has forgotten; what is still in its log can be relied on."""
    grown = apart.plant()
    log = "cn=Retro Changelog Plugin,cn=plugins,cn=config"
    grown.modify(log, **{"nsslapd-changelogmaxage": "1s", "nsslapd-changelog-trim-interval": "1s"})
    apart.restore(grown, grown.export())
    cursor = read(corp(grown)).proof.cursor
    grown.add_people(3)
    with open_source(corp(grown)).open() as reading, pytest.raises(CursorLost, match="trimmed"):
        for _ in range(200):
            reading.delta(cursor)
            time.sleep(0.1)
    last = read(corp(grown)).proof.cursor
    with open_source(corp(grown)).open() as reading:
        assert reading.delta(last).touched == frozenset()


@pytest.fixture
def without_content_sync(dirsrv: DirsrvTree) -> Iterator[None]:
    """Let nobody use the control."""
    with dirsrv.without_content_sync():
        yield


@pytest.mark.usefixtures("without_content_sync")
def test_an_account_without_content_sync_is_told_by_time(dirsrv: DirsrvTree) -> None:
    """Where the control may not be used, modifyTimestamp serves: whoever is moved out of the base is named as well, the deleted are not."""
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
