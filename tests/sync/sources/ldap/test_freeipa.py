"""Reading FreeIPA, as far as a 389 Directory Server with its schema, its tree and its root entry stands for it."""

from __future__ import annotations

import uuid

from tests.servers.dirsrv import DirsrvTree
from tests.sync.sources.ldap.corp import ask, corp, read

CLASSES = ["inetOrgPerson", "ipaObject", "krbPrincipalAux"]


def _hire(tree: DirsrvTree, uid: str, **attributes: str) -> str:
    """Add a user as `ipa user-add` does, and return the DN."""
    return tree.add_person(uid, objectClass=CLASSES, **({"ipaUniqueID": str(uuid.uuid4()), "displayName": uid.title()} | attributes))


def test_freeipa_is_recognised_and_read_by_its_own_words(freeipa: DirsrvTree) -> None:
    """ipaUniqueID is the id; a disabled user is disabled, and a principal's expiration is the expiry date."""
    place = _hire(freeipa, "ada", krbPrincipalExpiration="20300101120000Z", krbPasswordExpiration="20200101000000Z")
    _hire(freeipa, "bob", nsAccountLock="TRUE")
    people = read(corp(freeipa))
    ada, bob = people.one("ada"), people.one("bob")
    assert (ada.external_id, ada.enabled, ada.expires_at) == (freeipa.id_of(place), True, 1_893_499_200_000)
    assert (bob.enabled, bob.expires_at, bob.emails[0].spelt) == (False, None, "bob@example.com")


def test_nested_groups_come_flat_from_memberof(freeipa: DirsrvTree) -> None:
    """memberOf names the groups that contain a user's groups too."""
    ada = _hire(freeipa, "ada")
    inner = freeipa.add_group("inner", [ada])
    outer = freeipa.add_group("outer", [inner])
    assert read(corp(freeipa)).one("ada").groups == (inner, outer)


def test_a_preserved_user_has_left_and_the_same_one_comes_back(freeipa: DirsrvTree) -> None:
    """`ipa user-del --preserve` is evidence; `ipa user-undel` brings back the same id."""
    settings = corp(freeipa)
    place = _hire(freeipa, "ada")
    (ada,) = read(settings).persons
    kept = freeipa.move(place, freeipa.deleted)
    assert read(settings).persons == []
    finding = ask(settings, ada)[ada.external_id]
    assert (finding.verdict, finding.why) == ("departed", "stands outside the base now")
    assert kept in finding.evidence
    freeipa.move(kept, freeipa.base)
    assert read(settings).persons == [ada]


def test_preserved_and_staged_users_are_nobody_under_a_base_that_holds_them(freeipa: DirsrvTree) -> None:
    """With the whole suffix as base, who waits in cn=provisioning is not read, whatever id they have; who is moved there has left."""
    settings = corp(freeipa, bases=(freeipa.suffix,))
    _hire(freeipa, "ada")
    leaver = _hire(freeipa, "bob")
    bob = read(settings).one("bob")
    staged = f"cn=staged users,cn=accounts,cn=provisioning,{freeipa.suffix}"
    for uid in ("new", "newer"):
        freeipa.add_person(uid, parent=staged, objectClass=CLASSES, ipaUniqueID="autogenerate")
    freeipa.move(leaver, freeipa.deleted)
    people = read(settings)
    assert (people.usernames, people.refused, people.proof.complete) == ({"ada"}, [], True)
    finding = ask(settings, bob)[bob.external_id]
    assert (finding.verdict, finding.why) == ("departed", "was set aside by the directory")


def test_a_deleted_user_has_left(freeipa: DirsrvTree) -> None:
    """`ipa user-del` without preserving leaves nothing at the place, and the container says so."""
    place = _hire(freeipa, "ada")
    (ada,) = read(corp(freeipa)).persons
    freeipa.delete(place)
    assert ask(corp(freeipa), ada)[ada.external_id].verdict == "departed"
    tombstone = ask(corp(freeipa, bind_dn=freeipa.admin_dn), ada)[ada.external_id]
    assert tombstone.why == "was deleted from the directory"
