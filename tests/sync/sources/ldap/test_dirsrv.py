"""Reading a real 389 Directory Server: everybody, with their state and groups, and what its limits do."""

from __future__ import annotations

from pathlib import Path

import ldap3
import pytest

from sync.errors import SourceIncomplete
from sync.settings import Attributes, GroupSearch
from sync.sources import open_source
from sync.sources.ldap.forms import NSUNIQUEID
from tests.servers.dirsrv import Dirsrv, DirsrvTree
from tests.sync.sources.ldap.corp import corp, read


def test_everybody_is_read_page_by_page_under_their_nsuniqueid(dirsrv: DirsrvTree) -> None:
    """With nothing said about attributes, 389 is recognised and read by its own words, to the last page."""
    dirsrv.add_people(230)
    everybody = read(corp(dirsrv, page_size=50))
    assert (everybody.proof.complete, everybody.proof.entries, everybody.proof.pages) == (True, 230, 5)
    assert everybody.usernames == {f"u{number:06d}" for number in range(1, 231)}
    one = everybody.one("u000007")
    assert NSUNIQUEID.write(one.external_id) == dirsrv.id_of(one.place)
    assert (one.name, [email.spelt for email in one.emails]) == ("u000007", ["u000007@example.com"])
    with open_source(corp(dirsrv)).open() as reading:
        assert reading.find("U000007@example.com").persons == [one]
        assert reading.find_ids([one.external_id]).persons == [one]
        assert reading.vendor == "389ds"


def test_renamed_and_moved_people_keep_their_id(dirsrv: DirsrvTree) -> None:
    """A new uid and a new place are the same person."""
    elsewhere = dirsrv.add(f"ou=inner,{dirsrv.base}", objectClass="organizationalUnit")
    before = {dirsrv.add_person("ada"), dirsrv.add_person("bob")}
    ids = {person.username: person.external_id for person in read(corp(dirsrv)).persons}
    ada, bob = sorted(before)
    dirsrv.move(ada, rdn="uid=adele")
    dirsrv.move(dirsrv.move(bob, dirsrv.former), elsewhere)
    after = {person.username: person for person in read(corp(dirsrv)).persons}
    assert {name: person.external_id for name, person in after.items()} == {"adele": ids["ada"], "bob": ids["bob"]}
    assert after["bob"].place == f"uid=bob,{elsewhere}"


def test_restored_people_are_who_they_were(tmp_path: Path) -> None:
    """A backup brings people back under the ids that they had; somebody made anew by hand is somebody else."""
    with Dirsrv(tmp_path).prepare().start() as server:
        grown = server.plant()
        places = [grown.add_person(uid) for uid in ("ada", "bob")]
        before = {person.username: person for person in read(corp(grown)).persons}
        backup = grown.export()
        grown.delete(*places)
        grown.add_person("bob")
        assert read(corp(grown)).one("bob").external_id != before["bob"].external_id
        server.restore(grown, backup)
        assert {person.username: person for person in read(corp(grown)).persons} == before


def test_whoever_is_locked_is_disabled(dirsrv: DirsrvTree) -> None:
    """nsAccountLock disables with any value but FALSE, set on the entry or given by a role; a lock-out that ends by itself does not."""
    for uid, lock in (("free", None), ("unlocked", "false"), ("locked", "TRUE"), ("odd", "yes")):
        dirsrv.add_person(uid, nsAccountLock=lock)
    dirsrv.add_person("tired", passwordRetryCount="9", accountUnlockTime="20991231000000Z")
    dirsrv.lock_by_role(dirsrv.add_person("roled"))
    enabled = {person.username: person.enabled for person in read(corp(dirsrv)).persons}
    assert enabled == {"free": True, "unlocked": True, "locked": False, "odd": False, "tired": True, "roled": False}


def test_locked_people_stay_disabled_where_the_vendor_is_hidden(dirsrv: DirsrvTree) -> None:
    """Read as a directory of which nothing is known, nobody whom 389 has locked is enabled."""
    dirsrv.add_person("free")
    dirsrv.add_person("locked", nsAccountLock="TRUE")
    people = read(corp(dirsrv, vendor="generic", attributes=Attributes(id="nsUniqueId"))).persons
    assert {person.username: person.enabled for person in people} == {"free": True, "locked": False}


def test_an_expiry_date_is_read(dirsrv: DirsrvTree) -> None:
    """shadowExpire is read as on OpenLDAP: the day itself is still good."""
    dirsrv.add_person("ada", objectClass=["inetOrgPerson", "shadowAccount"], shadowExpire="20000")
    assert read(corp(dirsrv)).one("ada").expires_at == 20_001 * 86_400_000


