"""Binding by Kerberos (SASL GSSAPI, RFC 4752): against the domain controller, whose realm this is, and a slapd in the same realm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gssapi.raw import ChannelBindings

from sync.errors import ConfigError, SourceRefused, SourceUnavailable
from sync.settings import Secret as Hidden
from sync.settings import SourceSettings
from sync.sources import open_source
from sync.sources.ldap.probe import probe
from tests.servers.branch import Branch
from tests.servers.dirsrv import Dirsrv
from tests.servers.kerberos import Realm, keytab, stuck_clock
from tests.servers.liar import Liar
from tests.servers.samba import Samba
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import corp, read
from tests.sync.sources.ldap.domain import corp_ad
from tests.sync.test_with_samba import connect
from tests.sync.world import World

PRINCIPAL = f"reader@{Realm.name}"


@pytest.fixture(scope="module")
def known(samba: Samba, tmp_path_factory: pytest.TempPathFactory) -> Realm:
    """The realm, which knows the domain controller by its address and a slapd as localhost, and a keytab of the ordinary bind account."""
    realm = Realm(samba, tmp_path_factory.mktemp("realm"))
    realm.serve(f"CN=DC1,OU=Domain Controllers,{samba.suffix}", f"ldap/{samba.address}")
    realm.serve(samba.add_user(f"CN=slapd,CN=Users,{samba.suffix}"), "ldap/localhost")
    realm.keytab_of("reader")
    return realm


@pytest.fixture
def realm(known: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Realm]:
    """The same, in force for one test: where tickets would be left is a file that is never to be."""
    monkeypatch.setenv("KRB5_CONFIG", str(known.use))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{known.folder}/tickets")
    yield known
    assert not (known.folder / "tickets").exists()


def by_kerberos(realm: Realm, keys: Path | None = None, principal: str = PRINCIPAL) -> dict[str, Any]:
    """Return the settings of a bind by Kerberos, with the right keytab unless another is given."""
    file = keys or realm.folder / "reader.keytab"
    return {"sasl": "gssapi", "principal": principal, "keytab_file": file, "keytab_mark": Hidden(str(file)), "bind_dn": "", "password": None}


def refused(settings: SourceSettings, kind: type[Exception] = SourceRefused) -> str:
    """Return the code with which a read fails."""
    with pytest.raises(kind) as failure:
        read(settings)
    return str(getattr(failure.value, "code", ""))


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_a_domain_is_read_with_a_keytab_alone(realm: Realm, branch: Branch, tls: str) -> None:
    """No password, no kinit, no ticket in any file: the keytab binds, everybody is read, and check names the principal and the rights."""
    branch.add_person("ann")
    url = branch.samba.ldaps_url if tls == "ldaps" else branch.samba.url
    settings = corp_ad(branch, urls=(url,), tls=tls, **by_kerberos(realm))
    assert [person.name for person in read(settings).persons] == ["Ann"]
    found = {step.step.partition(" ")[0]: step for step in probe(settings)}
    assert found["bind"].detail == f"by Kerberos as {PRINCIPAL}"
    assert all(step.ok for step in found.values())
    assert "may change nothing" in found["writing"].detail


def test_two_refused_keytabs_are_the_last(realm: Realm, branch: Branch, world: World) -> None:
    """A wrong key counts as a wrong password: after two runs no more, until the keytab is another one."""
    branch.add_person("ann")
    wrong = keytab(realm.folder / "wrong.keytab", PRINCIPAL)
    connect(world, branch, **by_kerberos(realm, wrong))
    for _ in range(2):
        run = world.sync(expect="failed")
        assert run.error and (run.error.code, "Preauthentication failed" in run.error.message) == ("invalid_credentials", True)
    run = world.sync(expect="failed")
    assert run.error and f"refused {PRINCIPAL} 2 times; rosterd does not try again" in run.error.message
    connect(world, branch, **by_kerberos(realm))
    assert world.sync().entries == 1


def test_accounts_that_are_not_there_or_disabled_are_refused(realm: Realm, branch: Branch) -> None:
    """Whoever the realm does not know is refused by name, and so is somebody whom it has disabled."""
    ghost = f"ghost@{realm.name}"
    assert refused(corp_ad(branch, **by_kerberos(realm, keytab(realm.folder / "ghost.keytab", ghost), ghost))) == "invalid_credentials"
    gone = branch.samba.add_user(f"CN=gone,{branch.base}")
    keys = realm.keytab_of("gone")
    branch.samba.modify(gone, userAccountControl=514)
    assert refused(corp_ad(branch, **by_kerberos(realm, keys, f"gone@{realm.name}"))) == "invalid_credentials"


def test_a_keytab_without_a_key_for_the_principal_is_not_used(realm: Realm, branch: Branch, tmp_path: Path) -> None:
    """Somebody else's keytab, or none: an error that names file and principal, and no refused bind."""
    other = corp_ad(branch, **by_kerberos(realm, principal=f"other@{realm.name}"))
    assert refused(other) == "keytab_unusable"
    assert refused(corp_ad(branch, **by_kerberos(realm, tmp_path / "nowhere"))) == "keytab_unusable"


