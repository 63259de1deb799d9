"""Reading people from a real Active Directory domain controller."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from sync.directory import Person
from sync.errors import SourceRefused
from sync.settings import Attributes, Secret
from sync.sources import open_source
from sync.sources.ldap.filters import equals
from sync.sources.ldap.forms import GUID
from tests.servers.branch import Branch
from tests.sync.sources.ldap.corp import read
from tests.sync.sources.ldap.domain import corp_ad


def addresses(person: Person) -> list[tuple[str, bool]]:
    """Return the addresses of a person, and whether the directory marks them."""
    return [(email.spelt, email.marked) for email in person.emails]


def test_everybody_is_read_over_pages_and_nobody_else(branch: Branch) -> None:
    """The exact set of people comes back, over several pages, and what is no person does not: computers, contacts, groups, units."""
    dns = {branch.add_person(f"p{number:03d}", parent=branch.add_ou("paris") if not number else "") for number in range(130)}
    samba = branch.samba
    samba.add(f"CN=PC1,{branch.base}", objectClass="computer", sAMAccountName="PC1$", userAccountControl=4096)
    samba.add(f"CN=Carl,{branch.base}", objectClass="contact", mail="carl@example.com")
    samba.add(f"CN=Crew,{branch.base}", objectClass="group", sAMAccountName=branch.named("crew"))
    samba.add(f"CN=Msa,{branch.base}", objectClass="msDS-ManagedServiceAccount", sAMAccountName="msa$")
    seen = read(corp_ad(branch, page_size=30))
    assert {person.place for person in seen.persons} == dns
    assert len(seen.persons) == 130
    assert (seen.proof.complete, seen.proof.pages) == (True, 5)
    assert {person.external_id for person in seen.persons} == {branch.id_of(dn) for dn in dns}


def test_a_person_is_mapped_whole_without_a_word_of_configuration(branch: Branch) -> None:
    """Detected by its root entry: id, user name, name, addresses and groups come from where Active Directory keeps them."""
    dn = branch.add_person("zoë", displayName="Zoë Øst", mail="zoë@bücher.example")
    group = branch.add_group("crew", [dn])
    with open_source(corp_ad(branch), ()).open() as reading:
        ((zoe,),) = [page.persons for page in reading.full()]
        assert reading.vendor == "ad"
    assert (zoe.external_id, zoe.place, zoe.username, zoe.name) == (branch.id_of(dn), dn, branch.named("zoë"), "Zoë Øst")
    assert addresses(zoe) == [("zoë@bücher.example", True)]
    assert zoe.groups == (group.lower(),)
    assert (zoe.enabled, zoe.expires_at, zoe.dropped) == (True, None, ())


def test_proxy_addresses_mark_the_primary_and_leave_other_systems_out(branch: Branch) -> None:
    """SMTP: is the primary, smtp: the others, X500, SIP and EUM are passed over without a word; mail counts as primary only where none is marked."""
    proxies = ["smtp:a.old@example.com", "SMTP:Ann@example.com", "X500:/o=Corp/cn=ann", "sip:ann@sip.example.com", "EUM:ann;phone-context=x"]
    branch.add_person("ann", mail="ann.mail@example.com", proxyAddresses=proxies)
    branch.add_person("bob", mail="bob@example.com", proxyAddresses=["smtp:robert@example.com"])
    branch.add_person("cyn", mail="cyn@example.com", proxyAddresses=["SMTP:cyn@example.com", "smtp:no address"])
    branch.add_person("dan", mail=None)
    branch.add_person("eve", mail="Eve@Example.com", proxyAddresses=["smtp:e@example.com", "smtp:eve@example.com"])
    people = {person.username: person for person in read(corp_ad(branch)).persons}
    ann, bob, cyn, dan = (people[branch.named(name)] for name in ("ann", "bob", "cyn", "dan"))
    assert sorted(addresses(ann)) == [("Ann@example.com", True), ("a.old@example.com", False), ("ann.mail@example.com", False)]
    assert sorted(addresses(bob)) == [("bob@example.com", True), ("robert@example.com", False)]
    assert addresses(cyn) == [("cyn@example.com", True)]
    assert addresses(dan) == []
    (eve,) = read(corp_ad(branch, attributes=Attributes(emails=("proxyAddresses", "mail")), filter="(cn=Eve)")).persons
    assert sorted(addresses(eve)) == [("e@example.com", False), ("eve@example.com", True)]
    assert [(one.attribute, one.value) for one in cyn.dropped] == [("proxyAddresses", "smtp:no address")]
    assert ann.dropped == ()


def test_the_user_principal_name_is_an_address_only_where_configured(branch: Branch) -> None:
    """UPNs look like addresses and need not be any: they count when `emails` names them, and keys that are left out stay the vendor's."""
    branch.add_person("ann", mail="ann@example.com")
    upn = f"{branch.named('ann')}@corp.example.com"
    (plain,) = read(corp_ad(branch)).persons
    assert addresses(plain) == [("ann@example.com", True)]
    (both,) = read(corp_ad(branch, attributes=Attributes(emails=("mail", "userPrincipalName"), username="userPrincipalName"))).persons
    assert addresses(both) == [("ann@example.com", True), (upn, False)]
    assert (both.username, both.external_id) == (upn, plain.external_id)


