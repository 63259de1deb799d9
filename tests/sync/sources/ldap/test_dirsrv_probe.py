"""Looking a 389 Directory Server over, for `rosterd check`: what it is, what will be used, what the account may do."""

from __future__ import annotations

from typing import Any

from sync.settings import Attributes
from sync.sources.ldap.probe import probe
from sync.sources.probed import Probed
from tests.servers.dirsrv import DirsrvTree
from tests.sync.sources.ldap.corp import corp

READ = '(targetattr!="userPassword")(version 3.0; acl "read"; allow (read, search, compare) userdn="ldap:///all";)'


def _probe(settings: Any, **changes: Any) -> dict[str, Probed]:
    return {found.step.split(" ")[0]: found for found in probe(settings, **changes)}


def test_a_389_in_order_needs_nothing(dirsrv: DirsrvTree) -> None:
    """It says what it found and what it will use, shows ten people, and finds nothing to mend or to think about but the missing TLS."""
    dirsrv.add_people(12)
    dirsrv.set_acis(READ)
    steps = list(probe(corp(dirsrv)))
    assert [step for step in steps if not step.ok or (step.remedy and not step.step.startswith("tls"))] == []
    found = {step.step: step.detail for step in steps}
    assert found["vendor"].startswith("389ds (389 Project 389-Directory/")
    assert "by its root entry: nsAccountLock disables" in found["vendor"]
    assert found["words"].startswith("id = nsUniqueId (389ds); username = uid (389ds); name = displayName (389ds); emails = mail (389ds)")
    assert "its own entry lifts all of them" in found["limits"]
    assert found["departures"].endswith("departures can be proven")
    assert found["writing"] == f"the bind account may change nothing of uid=u000001,{dirsrv.base}"
    assert len([step for step in steps if step.person]) == 10


def test_limits_of_the_account_are_explained_before_they_are_met(dirsrv: DirsrvTree) -> None:
    """An account without limits of its own is told what to set, and what it has is shown; a limit that is met is a failure."""
    dirsrv.add_people(60)
    dirsrv.modify(dirsrv.limited_dn, nsPagedSizeLimit="700")
    limits = _probe(corp(dirsrv, bind_dn=dirsrv.limited_dn))["limits"]
    assert (limits.ok, "nsPagedSizeLimit 700; the server's defaults apply" in limits.detail) == (True, True)
    assert f"set on the entry {dirsrv.limited_dn}: `nsSizeLimit: -1`" in limits.remedy
    dirsrv.modify(dirsrv.limited_dn, nsPagedSizeLimit="20")
    met = _probe(corp(dirsrv, bind_dn=dirsrv.limited_dn))["directory"]
    assert (met.ok, "`nsPagedSizeLimit: -1`" in met.remedy) == (False, True)


def test_an_account_that_may_write_or_read_passwords_is_warned_of(dirsrv: DirsrvTree) -> None:
    """rosterd only ever reads; whatever its account may do beyond that is named."""
    dirsrv.add_person("ada")
    found = _probe(corp(dirsrv))
    assert "may read userPassword" in found["passwords"].detail
    dirsrv.set_acis(READ, '(targetattr="mail || cn")(version 3.0; acl "write"; allow (write) userdn="ldap:///all";)')
    found = _probe(corp(dirsrv))
    assert "passwords" not in found
    assert f"may change cn, mail of uid=ada,{dirsrv.base}" in found["writing"].detail
    assert found["writing"].remedy
    dirsrv.set_acis(READ, '(targetattr!="userPassword")(version 3.0; acl "all"; allow (delete, add) userdn="ldap:///all";)')
    assert "may add entries below and delete uid=ada" in _probe(corp(dirsrv))["writing"].detail


def test_what_the_account_may_not_see_is_told(dirsrv: DirsrvTree) -> None:
    """Attributes that are hidden and places whose emptiness is not told are named: both look like something else."""
    dirsrv.add_person("ada")
    hidden = '(targetattr!="nsAccountLock || memberOf || userPassword")(version 3.0; acl "some"; allow (read, search) userdn="ldap:///all";)'
    dirsrv.set_acis(hidden)
    found = _probe(corp(dirsrv))
    assert "may not search nsAccountLock" in found["rights"].detail
    assert "may not search memberOf" in found["sight"].detail
    search = '(targetattr="mail")(version 3.0; acl "no mail"; deny (read) userdn="ldap:///all";)'
    dirsrv.set_acis(READ, search)
    assert "may search mail of uid=ada" in _probe(corp(dirsrv))["reading"].detail


def test_a_container_whose_emptiness_is_not_told_is_named(dirsrv: DirsrvTree) -> None:
    """Where the people are shown and the entry above them is not, 389 does not say that somebody is gone: told before anybody leaves."""
    inner = dirsrv.add(f"ou=inner,{dirsrv.base}", objectClass="organizationalUnit")
    dirsrv.add_person("ada", parent=inner)
    hidden = '(targetfilter="(ou=inner)")(targetattr="*")(version 3.0; acl "no"; deny (read, search, compare) userdn="ldap:///all";)'
    dirsrv.set_acis(READ, hidden)
    found = _probe(corp(dirsrv))
    assert found["people"].detail.startswith("1:")
    assert f"is not there below {inner} (success (0))" in found["departures"].detail
    listed = "objectClass || nsUniqueId || uid || cn || displayName || mail || memberOf || nsAccountLock || shadowExpire"
    dirsrv.set_acis(rule := f'(targetattr="{listed}")(version 3.0; acl "list"; allow (read, search, compare) userdn="ldap:///all";)')
    found = _probe(corp(dirsrv))
    dirsrv.set_acis(rule, found["departures"].remedy.split("`")[1].removeprefix("aci: "))
    assert _probe(corp(dirsrv))["departures"].remedy == ""


def test_another_kind_of_server_than_the_first_read_found_is_told(dirsrv: DirsrvTree) -> None:
    """What was found once is used on; what the server says now is told beside it, and how to change over."""
    dirsrv.add_person("ada")
    found = _probe(corp(dirsrv, attributes=Attributes(id="nsUniqueId")), kept="openldap")
    assert found["vendor"].detail.startswith("openldap (389 Project")
    assert "as its first read found, though its root entry says 389ds now" in found["vendor"].detail
    assert 'vendor = "389ds"' in found["vendor"].remedy
    assert "id = nsUniqueId (configured)" in found["words"].detail
    assert _probe(corp(dirsrv), kept="389ds")["vendor"].remedy == ""


def test_freeipa_is_looked_over_as_freeipa(freeipa: DirsrvTree) -> None:
    """The look names it and its words."""
    freeipa.add_person("ada", objectClass=["inetOrgPerson", "ipaObject"], ipaUniqueID="0a-1")
    found = _probe(corp(freeipa))
    assert found["vendor"].detail.startswith("freeipa (389 Project")
    assert "id = ipaUniqueID (freeipa)" in found["words"].detail
    assert found["people"].ok