def test_a_centre_that_is_not_there_or_lives_in_another_time_fails_the_run(realm: Realm, branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is said for what it is, quickly; neither counts as a refused bind."""
    settings = corp_ad(branch, **by_kerberos(realm))
    for centre, code in (("127.0.0.1:1", "kdc_unreachable"), (stuck_clock(realm.name), "clock_skew")):
        monkeypatch.setenv("KRB5_CONFIG", str(realm.configure("other.conf", centre)))
        assert refused(settings, SourceUnavailable) == code
    monkeypatch.setenv("KRB5_CONFIG", str(realm.folder / "none.conf"))
    (realm.folder / "none.conf").write_text("[libdefaults]\ndns_lookup_kdc = false\n")
    assert refused(settings, SourceUnavailable) == "kdc_unreachable"


def test_the_package_may_be_missing(realm: Realm, branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error says what to install; all other binds need it not."""
    monkeypatch.setitem(sys.modules, "gssapi", None)
    assert refused(corp_ad(branch, **by_kerberos(realm))) == "kerberos_missing"
    assert read(corp_ad(branch)).persons == []


def test_kerberos_without_its_keys_or_in_the_clear_is_a_mistake(known: Realm) -> None:
    """Neither without a keytab, nor beside a bind DN, nor without TLS unless that is said twice."""
    good = {"urls": ("ldaps://dc1",), "bases": ("dc=x",), **by_kerberos(known)}
    assert open_source(SourceSettings("corp", "ldap", 0, **good))
    for changes in ({"keytab_file": None}, {"principal": ""}, {"bind_dn": "cn=x"}, {"tls": "plain", "urls": ("ldap://dc1",)}):
        with pytest.raises(ConfigError):
            open_source(SourceSettings("corp", "ldap", 0, **(good | changes)))


# -- OpenLDAP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(realm: Realm, make_slapd: Callable[[], Slapd], monkeypatch: pytest.MonkeyPatch) -> Slapd:
    """A slapd that is ldap/localhost of the realm, and knows cn=sync by the principal of the ordinary bind account."""
    monkeypatch.setenv("KRB5_KTNAME", str(realm.keytab_of("ldap/localhost")))
    slapd = make_slapd()
    slapd.configure("cn=config", olcSaslHost="localhost", olcAuthzRegexp=f"uid={PRINCIPAL},cn=gssapi,cn=auth {slapd.bind_dn}")
    slapd.add_people(3)
    return slapd


def test_an_openldap_is_read_with_a_keytab_alone(realm: Realm, server: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory says as whom the principal is bound; the bind holds for the TLS channel it was made on, where the server looks at that."""
    server.configure("cn=config", olcSaslCBinding="tls-endpoint")
    settings = corp(server, urls=(server.ldaps_url,), tls="ldaps", ca_file=server.ca_file, **by_kerberos(realm))
    assert len(read(settings).persons) == 3
    bound = next(found for found in probe(settings) if found.step.startswith("bind"))
    assert bound.detail == f"by Kerberos as {PRINCIPAL}, which is {server.bind_dn}"
    monkeypatch.setattr("ldap3.protocol.sasl.kerberos.get_channel_bindings", lambda sock: ChannelBindings(application_data=b"another channel"))
    assert refused(settings) == "invalid_credentials"


def test_a_server_that_the_realm_does_not_know_is_not_asked(realm: Realm, server: Slapd) -> None:
    """Under a name that the realm has no service for, the error names the service that it looked for."""
    with pytest.raises(SourceRefused, match=r"knows no service ldap/127\.0\.0\.1") as failure:
        read(corp(server, **by_kerberos(realm)))
    assert failure.value.code == "service_unknown"


def test_no_security_layer_is_agreed_upon(realm: Realm, server: Slapd) -> None:
    """A server that takes nothing without one is refused with the reason; one that leaves it to us is read without."""
    settings = corp(server, urls=(server.url.replace("127.0.0.1", "localhost"),), **by_kerberos(realm))
    assert len(read(settings).persons) == 3
    server.configure("cn=config", olcSaslSecProps="minssf=56")
    assert refused(settings) == "stronger_auth_required"


def test_a_server_that_never_shows_who_it_is_is_not_believed(realm: Realm) -> None:
    """Success at the first token, or tokens that are none, are no bind: mutual authentication is not left out."""
    with Liar(lambda *_: ()) as server:
        settings = corp_ad_at(server, realm)
        assert refused(settings, SourceUnavailable) == "protocol_error"
    with Liar(lambda *_: (), bind_code=14) as server:
        assert refused(corp_ad_at(server, realm), SourceUnavailable) == "protocol_error"


def corp_ad_at(server: Liar, realm: Realm) -> SourceSettings:
    """Return a source on a server that only seems to be ldap/localhost."""
    facts = {"tls": "plain", "allow_plaintext": True, "bases": ("dc=x",), "urls": (server.url.replace("127.0.0.1", "localhost"),)}
    return SourceSettings("corp", "ldap", 0, **facts, **by_kerberos(realm))  # type: ignore[arg-type]


# -- 389 Directory Server -------------------------------------------------------------------------------------------------


def test_a_389_is_read_with_a_keytab_alone(realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The principal is the entry that the server maps it to, whose rights check then asks for."""
    monkeypatch.setenv("KRB5_KTNAME", str(realm.keytab_of("ldap/localhost")))
    with Dirsrv(tmp_path).prepare() as server:
        tree = server.start().plant()
        names = {"nsSaslMapRegexString": f"^{PRINCIPAL}$", "nsSaslMapBaseDNTemplate": tree.bind_dn, "nsSaslMapFilterTemplate": "(objectClass=*)"}
        tree.add("cn=sync,cn=mapping,cn=sasl,cn=config", objectClass=["top", "nsSaslMapping"], nsSaslMapPriority="1", **names)
        tree.add_people(3)
        settings = corp(tree, urls=(tree.url.replace("127.0.0.1", "localhost"),), **by_kerberos(realm))
        found = {step.step.partition(" ")[0]: step for step in probe(settings)}
        assert found["bind"].detail == f"by Kerberos as {PRINCIPAL}, which is {tree.bind_dn}"
        assert all(step.ok for step in found.values())
        assert found["writing"].detail.startswith("the bind account may change nothing")