@pytest.mark.parametrize("spelling", ["ann@example.com", "ANN@Example.com", "a.old@example.com"])
def test_one_person_is_found_by_any_address(branch: Branch, spelling: str) -> None:
    """Whichever address is asked for, and however it is spelt, the entry that lists it is found, behind its prefix too."""
    dn = branch.add_person("ann", mail="ann@example.com", proxyAddresses=["SMTP:ann@example.com", "smtp:a.old@example.com"])
    with open_source(corp_ad(branch), ()).open() as reading:
        assert [person.place for person in reading.find(spelling).persons] == [dn]


STATES: dict[str, tuple[dict[str, Any], bool, int | None]] = {
    "enabled": ({}, True, None),
    "disabled": ({"userAccountControl": 514}, False, None),
    "disabled, with other flags": ({"userAccountControl": 514 | 0x10000 | 0x20}, False, None),
    "never expires, as 0": ({"accountExpires": "0"}, True, None),
    "expires in 2030": ({"accountExpires": "135379296000000000"}, True, 1893456000000),
    "expired in 2020": ({"accountExpires": "132223104000000000"}, True, 1577836800000),
    "password never set": ({"userAccountControl": 544}, True, None),
}


@pytest.mark.parametrize(("attributes", "enabled", "expires_at"), STATES.values(), ids=STATES.keys())
def test_state_is_read_from_flags_and_filetimes(branch: Branch, attributes: dict[str, Any], enabled: bool, expires_at: int | None) -> None:
    """ACCOUNTDISABLE disables and nothing else does; accountExpires is a moment, 0 and the greatest number are never."""
    password = f'"{branch.samba.password}"'.encode("utf-16-le")
    branch.add_person("ann", **{"unicodePwd": password, "userAccountControl": 512, **attributes})
    (ann,) = read(corp_ad(branch)).persons
    assert (ann.enabled, ann.expires_at) == (enabled, expires_at)
    if expires_at:
        assert datetime.fromtimestamp(expires_at / 1000, UTC).strftime("%m-%d") == "01-01"


def _wrong_password(branch: Branch, dn: str) -> SourceRefused:
    """Let somebody read with a wrong password, at two servers of the domain; return what came of it."""
    urls = (branch.samba.ldaps_url, branch.samba.catalogue_url)
    with pytest.raises(SourceRefused) as refusal:
        read(corp_ad(branch, urls=urls, bind_dn=dn, password=Secret("wrong")))
    return refusal.value


def _with_password(branch: Branch) -> str:
    return branch.add_person("ann", unicodePwd=f'"{branch.samba.password}"'.encode("utf-16-le"), userAccountControl=512)


def test_a_lock_out_disables_nobody(branch: Branch) -> None:
    """Somebody who mistyped the password too often is locked out by the directory for a while, and keeps the key."""
    dn = _with_password(branch)
    with branch.samba.locking_out(after=1):
        _wrong_password(branch, dn)
    assert int(branch.samba.value_of(dn, "lockoutTime")) > 0
    assert [person.enabled for person in read(corp_ad(branch)).persons] == [True]


def test_a_wrong_password_is_counted_once(branch: Branch) -> None:
    """No second server hears it: the domain counts them all."""
    dn = _with_password(branch)
    with branch.samba.locking_out(after=5):
        assert _wrong_password(branch, dn).code == "invalid_credentials"
        assert branch.samba.value_of(dn, "badPwdCount") == b"1"


