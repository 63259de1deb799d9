"""The promises of the product, from a real slapd to the lookup."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from sync.run import RunSetting, perform
from sync.settings import Policy, Secret, SourceSettings
from sync.sources import normalise_group, open_source
from sync.store import addresses, runs, sources
from tests.servers.dirsrv import DirsrvTree
from tests.servers.slapd import Slapd
from tests.sync.world import World


@pytest.fixture
def real(world: World, slapd: Slapd) -> World:
    """A world whose source `corp` reads a real slapd over plain loopback."""
    return connect(world, slapd)


def connect(world: World, slapd: Slapd | DirsrvTree, **facts: object) -> World:
    settings = {
        "urls": (slapd.url,), "tls": "plain", "allow_plaintext": True, "bind_dn": slapd.bind_dn, "bases": (slapd.base,),
    } | facts  # fmt: skip
    world.settings["corp"] = SourceSettings("corp", "ldap", 0, password=Secret(slapd.password), **settings)  # type: ignore[arg-type]
    world.declare()

    def setting(name: str = "corp") -> RunSetting:
        return RunSetting(world.store, world.vault, world.settings[name], world.policies, open_source, lambda group: normalise_group("ldap", group))

    world.setting = setting  # type: ignore[method-assign]
    return world


def test_from_slapd_to_the_lookup(real: World, slapd: Slapd) -> None:
    """A person in the directory has a key under each of their addresses after one sync."""
    slapd.add_person("ann", mail=["Ann@Example.com", "ann.o'hara+x@example.com"])
    run = real.sync()
    assert (run.complete, run.entries, run.server) == (True, 1, slapd.url)
    assert real.keys("ANN.O'Hara+x@example.com")[0][1]
    assert real.lookup("ann@example.com").email == "Ann@Example.com"


def test_a_limited_account_touches_nobody_and_learns_the_line_to_add(world: World, slapd: Slapd) -> None:
    """20,000 people, 500 allowed: the run fails, names the limit and the line, and everybody is as before."""
    slapd.add_people(20_000)
    connect(world, slapd)
    world.sync()
    connect(world, slapd, bind_dn=slapd.limited_dn)
    run = world.sync(expect="failed")
    assert run.error is not None
    assert "500" in run.error.message
    assert f'limits dn.exact="{slapd.limited_dn}"' in (run.error.remedy or "")
    assert sources.get_source(world.store, "corp").people == {"active": 20_000, "disabled": 0, "missing": 0, "removed": 0}


def test_an_acl_that_hides_people_and_one_that_hides_mail_take_nothing(real: World, slapd: Slapd) -> None:
    """Twenty hidden people are unproven, not missing; when `mail` is hidden from all the loss of addresses is held."""
    dns = slapd.add_people(100)
    real.sync()
    slapd.set_acl(*(f'to dn.exact="{dn}" by * none' for dn in dns[:20]), "to * by users read by * none")
    run = real.sync()
    assert (run.counts["unproven"], run.counts["missing"]) == (20, 0)
    slapd.set_acl("to attrs=mail by * none", "to * by users read by * none")
    held = real.sync(expect="held")
    assert held.counts["withheld"] == 100
    assert {change.reason for change in real.changes(held, "withheld")} == {"last_address: the entry lists no address any more"}
    slapd.reset_acl()
    assert real.sync().counts["unchanged"] == 100, "everybody is as before, the withheld included"
    assert sources.get_source(real.store, "corp").open_hold is None
    assert sources.get_source(real.store, "corp").people["active"] == 100


def test_sixty_of_a_thousand_from_hold_to_return(real: World, slapd: Slapd) -> None:
    """Held while a joiner and a disabled person take effect; approved, the 60 go and 10 more wait; back, all is as it was."""
    dns = slapd.add_people(1000)
    real.sync()
    with real.store.read() as connection:
        before = connection.execute(text('select u.id, u.external_id, k.id from "user" u join virtual_key k on k.user_id = u.id order by 1')).all()
    moved = [slapd.move(dn, slapd.former) for dn in dns[:60]]
    slapd.add_person("joiner")
    slapd.modify(dns[999], pwdAccountLockedTime="000001010000Z")
    held = real.sync(expect="held")
    assert (held.counts["withheld"], held.counts["missing"], held.counts["added"], held.counts["disabled"]) == (60, 0, 1, 1)
    assert all(change.evidence for change in real.changes(held, "withheld"))
    moved += [slapd.move(dn, slapd.former) for dn in dns[60:70]]
    requested = runs.approve(real.store, held.id, "cli:admin")
    approved = perform(real.setting(), requested.id)
    assert (approved.state, approved.counts["missing"], approved.counts["withheld"]) == ("held", 60, 10)
    for dn in moved:
        slapd.move(dn, slapd.base)
    slapd.modify(dns[999], pwdAccountLockedTime=[])
    assert real.sync().counts["returned"] == 60
    with real.store.read() as connection:
        after = connection.execute(
            text(
                'select u.id, u.external_id, k.id from "user" u join virtual_key k on k.user_id = u.id'
                " where u.state = 'active' and k.enabled and u.username <> 'joiner' order by 1"
            )
        ).all()
    assert after == before


def test_rename_move_and_new_address_in_one_edit(real: World, slapd: Slapd) -> None:
    """entryUUID decides: same user, same key, the new address answers."""
    dn = slapd.add_person("ann")
    real.sync()
    before = real.lookup("ann@example.com")
    slapd.add("ou=north," + slapd.base, objectClass="organizationalUnit", ou="north")
    moved = slapd.move(dn, "ou=north," + slapd.base, rdn="uid=ann.new")
    slapd.modify(moved, mail="ann.new@example.com", displayName="Ann New")
    real.sync()
    after = real.lookup("ann.new@example.com")
    assert (after.user_id, [key.id for key in after.keys]) == (before.user_id, [key.id for key in before.keys])


@pytest.mark.parametrize("owner_disabled", [False, True])
def test_nobody_gains_an_address_by_editing_their_entry(real: World, slapd: Slapd, owner_disabled: bool) -> None:
    """The owner keeps it, also while disabled; the conflict names both entries; the run succeeds."""
    owner, eve = slapd.add_person("owner"), slapd.add_person("eve")
    real.sync()
    keeper = real.lookup("owner@example.com").user_id
    if owner_disabled:
        slapd.modify(owner, pwdAccountLockedTime="000001010000Z")
    slapd.modify(eve, mail=["eve@example.com", "OWNER@example.com"])
    real.sync()
    assert real.lookup("owner@example.com").user_id == keeper
    (conflict,) = addresses.conflicts(real.store)
    assert {claimant.place for claimant in conflict.claimants} == {owner, eve}
    assert conflict.cause == "taken"


def test_an_entry_stuffed_with_addresses_can_still_be_disabled_and_delays_nobody(real: World, slapd: Slapd) -> None:
    """One malformed and 10,000 more addresses: dropped and named, the person disabled at their turn, a leaver leaves."""
    mallory, leaver = slapd.add_person("mallory"), slapd.add_person("leaver")
    slapd.add_people(20)
    real.sync()
    slapd.modify(mallory, mail=["mallory@example.com", "not an address", *(f"m{n}@example.com" for n in range(10_000))])
    slapd.delete(leaver)
    run = real.sync()
    assert (run.complete, run.counts["missing"]) == (True, 1)
    (dropped,) = real.changes(run, "refused")
    assert "not an address" in (dropped.evidence or "")
    assert real.keys("mallory@example.com")[0][1]
    slapd.modify(mallory, pwdAccountLockedTime="000001010000Z")
    assert real.sync().counts["disabled"] == 1
    assert not real.keys("mallory@example.com")[0][1]


def test_keys_follow_a_group_and_a_vanished_group_takes_none(world: World, slapd: Slapd) -> None:
    """In the group: a key. Out: disabled. The group deleted, or hidden by an ACL: nothing is taken."""
    ann, bob = slapd.add_person("ann"), slapd.add_person("bob")
    group = slapd.add_group("ai", [ann, bob])
    world.policies = (Policy("ai", groups=(group.upper(),)),)
    connect(world, slapd)
    world.sync()
    assert world.keys("ann@example.com")[0][1]
    slapd.modify(group, member=[bob])
    assert world.sync().counts["keys_disabled"] == 1
    assert not world.keys("ann@example.com")[0][1]
    slapd.set_acl("to attrs=memberOf by * none", "to * by users read by * none")
    assert world.sync(expect="held").counts["keys_disabled"] == 0
    slapd.reset_acl()
    slapd.delete(group)
    assert world.sync(expect="held").counts["keys_disabled"] == 0
    assert world.keys("bob@example.com")[0][1]


def test_a_base_that_is_gone_and_a_wrong_password_say_so(world: World, slapd: Slapd) -> None:
    """Each ends in one sentence with the fact, and nothing of the store moves."""
    slapd.add_person("ann")
    connect(world, slapd)
    world.sync()
    connect(world, slapd, bases=("ou=nowhere,dc=example,dc=com",))
    run = world.sync(expect="failed")
    assert run.error is not None
    assert "ou=nowhere" in run.error.message
    connect(world, slapd, bind_dn=slapd.limited_dn + ",dc=x")
    assert world.sync(expect="failed").error is not None
    assert world.keys("ann@example.com")[0][1]


def test_only_reads_one_person_from_a_large_directory(real: World, slapd: Slapd) -> None:
    """`--only` asks for one address and applies what it finds, also that somebody left."""
    dns = slapd.add_people(200)
    real.sync()
    address = real.store.query('select email from "user" where place = :p', {"p": dns[0]})[0][0]
    slapd.delete(dns[0])
    run = real.sync(only=address)
    assert (run.entries, run.counts["missing"]) == (0, 1)


def test_an_acl_that_hides_ids_changes_nothing(real: World, slapd: Slapd) -> None:
    """Entries that cannot be told apart are refused; many of them end the run, which names the first."""
    slapd.add_people(30)
    real.sync()
    slapd.set_acl("to attrs=entryUUID by * none", "to * by users read by * none")
    run = real.sync(expect="failed")
    assert run.error is not None
    assert run.error.code == "too_many_refused"
    assert "entryUUID" in run.error.message
    assert sources.get_source(real.store, "corp").people["active"] == 30


def test_a_server_that_is_gone_leaves_the_last_good_answers(real: World, slapd: Slapd) -> None:
    """Unreachable: the run fails and says where; every lookup answers as before; back again, the next run is fine."""
    slapd.add_person("ann")
    real.sync()
    slapd.stop()
    run = real.sync(expect="failed")
    assert run.error is not None
    assert slapd.url in run.error.message
    assert real.keys("ann@example.com")[0][1]
    slapd.start()
    assert real.sync().counts["unchanged"] == 1


def test_a_container_that_vanishes_is_held_whatever_the_limits(real: World, slapd: Slapd) -> None:
    """Four people of forty are within every limit, but not when they are all of their branch; one who stays makes them ordinary leavers."""
    slapd.add_people(40)
    branch = slapd.add(f"ou=Zü_rich,{slapd.base}", objectClass="organizationalUnit")
    people = [slapd.add_person(f"z{number}", parent=branch) for number in range(4)]
    real.sync()
    slapd.delete(*people)
    held = real.sync(expect="held")
    assert (held.counts["missing"], held.counts["withheld"]) == (0, 4)
    hold = sources.get_source(real.store, "corp").open_hold
    assert hold is not None
    assert "all 4 people of ou=Z" in hold.why
    requested = runs.approve(real.store, held.id, "cli:admin")
    assert perform(real.setting(), requested.id).counts["missing"] == 4
    again = [slapd.add_person(f"y{number}", parent=branch) for number in range(4)]
    real.sync()
    slapd.delete(*again[:3])
    assert real.sync().counts["missing"] == 3
