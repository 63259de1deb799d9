"""What `rosterd check` finds out about a domain controller and the account that reads it."""

from __future__ import annotations

from typing import Any

from sync.settings import SourceSettings
from sync.sources.ldap.probe import probe
from sync.sources.probed import Probed
from tests.servers.branch import Branch
from tests.sync.sources.ldap.domain import corp_ad


def _probe(settings: SourceSettings, **changes: Any) -> dict[str, Probed]:
    """Return what was found by step (the last of those with one name)."""
    return {found.step.split(" ")[0]: found for found in probe(settings, **changes)}


def test_a_domain_in_order_is_looked_over_to_the_end(branch: Branch) -> None:
    """Detected, with its domain and level, ten people as they would be read, and nothing that must be mended."""
    for number in range(12):
        branch.add_person(f"p{number:02d}")
    steps = list(probe(corp_ad(branch, page_size=5000)))
    assert all(step.ok for step in steps), [step for step in steps if not step.ok]
    shown = [step.person for step in steps if step.person]
    assert len({person.username for person in shown}) == 10
    found = {step.step.split(" ")[0]: step for step in steps}
    assert found["vendor"].detail.startswith("ad (Samba Team")
    assert "by its root entry: userAccountControl" in found["vendor"].detail
    assert "objectGUID" in found["words"].detail
    assert found["domain"].detail == f"dc1.corp.example.com serves {branch.samba.suffix}, functional level 2008 R2"
    assert "1000 entries a page" in found["pages"].detail
    assert found["people"].detail.startswith("12: 0 disabled")
    assert "this machine's" in found["clock"].detail
    assert not found["domain"].remedy
    assert {"catalogue", "rights", "sight", "ids"}.isdisjoint(found)


def test_the_deleted_objects_and_how_to_show_them_are_told(branch: Branch) -> None:
    """Who may not list them hears the two commands that allow it, with the names of this domain; who may, hears nothing."""
    branch.add_person("ann")
    branch.samba.delete(branch.add_person("bob"))
    found = _probe(corp_ad(branch))["departures"]
    assert found.detail == "departures can be proven by its right to list what stands below the bases; no deleted object can be seen"
    assert f'dsacls "{branch.samba.graveyard}" /takeownership' in found.remedy
    assert "/g DOMAIN\\ACCOUNT:LCRP" in found.remedy
    trusted = _probe(corp_ad(branch, bind_dn=branch.samba.undertaker))["departures"]
    assert (trusted.remedy, "by the deleted objects" in trusted.detail) == ("", True)


def test_a_base_that_may_not_be_listed_is_told(branch: Branch) -> None:
    """Where the account may not list, nobody's departure could be proven: it says so beforehand."""
    branch.add_person("ann", parent=branch.add_ou("paris"))
    branch.samba.deny_here(branch.base, branch.samba.reader, "list")
    found = _probe(corp_ad(branch))
    assert f"may not list what is below {branch.base}" in found["departures"].detail


def test_hidden_attributes_are_named(branch: Branch) -> None:
    """Though a search shows a hidden value as none, the rights on the entry tell."""
    dn = branch.add_person("ann")
    branch.hide(dn, "accountExpires", "proxyAddresses", "memberOf")
    found = _probe(corp_ad(branch))
    assert f"may not read accountExpires of {dn}" in found["rights"].detail
    assert f"may not read proxyAddresses, memberOf of {dn}" in found["sight"].detail
    assert "Account Restrictions" in found["rights"].remedy
    branch.hide(dn, "userAccountControl")
    refused = _probe(corp_ad(branch))["ids"]
    assert (refused.ok, "userAccountControl" in refused.remedy) == (False, True)


def test_an_account_that_may_write_is_warned_about(branch: Branch) -> None:
    """rosterd only ever reads; an account that could change people or add some is more than it needs."""
    dn = branch.add_person("ann")
    assert _probe(corp_ad(branch))["writing"].detail == f"the bind account may change nothing of {dn} and {branch.base}"
    branch.samba.grant(dn, branch.samba.reader, "write", "mail")
    found = _probe(corp_ad(branch))["writing"]
    assert found.detail == f"the bind account may change mail of {dn}"
    assert found.remedy
    assert "add entries below" in _probe(corp_ad(branch, bind_dn=branch.samba.admin))["writing"].detail


def test_the_catalogue_says_what_it_lacks(branch: Branch) -> None:
    """The global catalogue holds only part of every entry: the expiry date is not in it."""
    branch.add_person("ann")
    found = _probe(corp_ad(branch, urls=(branch.samba.catalogue_url,)))["catalogue"]
    assert "It lacks accountExpires" in found.detail
    assert "memberOf names universal groups" in found.detail
    assert ":636" in found.remedy


def test_a_base_of_another_domain_is_told(branch: Branch) -> None:
    """A base that the controller does not hold is named with what to do."""
    found = _probe(corp_ad(branch, bases=("OU=people,DC=other,DC=example,DC=com",)))
    assert not found["base"].ok
    assert "controllers of the domain that OU=people,DC=other,DC=example,DC=com is in" in found["domain"].remedy


def test_an_account_may_be_named_as_windows_names_it(branch: Branch) -> None:
    """bind_dn may be a user principal name, which domain controllers take as well as a DN."""
    branch.add_person("ann")
    assert _probe(corp_ad(branch, bind_dn=branch.samba.admin))["people"].ok
