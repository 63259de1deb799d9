"""The promises of the product, from a real Active Directory domain controller to the lookup."""

from __future__ import annotations

from sync.run import RunSetting
from sync.settings import Policy
from sync.sources import normalise_group, open_source
from tests.servers.branch import Branch
from tests.sync.sources.ldap.domain import corp_ad
from tests.sync.world import World


def connect(world: World, branch: Branch, **facts: object) -> World:
    """Let the source `corp` of a world read a branch of the domain."""
    world.settings["corp"] = corp_ad(branch, **facts)
    world.declare()

    def setting(name: str = "corp") -> RunSetting:
        return RunSetting(world.store, world.vault, world.settings[name], world.policies, open_source, lambda group: normalise_group("ldap", group))

    world.setting = setting  # type: ignore[method-assign]
    return world


def test_from_the_domain_to_the_lookup(world: World, branch: Branch) -> None:
    """A key under each address after one sync, the SMTP: address as primary; renamed, moved and with another primary it is the same key."""
    dn = branch.add_person("ann", mail="ann@example.com", proxyAddresses=["SMTP:Ann@Example.com", "smtp:a.old@example.com"])
    connect(world, branch)
    run = world.sync()
    assert (run.complete, run.entries, run.server) == (True, 1, branch.samba.ldaps_url)
    before = world.lookup("a.old@example.com")
    assert before.email == "Ann@Example.com"
    dn = branch.samba.move(dn, branch.add_ou("paris"), rdn="CN=Änne")
    branch.samba.modify(dn, sAMAccountName=branch.named("other"), proxyAddresses=["SMTP:new@example.com", "smtp:ann@example.com"])
    world.sync()
    after = world.lookup("new@example.com")
    assert after.email == "new@example.com"
    assert (after.user_id, [key.id for key in after.keys]) == (before.user_id, [key.id for key in before.keys])


def test_disabled_and_expired_people_have_no_working_key(world: World, branch: Branch) -> None:
    """What userAccountControl says holds from the next sync, what accountExpires says from that moment."""
    ann, bob = branch.add_person("ann"), branch.add_person("bob")
    connect(world, branch)
    world.sync()
    branch.samba.modify(ann, userAccountControl=546)
    branch.samba.modify(bob, accountExpires="132223104000000000")
    assert world.sync().counts["disabled"] == 1
    assert not world.keys("ann@example.com")[0][1]
    assert not world.keys("bob@example.com")[0][1]
    branch.samba.modify(ann, userAccountControl=544)
    assert world.sync().counts["enabled"] == 1
    assert world.keys("ann@example.com")[0][1]


def test_nested_and_primary_groups_issue_keys_and_take_them_back(world: World, branch: Branch) -> None:
    """In a group inside the issuing one, or with such a primary group: a key. Out of it: none. The issuing group gone: nothing is taken."""
    ann, bob, cyn = (branch.add_person(name) for name in ("ann", "bob", "cyn"))
    inner = branch.add_group("inner", [ann])
    staff = branch.add_group("staff", [bob])
    top = branch.add_group("top", [inner, staff, cyn])
    number = int.from_bytes(branch.samba.value_of(staff, "objectSid")[-4:], "little")
    branch.samba.modify(bob, primaryGroupID=number)
    world.policies = (Policy("ai", groups=(top.upper(),)),)
    connect(world, branch)
    assert world.sync().counts["keys_issued"] == 3
    branch.samba.modify(inner, member=[])
    assert world.sync().counts["keys_disabled"] == 1
    assert not world.keys("ann@example.com")[0][1]
    branch.samba.delete(top)
    assert world.sync(expect="held").counts["keys_disabled"] == 0
    assert world.keys("bob@example.com")[0][1]


def test_leavers_leave_and_hidden_people_stay(world: World, branch: Branch) -> None:
    """Somebody deleted is missing, with the evidence named; twelve whose unit an access rule hides are unproven, each with their key."""
    paris = branch.add_ou("paris")
    for number in range(12):
        branch.add_person(f"p{number:02d}", parent=paris)
    gone, _ = branch.add_person("gone"), branch.add_person("stays")
    connect(world, branch)
    world.sync()
    branch.hide(paris)
    branch.samba.delete(gone)
    run = world.sync()
    assert (run.counts["missing"], run.counts["unproven"]) == (1, 12)
    assert f"may list whatever stands below {branch.base}" in (world.changes(run, "missing")[0].evidence or "")
    assert not world.keys("gone@example.com")[0][1]
    assert world.keys("p00@example.com")[0][1]


def test_hiding_everybody_s_state_enables_and_takes_nobody(world: World, branch: Branch) -> None:
    """When userAccountControl is hidden from the account, the run fails and says so, and everybody is as before."""
    for number in range(12):
        branch.add_person(f"p{number:02d}", userAccountControl=546 if number % 2 else 544)
    connect(world, branch)
    world.sync()
    branch.hide(branch.base, "userAccountControl")
    run = world.sync(expect="failed")
    assert run.error is not None
    assert "userAccountControl" in run.error.message
    assert [[on for _, on in world.keys(f"p{number:02d}@example.com")] for number in range(12)] == [[True], []] * 6


def test_another_vendor_takes_nobody(world: World, branch: Branch) -> None:
    """Read as something else by mistake, the domain shows no ids: the run fails, and everybody keeps their key."""
    for number in range(12):
        branch.add_person(f"p{number:02d}")
    connect(world, branch)
    world.sync()
    connect(world, branch, vendor="openldap", filter="(objectClass=user)")
    run = world.sync(expect="failed")
    assert run.error is not None
    assert "entryUUID" in run.error.message
    assert all(world.keys(f"p{number:02d}@example.com")[0][1] for number in range(12))