def test_groups_are_read_either_way(dirsrv: DirsrvTree) -> None:
    """The memberOf plug-in and a search for groups, nested ones and groups of unique names too, say the same."""
    ada = dirsrv.add_person("ada")
    inner = dirsrv.add_group("inner", [ada])
    outer = dirsrv.add_group("outer", [inner])
    unique = dirsrv.add(f"cn=unique,{dirsrv.groups}", objectClass="groupOfUniqueNames", uniqueMember=[ada])
    assert read(corp(dirsrv)).one("ada").groups == (inner, outer)
    everything = read(corp(dirsrv, groups=GroupSearch(base=dirsrv.groups)), inner, "cn=nobody,dc=test")
    assert (everything.one("ada").groups, everything.proof.groups_found) == ((inner, outer), {inner: 1})
    search = GroupSearch(base=dirsrv.groups, filter="(objectClass=groupOfUniqueNames)", member="uniqueMember")
    assert read(corp(dirsrv, groups=search)).one("ada").groups == (unique,)


def test_names_outside_ascii_are_the_same_everywhere(dirsrv: DirsrvTree) -> None:
    """A DN with umlauts, commas and quotes is one place, as the entry's name and as a group's member."""
    team = dirsrv.add(f'ou=Bücher\\, \\"Karten\\" \\+ Öl,{dirsrv.base}', objectClass="organizationalUnit")
    zoe = dirsrv.add_person("zoe", parent=team, displayName="Zoë Ångström", mail="zoe@example.com")
    group = dirsrv.add_group("größe", [zoe])
    person = read(corp(dirsrv)).one("zoe")
    assert (person.name, person.groups) == ("Zoë Ångström", (group,))
    searched = read(corp(dirsrv, groups=GroupSearch(base=dirsrv.groups)))
    assert searched.one("zoe").groups == (group,)


def test_one_word_may_be_another_than_the_vendor_s(dirsrv: DirsrvTree) -> None:
    """A key of [source.attributes] replaces one word of the preset and leaves the others."""
    dirsrv.add_person("ada", employeeNumber="A-17")
    ada = read(corp(dirsrv, attributes=Attributes(id="employeeNumber"))).one("ada")
    assert (ada.external_id, ada.enabled, ada.emails[0].spelt) == ("a-17", True, "ada@example.com")


LIMITS = {
    "a page bigger than the size limit": ({"nsPagedSizeLimit": "20"}, "size_limit"),
    "more people than may be looked through": ({"nsLookThroughLimit": "60"}, "admin_limit"),
    "the same for paged searches": ({"nsPagedLookThroughLimit": "60"}, "admin_limit"),
}


@pytest.mark.parametrize(("limits", "code"), LIMITS.values(), ids=LIMITS.keys())
def test_a_limit_ends_the_read_with_what_to_do(dirsrv: DirsrvTree, limits: dict[str, str], code: str) -> None:
    """Half a directory is an error that names the account, what 389 calls the limit, and what to set; with that it is read to the end."""
    dirsrv.add_people(120)
    dirsrv.modify(dirsrv.limited_dn, **limits)
    settings = corp(dirsrv, bind_dn=dirsrv.limited_dn, page_size=50)
    with pytest.raises(SourceIncomplete) as caught:
        read(settings)
    assert caught.value.code == code
    assert dirsrv.limited_dn in caught.value.remedy
    assert "olcLimits" not in caught.value.remedy
    for name, value in (line.split(": ") for line in caught.value.remedy.split("`")[1::2]):
        dirsrv.modify(dirsrv.limited_dn, **{name: value})
    assert read(settings).proof.entries == 120


def test_a_limit_of_the_whole_server_is_met_in_the_same_way(dirsrv: DirsrvTree) -> None:
    """The defaults of the server stop an account without limits of its own, and never one whose limits are lifted."""
    dirsrv.add_people(120)
    database = "cn=config,cn=ldbm database,cn=plugins,cn=config"
    with dirsrv.connect() as connection:
        connection.modify(database, {"nsslapd-lookthroughlimit": [(ldap3.MODIFY_REPLACE, ["50"])]})
    try:
        with pytest.raises(SourceIncomplete, match="adminLimitExceeded"):
            read(corp(dirsrv, bind_dn=dirsrv.limited_dn))
        assert read(corp(dirsrv)).proof.entries == 120
    finally:
        with dirsrv.connect() as connection:
            connection.modify(database, {"nsslapd-lookthroughlimit": [(ldap3.MODIFY_REPLACE, ["5000"])]})