def test_a_hidden_state_is_not_taken_for_an_enabled_one(branch: Branch) -> None:
    """Whoever does not show userAccountControl is refused by name; the others are read, and the read stays complete."""
    branch.add_person("ann")
    hidden = branch.add_person("bob", userAccountControl=546)
    branch.hide(hidden, "userAccountControl")
    seen = read(corp_ad(branch))
    assert seen.usernames == {branch.named("ann")}
    assert [(refused.place, refused.external_id) for refused in seen.refused] == [(hidden, branch.id_of(hidden))]
    assert "userAccountControl" in seen.refused[0].why
    assert seen.proof.complete


def test_renames_and_moves_keep_the_id(branch: Branch) -> None:
    """Another CN, another sAMAccountName, another unit, another address: the same person."""
    dn = branch.add_person("ann")
    (before,) = read(corp_ad(branch)).persons
    dn = branch.samba.move(dn, branch.add_ou("paris"), rdn="CN=Ann O'Nyme\\, Dr.")
    branch.samba.modify(dn, sAMAccountName=branch.named("other"), mail="other@example.com")
    (after,) = read(corp_ad(branch)).persons
    assert after.external_id == before.external_id
    assert (after.place, after.username) == (dn, branch.named("other"))


def test_starttls_reads_the_same_people_and_clear_text_is_refused_with_a_remedy(branch: Branch) -> None:
    """Domain controllers take passwords only over TLS; the error says so."""
    branch.add_person("ann")
    settings = corp_ad(branch, urls=(branch.samba.url,), tls="starttls")
    assert read(settings).persons == read(corp_ad(branch)).persons
    with pytest.raises(SourceRefused) as refusal:
        read(corp_ad(branch, urls=(branch.samba.url,), tls="plain", ca_file=None, allow_plaintext=True))
    assert refusal.value.code == "stronger_auth_required"
    assert "ldaps" in refusal.value.remedy


def test_references_to_other_partitions_are_passed_over(branch: Branch) -> None:
    """A search from the domain's root brings continuation references; nobody follows them, and the read is complete."""
    branch.add_person("ann")
    wanted = f"(&(sAMAccountType=805306368)(sAMAccountName={branch.tag}-*))"
    seen = read(corp_ad(branch, bases=(branch.samba.suffix,), filter=wanted))
    assert (seen.usernames, seen.proof.complete) == ({branch.named("ann")}, True)


def test_the_global_catalogue_is_read_as_well(branch: Branch) -> None:
    """On its own port, by the same names."""
    branch.add_person("ann")
    assert read(corp_ad(branch, urls=(branch.samba.catalogue_url,))).persons == read(corp_ad(branch)).persons


def test_two_domains_are_two_sources_and_a_dead_controller_is_passed_over(branch: Branch) -> None:
    """Controllers of one domain stand in `urls`, tried in order; who is in one base is not in the other."""
    branch.add_person("ann")
    branch.add_person("bob", parent=branch.former)
    dead = "ldaps://127.0.0.1:1"
    first = read(corp_ad(branch, urls=(dead, branch.samba.ldaps_url)))
    assert (first.usernames, first.server) == ({branch.named("ann")}, branch.samba.ldaps_url)
    assert read(corp_ad(branch, name="other", bases=(branch.former,))).usernames == {branch.named("bob")}


@pytest.mark.parametrize("awkward", [b"\\()*\0 \xff\x80" * 2, bytes(range(16)), b"\x5c" * 16, b"ab" * 8])
def test_any_sixteen_octets_are_asked_for_as_they_are(branch: Branch, awkward: bytes) -> None:
    """Whatever octets a GUID is made of, brackets and backslashes among them, the server is asked for exactly these."""
    text = GUID.read(awkward)
    assert text == str(uuid.UUID(bytes_le=awkward))
    assert GUID.write(text) == awkward
    dn = branch.samba.add(f"CN=Odd,{branch.base}", objectClass="contact", thumbnailPhoto=awkward)
    wanted = equals("thumbnailPhoto", awkward)
    assert branch.samba.find(branch.base, wanted) == [dn]


@pytest.mark.parametrize("value", [b"", b"x" * 15, b"x" * 17])
def test_other_lengths_are_no_ids(value: bytes) -> None:
    """Nothing but sixteen octets is read as a GUID."""
    assert GUID.read(value) is None
