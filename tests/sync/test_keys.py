"""Keys through the years: rotated, renewed, imported, deleted, revived, sealed anew; and what is said of it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from sync.errors import ConfigError, Conflict, InvalidRequest, NotFound
from sync.run import perform
from sync.settings import Policy, Secret
from sync.store import events, keychanges, keyimports, keyring, keys, lookup, nodes, people, runs, staging
from sync.store.engine import open_store
from sync.store.keychanges import Stamp, Wanted
from sync.vault import Vault, generate_key_line
from tests.sync.world import DAY, START, World

BY = Stamp("cli:admin")
VALUE = "sk-bf-imported-0123456789"


@pytest.fixture
def ann(world: World) -> str:
    """A user with one policy key, by her id."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    return world.lookup("ann@corp.example").user_id


def value_of(world: World, number: int = 0) -> str:
    return world.keys("ann@corp.example")[number][0]


def key_id(world: World) -> str:
    return world.lookup("ann@corp.example").keys[0].id


def works(world: World, value: str) -> bool:
    found = lookup.by_key(world.store, world.vault.digests(value), asked=None)
    return found is not None and found.key_active


def told(world: World) -> list[tuple[str, str]]:
    return [(one.kind, one.by) for one in events.unread(world.store, "audit")]


# -- first keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 7, 14, 15])
def test_whoever_is_owed_keys_gets_each_once_however_many_are_held_in_memory(world: World, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Nobody is left out and nobody is given two where one page of them ends and the next begins."""
    monkeypatch.setattr(staging, "ENTITLED", most)
    world.policies = (Policy("all"), Policy("also"))
    world.declare()
    world.people(7)
    assert world.sync().counts["keys_issued"] == 14
    assert all(len(world.keys(f"p{number}@corp.example")) == 2 for number in range(7))
    assert world.sync().counts.get("keys_issued", 0) == 0


# -- rotation --------------------------------------------------------------------------------------------------------------


def test_a_rotated_value_works_through_its_overlap_and_is_dead_for_ever_after(world: World, ann: str) -> None:
    """The key keeps its id; the lookup shows the new value only; the old one is known as dead after the overlap."""
    old, key = value_of(world), key_id(world)
    _, new = keychanges.rotate(world.store, world.vault, key, BY, overlap=3_600_000)
    assert (key_id(world), value_of(world)) == (key, new)
    assert works(world, old) and works(world, new)
    world.clock.forward(seconds=3601)
    assert not works(world, old) and works(world, new)
    assert [lookup.is_known(world.store, world.vault.digests(value)) for value in (old, new, "a value of nobody")] == [True, True, False]


def test_a_rotation_without_overlap_ends_every_older_value_at_once(world: World, ann: str) -> None:
    """After a theft one rotation is enough, however long an overlap somebody gave before."""
    first = value_of(world)
    _, second = keychanges.rotate(world.store, world.vault, key_id(world), BY, overlap=keychanges.LONGEST_OVERLAP)
    _, third = keychanges.rotate(world.store, world.vault, key_id(world), BY)
    assert [works(world, value) for value in (first, second, third)] == [False, False, True]


def test_a_clock_that_is_turned_back_brings_no_value_back(world: World, ann: str) -> None:
    """Nor does another node whose clock is late: what was rotated away without overlap is dead, and an overlap that was swept is over."""
    world.clock.forward(seconds=7200)
    first = value_of(world)
    _, second = keychanges.rotate(world.store, world.vault, key_id(world), BY)
    world.clock.forward(seconds=-5)
    assert (works(world, first), works(world, second)) == (False, True)
    _, third = keychanges.rotate(world.store, world.vault, key_id(world), BY, overlap=1000)
    assert works(world, second)
    world.clock.forward(seconds=2)
    keychanges.forget_overlaps(world.store)
    world.clock.forward(seconds=-2)
    assert [works(world, value) for value in (first, second, third)] == [False, False, True]


def test_an_overlap_is_at_most_thirty_days(world: World, ann: str) -> None:
    """A longer one, or a negative one, changes nothing."""
    for overlap in (keychanges.LONGEST_OVERLAP + 1, -1):
        with pytest.raises(InvalidRequest, match="30 days"):
            keychanges.rotate(world.store, world.vault, key_id(world), BY, overlap=overlap)
    assert works(world, value_of(world))


def test_a_bearer_that_names_a_key_is_older_than_its_rotation_or_good(world: World, ann: str) -> None:
    """A token issued before the last rotation stands for nothing; one issued after it does."""
    key = key_id(world)
    world.clock.forward(seconds=10)
    keychanges.rotate(world.store, world.vault, key, BY)
    assert lookup.by_key_id(world.store, key, issued_at=world.clock.now - 1, asked=None) is None
    found = lookup.by_key_id(world.store, key, issued_at=world.clock.now, asked=None)
    assert found is not None and found.key_active
    assert lookup.by_key_id(world.store, "nobody", issued_at=world.clock.now, asked=None) is None


def test_the_sealed_old_value_goes_when_its_overlap_ends(world: World, ann: str) -> None:
    """What no longer authenticates is kept as a digest only."""
    keychanges.rotate(world.store, world.vault, key_id(world), BY, overlap=1000)
    assert keychanges.forget_overlaps(world.store) == 0
    world.clock.forward(seconds=2)
    assert (keychanges.forget_overlaps(world.store), keychanges.forget_overlaps(world.store)) == (1, 0)


# -- changes by admins -----------------------------------------------------------------------------------------------------


def test_of_two_admins_none_undoes_the_other_unawares(world: World, ann: str) -> None:
    """A change made against a version that is gone is refused whole; changes to different members both stand."""
    key = keys.get_key(world.store, key_id(world))
    keychanges.change(world.store, key.id, Wanted(name="laptop"), Stamp("admin:one", key.version))
    with pytest.raises(Conflict, match="has been changed since"):
        keychanges.change(world.store, key.id, Wanted(name="phone", is_active=False), Stamp("admin:two", key.version))
    for act in (keychanges.delete, lambda store, key_id, stamp: keychanges.rotate(store, world.vault, key_id, stamp)):
        with pytest.raises(Conflict, match="has been changed since"):
            act(world.store, key.id, Stamp("admin:two", key.version))
    keychanges.change(world.store, key.id, Wanted(is_active=False), Stamp("admin:two"))
    now = keys.get_key(world.store, key.id)
    assert (now.name, now.is_active, now.disabled_by) == ("laptop", False, "admin:two")


def test_a_change_is_all_or_nothing(world: World, ann: str) -> None:
    """A name that is taken leaves the switch and the expiry as they were."""
    other, _ = keychanges.issue(world.store, world.vault, ann, name="second", by="cli:admin")
    with pytest.raises(Conflict, match="named default already"):
        keychanges.change(world.store, other.id, Wanted(name="default", is_active=False, expires_at=START + DAY), BY)
    assert keys.get_key(world.store, other.id) == other


def test_an_expiry_is_set_moved_and_taken_away(world: World, ann: str) -> None:
    """The key is inactive from the moment on, and active again without one; a moment that has passed is refused."""
    key = key_id(world)
    keychanges.change(world.store, key, Wanted(expires_at=world.clock.now + 1000), BY)
    assert works(world, value_of(world))
    world.clock.forward(seconds=1)
    assert not works(world, value_of(world))
    with pytest.raises(InvalidRequest, match="has passed already"):
        keychanges.change(world.store, key, Wanted(expires_at=world.clock.now), BY)
    keychanges.change(world.store, key, Wanted(expires_at=None), BY)
    assert works(world, value_of(world))


def test_a_deleted_key_is_gone_its_value_dead_and_its_policy_issues_no_other(world: World, ann: str) -> None:
    """Not shown, not authenticating, not importable, not issued again by the next sync."""
    value, key = value_of(world), key_id(world)
    keychanges.delete(world.store, key, BY)
    world.sync()
    assert world.lookup("ann@corp.example").keys == [] and not works(world, value)
    with pytest.raises(NotFound):
        keys.get_key(world.store, key)
    with pytest.raises(Conflict, match="rotated away or deleted"):
        keyimports.take_in(world.store, world.vault, ann, value, name="again", by="cli:admin")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb", "a\u202eb"])
def test_a_name_is_printable_and_of_bearable_length(world: World, ann: str, name: str) -> None:
    """A name that would garble a list is refused."""
    with pytest.raises(InvalidRequest, match="printable"):
        keychanges.issue(world.store, world.vault, ann, name=name, by="cli:admin")


def test_nobody_removed_is_given_a_key(world: World, ann: str) -> None:
    """Neither a new one nor an imported one."""
    with world.store.write() as connection:
        connection.execute(text("update \"user\" set state = 'removed'"))
    for act in (
        lambda: keychanges.issue(world.store, world.vault, ann, name="x", by="cli:admin"),
        lambda: keyimports.take_in(world.store, world.vault, ann, VALUE, name="x", by="cli:admin"),
    ):
        with pytest.raises(Conflict, match="was removed"):
            act()


# -- import ----------------------------------------------------------------------------------------------------------------


def test_an_imported_value_keeps_its_form_and_authenticates(world: World, ann: str) -> None:
    """Whatever it looks like, it is found by its digest; the id it has at the gateway stays."""
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJ2ayI6IjEifQ.c2lnbmF0dXJl"
    key, is_new = keyimports.take_in(world.store, world.vault, ann, jwt, name="gateway", by="cli:admin", key_id="vk-7")
    assert (key.id, key.origin, is_new) == ("vk-7", "imported", True)
    assert works(world, jwt) and (jwt, True) in world.keys("ann@corp.example")


def test_an_import_again_changes_nothing_and_a_foreign_value_is_refused(world: World, ann: str) -> None:
    """Idempotent for its owner; nobody else can have the same value, nor the same id."""
    world.directory.add("bob", "bob@corp.example")
    world.sync()
    bob = world.lookup("bob@corp.example").user_id
    first = keyimports.take_in(world.store, world.vault, ann, VALUE, name="gateway", by="cli:admin")
    assert keyimports.take_in(world.store, world.vault, ann, VALUE, name="another name", by="cli:admin") == (first[0], False)
    with pytest.raises(Conflict, match="another key's already"):
        keyimports.take_in(world.store, world.vault, bob, VALUE, name="stolen", by="cli:admin")
    with pytest.raises(Conflict, match="another key with the id"):
        keyimports.take_in(world.store, world.vault, bob, VALUE + "2", name="x", by="cli:admin", key_id=first[0].id)
    with pytest.raises(Conflict, match="of the same user already"):
        keyimports.import_new(world.store, world.vault, ann, VALUE, name="again", by="cli:admin")


@pytest.mark.parametrize("value", ["short", "x" * 4097, "with space 0123456789", "sk-bf-ünïcode-01234", "a\n" * 20])
def test_a_value_that_no_header_could_carry_is_refused(world: World, ann: str, value: str) -> None:
    """16 to 4,096 characters of a bearer token (RFC 6750)."""
    with pytest.raises(InvalidRequest, match="16 to 4,096"):
        keyimports.take_in(world.store, world.vault, ann, value, name="x", by="cli:admin")


def test_an_imported_key_that_is_off_stays_off(world: World, ann: str) -> None:
    """An export says which keys are active; no sync enables the others."""
    key, _ = keyimports.take_in(world.store, world.vault, ann, VALUE, name="off", by="cli:admin", enabled=False)
    world.sync()
    assert not works(world, VALUE) and keys.get_key(world.store, key.id).disabled_by == "cli:admin"


# -- renewal and return ----------------------------------------------------------------------------------------------------


def expiring(world: World, *, days: int = 90, before: int = 30) -> None:
    world.policies = (Policy("default", expires_after=days * 86_400, renew_before=before * 86_400),)
    world.declare()


def test_a_policy_key_is_renewed_before_it_expires_and_both_values_work_until_then(world: World) -> None:
    """From renew_before on the next sync gives a new value under the same id; the old one dies with its own expiry."""
    expiring(world)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    old, key = value_of(world), key_id(world)
    world.clock.forward(days=59)
    world.sync()
    assert value_of(world) == old
    world.clock.forward(days=2)
    run = world.sync()
    new = value_of(world)
    assert (key_id(world), run.counts["keys_issued"]) == (key, 1) and new != old and works(world, old) and works(world, new)
    assert "renewed" in (world.changes(run, "key_issued")[0].reason or "")
    world.clock.forward(days=29)
    assert not works(world, old) and works(world, new)
    assert not world.sync().counts["keys_issued"]


def test_a_key_that_expired_while_rosterd_slept_is_renewed_without_reviving_the_old_value(world: World) -> None:
    """Late is not never; what has expired stays dead."""
    expiring(world)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    old = value_of(world)
    world.clock.forward(days=100)
    world.sync()
    assert works(world, value_of(world)) and not works(world, old) and value_of(world) != old


def test_what_an_admin_disabled_or_deleted_is_not_renewed(world: World) -> None:
    """And neither is the key of somebody who is not active."""
    expiring(world)
    for name in ("ann", "bob", "cyd", "dan"):
        world.directory.add(name, f"{name}@corp.example")
    world.sync()
    owned = {key.email.partition("@")[0]: key.id for key in keys.list_keys(world.store)}
    keychanges.change(world.store, owned["ann"], Wanted(is_active=False), BY)
    keychanges.delete(world.store, owned["bob"], BY)
    world.directory.people["id-cyd"] = replace_person(world, "cyd", enabled=False)
    world.clock.forward(days=70)
    changes = world.changes(world.sync(), "key_issued")
    assert [change.email for change in changes] == ["dan@corp.example"]


def replace_person(world: World, name: str, **facts: Any) -> Any:
    return msgspec.structs.replace(world.directory.people[f"id-{name}"], **facts)


@pytest.mark.parametrize("how", ["missing", "disabled", "expired"])
def test_whoever_comes_back_after_too_long_gets_new_keys(world: World, ann: str, how: str) -> None:
    """However they were away: the old keys stay off, and stay off in the syncs after; the policy issues a new one at once."""
    world.guard(grace=0)
    world.sync()
    old, entry = value_of(world), world.directory.people["id-ann"]
    keychanges.issue(world.store, world.vault, ann, name="by hand", by="cli:admin")
    leave(world, how)
    world.sync()
    world.clock.forward(days=91)
    world.directory.people["id-ann"] = entry
    for _ in range(2):
        run = world.sync()
        assert [active for _, active in world.keys("ann@corp.example")] == [True, False, False]
        assert not works(world, old) and world.lookup("ann@corp.example").user_id == ann
        world.clock.forward(days=1)
    assert run.counts["keys_issued"] == 0
    enabled = next(key for key in keys.list_keys(world.store, ann) if not key.is_active and key.name == "default")
    assert keychanges.change(world.store, enabled.id, Wanted(is_active=True), BY).is_active and works(world, old)


@pytest.mark.parametrize("how", ["missing", "disabled", "expired"])
def test_whoever_comes_back_in_time_has_what_they_had(world: World, ann: str, how: str) -> None:
    """Within revive_within nothing but the state changes."""
    world.guard(grace=0)
    world.sync()
    old, entry = value_of(world), world.directory.people["id-ann"]
    leave(world, how)
    world.sync()
    world.clock.forward(days=89)
    world.directory.people["id-ann"] = entry
    assert world.sync().counts["keys_issued"] == 0
    assert world.keys("ann@corp.example") == [(old, True)]


def leave(world: World, how: str) -> None:
    if how == "missing":
        world.people(20)
        del world.directory.people["id-ann"]
    elif how == "disabled":
        world.directory.people["id-ann"] = replace_person(world, "ann", enabled=False)
    else:
        world.directory.people["id-ann"] = replace_person(world, "ann", expires_at=world.clock.now + 1)
        world.sync()
        world.clock.forward(seconds=1)


def test_a_dry_run_tells_who_would_get_a_key_and_changes_none(world: World) -> None:
    """First keys and renewals alike."""
    expiring(world)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    world.clock.forward(days=70)
    old = value_of(world)
    world.directory.add("bob", "bob@corp.example")
    run = world.sync(dry_run=True)
    assert sorted(change.email or "" for change in world.changes(run, "key_issued")) == ["ann@corp.example", "bob@corp.example"]
    assert value_of(world) == old and world.lookup("bob@corp.example").outcome == "user_not_found"
    assert "key.renewed" not in [kind for kind, _ in told(world)]


# -- what is said of it ----------------------------------------------------------------------------------------------------


def test_every_change_of_a_key_is_told_once_with_who_did_it(world: World, ann: str) -> None:
    """In the order in which it happened, by sync and admin alike; what has been read is told no more, and forgotten."""
    key, _ = keychanges.issue(world.store, world.vault, ann, name="a", by="admin:one")
    keychanges.change(world.store, key.id, Wanted(name="b", is_active=False, expires_at=START + DAY), Stamp("admin:two"))
    keychanges.change(world.store, key.id, Wanted(is_active=True), BY)
    keychanges.rotate(world.store, world.vault, key.id, BY)
    keyimports.take_in(world.store, world.vault, ann, VALUE, name="c", by="cli:admin")
    keychanges.delete(world.store, key.id, BY)
    people.block(world.store, ann, "operator:three")
    people.block(world.store, ann, "operator:four")
    people.unblock(world.store, ann, "operator:three")
    happened = [
        ("key.issued", "sync"), ("key.issued", "admin:one"), ("key.renamed", "admin:two"), ("key.expiry", "admin:two"), ("key.disabled", "admin:two"),
        ("key.enabled", "cli:admin"), ("key.rotated", "cli:admin"), ("key.imported", "cli:admin"), ("key.deleted", "cli:admin"),
        ("user.blocked", "operator:three"), ("user.unblocked", "operator:three"),
    ]  # fmt: skip
    assert told(world) == happened
    read = events.unread(world.store, "audit")
    events.advance(world.store, "audit", read[3].event)
    assert told(world) == happened[4:]
    events.advance(world.store, "audit", read[1].event)
    assert told(world) == happened[4:], "nobody reads the same twice because an older place came late"


def test_no_event_carries_a_value(world: World, ann: str) -> None:
    """Ids, names and moments only."""
    _, value = keychanges.issue(world.store, world.vault, ann, name="a", by="admin:one")
    keyimports.take_in(world.store, world.vault, ann, VALUE, name="c", by="cli:admin")
    everything = repr(events.unread(world.store, "audit"))
    assert value not in everything and VALUE not in everything


def test_keys_are_listed_in_pages_and_searched(world: World) -> None:
    """By owner; `search` finds names and addresses, and wildcards are text."""
    world.people(25)
    world.sync()
    page = keys.page_keys(world.store, limit=10, offset=20)
    assert (page.count, page.total_count, page.limit, page.offset) == (5, 25, 10, 20)
    assert [key.email for key in keys.page_keys(world.store, search="P7@").virtual_keys] == ["p7@corp.example"]
    assert keys.page_keys(world.store, search="%").total_count == 0


# -- sealing anew ----------------------------------------------------------------------------------------------------------


def renewed_vault(world: World) -> tuple[Vault, Vault]:
    """Return (new and old key, new key alone)."""
    new, old = generate_key_line(), world.key_line
    return Vault.parse(Secret(f"{new}\n{old}")), Vault.parse(Secret(new))


def test_after_rewrap_the_old_encryption_key_is_needed_no_more(world: World, ann: str) -> None:
    """Values open and are found with the new key alone, also one in its overlap; the old key alone opens nothing."""
    world.people(1200)
    world.sync()
    old = value_of(world)
    keychanges.rotate(world.store, world.vault, key_id(world), BY, overlap=3_600_000)
    keyring.bind_vault(world.store, world.vault)
    both, new = renewed_vault(world)
    with pytest.raises(ConfigError, match=world.vault.key_names[0]):
        keyring.bind_vault(world.store, new)
    assert keyring.rewrap(world.store, both) == 1202
    assert keyring.rewrap(world.store, both) == 0
    keyring.bind_vault(world.store, new)
    with pytest.raises(ConfigError):
        keyring.bind_vault(world.store, world.vault)
    world.vault = new
    assert works(world, old) and all(works(world, value) for value, _ in world.keys("p1199@corp.example"))


def test_a_rewrap_that_was_killed_goes_on_where_it_was(world: World) -> None:
    """Every key opens at every moment between."""
    world.people(1100)
    world.sync()
    both, new = renewed_vault(world)

    def die(done: int, total: int) -> None:
        assert total == 1100
        if done >= 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keyring.rewrap(world.store, both, die)
    world.vault = both
    assert all(works(world, value) for n in (0, 600, 1099) for value, _ in world.keys(f"p{n}@corp.example"))
    assert keyring.rewrap(world.store, both) == 600
    world.vault = new
    assert world.keys("p7@corp.example")[0][1]


def test_what_seals_with_a_key_out_of_use_is_refused(world: World, ann: str) -> None:
    """A run that began before the rewrap ended commits nothing that nobody could open."""
    both, _ = renewed_vault(world)
    keyring.rewrap(world.store, both)
    world.directory.add("bob", "bob@corp.example")
    run = world.sync(expect="failed")
    assert run.error is not None and run.error.code == "vault_key_retired"
    with pytest.raises(Conflict, match="taken out of use"):
        keychanges.issue(world.store, world.vault, ann, name="x", by="cli:admin")


def test_lookups_and_syncs_go_on_while_everything_is_sealed_anew(world: World) -> None:
    """Readers with both keys never meet a value they cannot open or find, and a run in between stays whole."""
    world.people(2000)
    world.sync()
    both, _ = renewed_vault(world)
    ended, failures, asked = threading.Event(), [], 0

    def ask() -> None:
        nonlocal asked
        store = open_store(world.settings_of_store, clock=world.clock)
        values = {}
        while not ended.is_set():
            asked += 1
            name = f"p{asked * 7919 % 2000}@corp.example"
            found = lookup.by_address(store, name)
            value = both.open(found.keys[0].sealed, found.keys[0].id, found.user_id)
            if values.setdefault(name, value) != value or lookup.by_key(store, both.digests(value), asked=None) is None:
                failures.append(name)
        store.close()

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        assert keyring.rewrap(world.store, both, lambda done, total: time.sleep(0.01)) == 2000
        world.directory.add("late", "late@corp.example")
        run = runs.request(world.store, "corp", trigger="cli", requested_by="test")
        assert perform(replace(world.setting(), vault=both), run.id).state == "succeeded"
    finally:
        ended.set()
        asker.join()
    assert asked > 50 and failures == []


def test_only_living_daemons_count_as_behind(world: World) -> None:
    """A daemon that fell silent, or said goodbye, holds nobody up."""
    nodes.announce(world.store, "one/1", ("old",))
    nodes.announce(world.store, "two/2", ("new", "old"))
    assert nodes.without_key(world.store, "new") == ["one/1"]
    nodes.leave(world.store, "one/1")
    assert nodes.without_key(world.store, "new") == []
    nodes.announce(world.store, "three/3", ("old",))
    world.clock.forward(seconds=61)
    assert nodes.without_key(world.store, "new") == []
    nodes.announce(world.store, "four/4", ("new",))
    with world.store.read() as connection:
        assert connection.execute(text("select count(*) from meta where name like 'node:%'")).scalar_one() == 1
