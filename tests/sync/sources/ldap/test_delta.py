"""Incremental reads of a real slapd: what has changed is named, and whatever is doubtful asks for a full read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sync.directory import Delta
from sync.errors import CursorLost
from sync.settings import Attributes, GroupSearch, SourceSettings
from sync.sources import open_source
from sync.sources.ldap.delta import Position
from sync.sources.ldap.following import stamp_of
from tests.servers.slapd import Slapd, person_id
from tests.servers.slapd_texts import DATABASE
from tests.sync.sources.ldap.corp import corp, read

SYNCPROV = f"olcOverlay={{0}}syncprov,{DATABASE}"


def people_of(server: Slapd, count: int) -> list[str]:
    """Load people and make one change over the wire: what slapadd loads moves no contextCSN."""
    people = server.add_people(count)
    server.modify(server.suffix, description="loaded")
    return people


def ask(settings: SourceSettings, cursor: str, *groups: str) -> Delta:
    """Return what has changed since `cursor`."""
    with open_source(settings, groups).open() as reading:
        return reading.delta(cursor)


def lost(settings: SourceSettings, cursor: str, *groups: str) -> str:
    """Return why nothing can be said from `cursor`."""
    with pytest.raises(CursorLost) as refused:
        ask(settings, cursor, *groups)
    return refused.value.message


def stamped(settings: SourceSettings, cursor: str) -> str:
    """Return a cursor by modifyTimestamp for the same places."""
    places = dict.fromkeys(msgspec.json.decode(cursor, type=Position).places, "19700101000000Z")
    return str(Position("timestamps", settings.urls[0], places))


def test_whoever_came_changed_moved_or_went_is_named(slapd: Slapd) -> None:
    """Content sync names exactly the entries that were added, edited, renamed, moved out of the base, filtered out or deleted; then nobody."""
    people = people_of(slapd, 30)
    settings = corp(slapd, filter="(!(employeeType=left))")
    before = read(settings).proof.cursor
    assert "content-sync" in before
    came = slapd.id_of(slapd.add_person("ann"))
    slapd.modify(people[0], sn="Other")
    slapd.move(people[1], rdn="uid=renamed")
    slapd.move(people[2], slapd.former)
    slapd.modify(people[3], employeeType="left")
    slapd.delete(people[4], people[5])
    changes = ask(settings, before)
    assert changes.touched == {came, *(person_id(number) for number in range(1, 7))}
    assert changes.how.startswith("content sync")
    assert ask(settings, changes.cursor).touched == frozenset()


def test_what_happens_during_a_full_read_is_named_afterwards(slapd: Slapd) -> None:
    """The cursor of a full read stands for the moment before it began."""
    people = people_of(slapd, 1500)
    with open_source(corp(slapd)).open() as reading:
        pages = reading.full()
        next(pages)
        slapd.modify(people[0], sn="Other")
        for _ in pages:
            pass
        cursor = reading.proof().cursor
    assert person_id(1) in ask(corp(slapd), cursor).touched


def test_a_hidden_entry_is_no_deleted_one(slapd: Slapd) -> None:
    """An access rule that becomes narrower makes nobody disappear between two polls; an edit behind it names the entry at most."""
    people = people_of(slapd, 10)
    cursor = read(corp(slapd)).proof.cursor
    slapd.set_acl(f'to dn.exact="{people[3]}" by * none', "to * by users read by * none")
    assert ask(corp(slapd), cursor).touched == frozenset()
    slapd.modify(people[3], sn="Behind")
    assert ask(corp(slapd), cursor).touched <= {person_id(4)}


def test_a_server_that_lost_its_log_of_deletions_concludes_nothing_from_silence(slapd: Slapd) -> None:
    """Without its log (kept in memory) a server sends who is present instead of who was deleted: that asks for a full read."""
    people = people_of(slapd, 30)
    cursor = read(corp(slapd)).proof.cursor
    slapd.restart()
    assert ask(corp(slapd), cursor).touched == frozenset(), "nothing has changed, and the server knows"
    slapd.modify(people[1], sn="Other")
    assert ask(corp(slapd), cursor).touched == {person_id(2)}, "since the restart it has a log again"
    slapd.delete(people[0])
    slapd.restart()
    assert "olcSpSessionlog" in lost(corp(slapd), cursor)


def test_a_log_of_deletions_that_was_trimmed_asks_for_a_full_read(slapd: Slapd) -> None:
    """A log of one entry cannot name three deleted people, nor do they go unnoticed."""
    slapd.configure(SYNCPROV, olcSpSessionlog="1")
    slapd.restart()
    people = people_of(slapd, 30)
    cursor = read(corp(slapd)).proof.cursor
    slapd.delete(*people[:3])
    assert "olcSpSessionlog" in lost(corp(slapd), cursor)


def test_a_restored_server_loses_the_cursor(make_slapd: Callable[[], Slapd]) -> None:
    """A server that was put back to an earlier state does not know what it said later."""
    first, second = make_slapd(), make_slapd()
    people_of(second, 5)
    cursor = read(corp(second)).proof.cursor
    newer = re.sub(r"csn=\d{14}", f"csn={stamp_of(time.time() + 60)[:-1]}", cursor)
    assert "newer than provider" in lost(corp(second), newer)
    assert "another server" in lost(corp(first), cursor)
    assert "set back" in lost(corp(second), cursor.replace("csn=2", "csn=3"))


@pytest.mark.parametrize("cursor", ["", "{", "null", '{"way": "other", "server": "", "places": {}}', '{"way": "timestamps"}'])
def test_a_cursor_that_is_none_is_lost(slapd: Slapd, cursor: str) -> None:
    """Whatever the store holds as a cursor, at worst everything is read again."""
    assert lost(corp(slapd), cursor)


def test_a_cookie_that_is_none_is_lost(slapd: Slapd) -> None:
    """A cookie that the server cannot read is answered by a full read, not by an empty answer."""
    people_of(slapd, 5)
    cursor = read(corp(slapd)).proof.cursor
    for cookie in ("", "nonsense", "rid=000,csn=never"):
        position = msgspec.json.decode(cursor, type=Position)
        broken = str(Position(position.way, position.server, dict.fromkeys(position.places, cookie)))
        try:
            touched = ask(corp(slapd), broken).touched
        except CursorLost:
            continue
        assert touched >= {person_id(number) for number in range(1, 6)}, cookie


def test_a_limited_account_gets_a_full_read(slapd: Slapd) -> None:
    """More changes than the account may read at once end in a lost cursor, never in a part of them."""
    people_of(slapd, 700)
    settings = corp(slapd, bind_dn=slapd.limited_dn)
    oldest = read(corp(slapd)).proof.cursor.replace("csn=2", "csn=1")
    assert "sizeLimitExceeded" in lost(settings, oldest)


def test_without_content_sync_changes_are_found_by_time(slapd: Slapd) -> None:
    """Where the provider overlay shows nothing, modifyTimestamp names whoever changed or moved; the deleted wait for a full read."""
    people = people_of(slapd, 20)
    settings = corp(slapd, attributes=Attributes(id="uid"))
    cursor = read(settings).proof.cursor
    assert "timestamps" in cursor
    slapd.modify(people[0], sn="Other")
    slapd.move(people[1], slapd.former)
    slapd.delete(people[2])
    changes = ask(settings, cursor)
    assert {"u000001", "u000002"} <= changes.touched
    assert "u000003" not in changes.touched
    assert "full reads" in changes.how
    again = ask(settings, changes.cursor)
    assert {"u000001", "u000002"} <= again.touched  # the overlap
    assert again.cursor == changes.cursor


def test_members_of_issuing_groups_are_read_every_time(slapd: Slapd) -> None:
    """A change of a group touches no entry of its people, and is seen all the same; a group that is not there is not found."""
    people = people_of(slapd, 5)
    group = slapd.add_group("ai", people[:2])
    gone = f"cn=gone,{slapd.groups}"
    cursor = read(corp(slapd), group).proof.cursor
    slapd.modify(group, member=people[1:4])
    changes = ask(corp(slapd), cursor, group, gone)
    assert changes.members == {group: frozenset(person_id(number) for number in (2, 3, 4))}
    assert changes.groups_found == {group: 3}


def test_a_changed_group_search_asks_for_a_full_read(slapd: Slapd) -> None:
    """Where groups list their members, a group that changed concerns people whom nothing names."""
    people = people_of(slapd, 5)
    group = slapd.add_group("ai", people[:2])
    settings = corp(slapd, groups=GroupSearch(base=slapd.groups))
    cursor = read(settings, group).proof.cursor
    slapd.modify(people[0], sn="Other")
    changes = ask(settings, cursor, group)
    assert person_id(1) in changes.touched
    slapd.modify(group, member=people[1:4])
    assert "the group cn=ai" in lost(settings, changes.cursor, group)


def test_a_server_that_cannot_be_asked_offers_no_cursor(slapd: Slapd) -> None:
    """Where neither ids are those of content sync nor modifyTimestamp may be searched there is no incremental read, and the proof says so."""
    people_of(slapd, 3)
    slapd.set_acl("to attrs=modifyTimestamp by * none", "to * by users read by * none")
    proof = read(corp(slapd, attributes=Attributes(id="uid"))).proof
    assert proof.cursor == ""
    assert "content-sync or timestamps" in proof.no_cursor


def test_a_server_that_hides_its_state_is_asked_for_a_cookie(slapd: Slapd) -> None:
    """An account that may not read contextCSN polls for nobody, and goes on from the cookie that this brings."""
    people = people_of(slapd, 3)
    slapd.set_acl("to attrs=contextCSN by * none", "to * by users read by * none")
    cursor = read(corp(slapd)).proof.cursor
    assert "content-sync" in cursor
    slapd.modify(people[0], sn="Other")
    assert ask(corp(slapd), cursor).touched == {person_id(1)}


def test_another_naming_context_loses_the_cursor(slapd: Slapd) -> None:
    """A root DSE that names other contexts than before (or none) changes what was looked at."""
    people_of(slapd, 3)
    cursor = read(corp(slapd)).proof.cursor
    position = msgspec.json.decode(cursor, type=Position)
    elsewhere: dict[str, Any] = {"ou=people,dc=example,dc=com": "rid=000"}
    assert "naming contexts" in lost(corp(slapd), str(Position(position.way, position.server, elsewhere)))
