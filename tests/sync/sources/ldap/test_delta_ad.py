"""Incremental reads of a real Active Directory domain controller, by uSNChanged."""

from __future__ import annotations

import msgspec
import pytest

from sync.directory import Delta
from sync.errors import CursorLost
from sync.settings import SourceSettings
from sync.sources import normalise_group, open_source
from sync.sources.ldap.delta import Position
from tests.servers.branch import Branch
from tests.sync.sources.ldap.corp import read
from tests.sync.sources.ldap.domain import corp_ad


def ask(settings: SourceSettings, cursor: str, *groups: str) -> Delta:
    """Return what has changed since `cursor`."""
    with open_source(settings, [normalise_group("ldap", group) for group in groups]).open() as reading:
        return reading.delta(cursor)


def changed(cursor: str, number: int, database: str = "") -> str:
    """Return a cursor with another number, or of another database."""
    position = msgspec.json.decode(cursor, type=Position)
    said = {place: f"{number} {database or words.partition(' ')[2]}" for place, words in position.places.items()}
    return str(msgspec.structs.replace(position, places=said))


def number_of(cursor: str) -> int:
    (said,) = msgspec.json.decode(cursor, type=Position).places.values()
    return int(said.partition(" ")[0])


def test_whoever_came_changed_moved_or_was_disabled_is_named(branch: Branch) -> None:
    """The controller names every entry it wrote since, wherever it stands now; what is to be said of it is read by its GUID."""
    dns = [branch.add_person(f"p{number}") for number in range(20)]
    ids = [branch.id_of(dn) for dn in dns]
    cursor = read(corp_ad(branch)).proof.cursor
    assert '"usn"' in cursor
    branch.samba.modify(dns[0], displayName="Other")
    branch.samba.move(dns[1], rdn="CN=Renamed")
    branch.samba.move(dns[2], branch.former)
    branch.samba.modify(dns[3], userAccountControl=546)
    came = branch.id_of(branch.add_person("came"))
    changes = ask(corp_ad(branch), cursor)
    assert {*ids[:4], came} <= changes.touched
    assert not changes.touched & set(ids[5:])
    assert not ask(corp_ad(branch), changes.cursor).touched & {*ids, came}
    with open_source(corp_ad(branch)).open() as reading:
        found = {person.external_id: person for person in reading.find_ids(changes.touched).persons}
    assert ids[2] not in found
    assert not found[ids[3]].enabled


@pytest.mark.parametrize("sees", [True, False])
def test_the_deleted_are_named_to_an_account_that_may_see_them(branch: Branch, sees: bool) -> None:
    """An account without that right hears nothing of them, and a full read has to notice."""
    settings = corp_ad(branch, bind_dn=branch.samba.undertaker if sees else branch.samba.reader)
    dn = branch.add_person("gone")
    gone = branch.id_of(dn)
    cursor = read(settings).proof.cursor
    branch.samba.delete(dn)
    assert (gone in ask(settings, cursor).touched) == sees


def test_members_are_those_by_name_by_number_and_by_groups_in_groups(branch: Branch) -> None:
    """Nobody's entry changes when a group within an issuing group gains somebody, and they are in it all the same."""
    ann, bob, cyn = (branch.add_person(name) for name in ("ann", "bob", "cyn"))
    inner = branch.add_group("inner", [ann])
    outer = branch.add_group("outer", [inner])
    cursor = read(corp_ad(branch), normalise_group("ldap", outer)).proof.cursor
    branch.samba.modify(inner, member=[ann, bob])
    number = int.from_bytes(branch.samba.value_of(inner, "objectSid")[-4:], "little")
    branch.samba.modify(inner, member=[ann, bob, cyn])
    branch.samba.modify(cyn, primaryGroupID=number)
    changes = ask(corp_ad(branch), cursor, outer)
    assert changes.members == {normalise_group("ldap", outer): frozenset(branch.id_of(dn) for dn in (ann, bob, cyn))}
    seen = read(corp_ad(branch), normalise_group("ldap", outer))
    assert {person.external_id for person in seen.persons if normalise_group("ldap", outer) in person.groups} == {
        branch.id_of(dn) for dn in (ann, bob, cyn)
    }


@pytest.mark.parametrize("doubt", ["restored", "other database", "nonsense"])
def test_a_controller_that_is_another_or_was_restored_loses_the_cursor(branch: Branch, doubt: str) -> None:
    """Numbers hold for one database in one state only."""
    branch.add_person("ann")
    cursor = read(corp_ad(branch)).proof.cursor
    broken = {
        "restored": changed(cursor, number_of(cursor) + 10_000_000),
        "other database": changed(cursor, number_of(cursor), "00" * 16),
        "nonsense": cursor.replace(str(number_of(cursor)), "many"),
    }[doubt]
    with pytest.raises(CursorLost):
        ask(corp_ad(branch), broken)
