"""Histories that somebody thought up to break a rule, each at the lowest level that shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync import jump
from sync.address import normalise
from sync.directory import Listed, Refused
from sync.run import perform
from sync.settings import Policy
from sync.store import addresses, forgetting, people, runs, sources
from sync.store.lease import Progress
from tests.sync.world import World


def test_who_comes_back_without_the_group_comes_back_without_its_key(world: World) -> None:
    """A key whose policy is no longer met is off from the run that brings its owner back, not from the next one, and nobody is asked."""
    world.policies = (Policy("ai", groups=("ai",)),)
    world.guard(max_removed=0, max_removed_percent=0)
    world.directory.add("ann", "ann@corp.example", groups=("ai",))
    world.directory.add("bob", "bob@corp.example", groups=("ai",))
    world.sync()
    world.directory.change("id-ann", enabled=False)
    world.sync()
    world.directory.change("id-ann", groups=())
    world.sync()
    world.directory.change("id-ann", enabled=True)
    world.sync()
    assert not world.keys("ann@corp.example")[0][1]


def test_a_read_that_proves_nothing_ends_no_silence(world: World) -> None:
    """Who is silenced stays so until they come back; not seeing whether they did is not their coming back."""
    world.people(100)
    world.sync()
    for number in range(20):
        world.directory.people.pop(f"id-p{number}")
    runs.discard(world.store, world.sync(expect="held").id, "cli:admin")
    world.directory.refused = [Refused("uid=x", "shows no id")]
    world.sync()
    world.directory.refused = []
    world.sync()


def test_a_read_that_proves_nothing_uses_up_no_approval(world: World) -> None:
    """An approval whose run could not tell who is still gone stands for the next one."""
    world.people(100)
    world.sync()
    for number in range(20):
        world.directory.people.pop(f"id-p{number}")
    runs.approve(world.store, world.sync(expect="held").id, "cli:admin")
    world.directory.refused = [Refused("uid=x", "shows no id")]
    world.sync()
    world.directory.refused = []
    assert world.sync().counts["missing"] == 20


def test_a_read_that_proves_nothing_closes_no_hold(world: World) -> None:
    """What waits for a decision goes on waiting while the directory hides the people it is about."""
    world.people(100)
    world.sync()
    for number in range(20):
        world.directory.people.pop(f"id-p{number}")
    held = world.sync(expect="held")
    world.directory.refused = [Refused("uid=x", "shows no id")]
    world.sync()
    assert (hold := sources.get_source(world.store, "corp").open_hold)
    assert hold.run == held.id


def test_one_address_written_over_everybodys_takes_nobodys_last_one_unseen(world: World) -> None:
    """A directory that gives everyone the same address takes the last one they hold: the guard weighs that when the quarantine ends."""
    world.people(50)
    world.sync()
    for number in range(50):
        world.directory.change(f"id-p{number}", emails=(Listed("info@corp.example", normalise("info@corp.example")),))
    world.sync()
    for _ in range(3):
        world.clock.forward(days=4)
        run = runs.request(world.store, "corp", trigger="cli", requested_by="test")
        ended = perform(world.setting(), run.id)
    assert (ended.state, ended.counts["withheld"]) == ("held", 50)
    assert all(world.lookup(f"p{number}@corp.example").outcome == "found" for number in range(50))


def test_a_clock_that_jumped_ends_no_grace_and_no_quarantine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grace and quarantine are time that passed, whatever the clock was set to meanwhile."""
    world.directory.add("ann", "ann@corp.example")
    world.directory.add("bob", "bob@corp.example", "b@corp.example")
    world.sync()
    gone = world.directory.people.pop("id-ann")
    world.directory.add("bob", "bob@corp.example")
    world.sync()
    for _ in range(3):
        world.sync()
    stamp = jump.take_stamp()
    monkeypatch.setattr(jump, "take_stamp", lambda: replace_stamp(stamp, wall=8 * 86_400_000))
    world.clock.forward(days=8)
    world.sync()
    for _ in range(3):
        world.clock.forward(seconds=60)
        world.sync()
    assert world.lookup("b@corp.example").outcome == "found"
    assert world.lookup("ann@corp.example").outcome == "found"
    world.directory.people["id-ann"] = gone


def replace_stamp(stamp: jump.Stamp, wall: int) -> jump.Stamp:
    return jump.Stamp(stamp.boot, stamp.wall + wall, stamp.since_boot)


def test_whoever_was_removed_is_forgotten_whatever_they_were_spared_before(world: World) -> None:
    """Names and addresses go after forget_after, also of somebody whose last change had been withheld."""
    world.guard(max_removed=0, max_removed_percent=0)
    world.people(3)
    world.sync()
    world.directory.change("id-p0", emails=())
    world.sync(expect="held")
    world.directory.people.pop("id-p0")
    held = world.sync(expect="held")
    runs.approve(world.store, held.id, "cli:admin")
    world.sync()
    for _ in range(4):
        world.clock.forward(days=4)
        world.sync()
    user = people.find_user(world.store, "p0@corp.example")
    assert user.state == "removed"
    world.clock.forward(days=400)
    forgetting.forget_removed(world.store, 365 * 86_400_000)
    assert people.get_user(world.store, user.id).name == ""


def test_one_person_at_once_is_not_a_hundred(world: World) -> None:
    """`--only` with an address that everybody lists does not lead everybody past the guard."""
    for number in range(60):
        world.directory.add(f"p{number}", f"p{number}@corp.example", "info@corp.example")
    world.sync()
    for number in range(60):
        world.directory.people.pop(f"id-p{number}")
    refused = world.sync(only="info@corp.example", expect="failed")
    assert refused.error
    assert refused.error.code == "too_many_people"
    assert world.sync(only="p7@corp.example").counts["missing"] == 1


def test_an_entry_deleted_settles_the_conflict_it_was_in(world: World) -> None:
    """Two equal claims, one entry deleted: the other gets the address in that run."""
    world.directory.add("ann", "ann@corp.example", "team@corp.example")
    world.directory.add("bob", "bob@corp.example", "team@corp.example")
    world.sync()
    assert world.lookup("team@corp.example").outcome == "address_contested"
    world.directory.people.pop("id-bob")
    world.sync()
    found = world.lookup("team@corp.example")
    assert (found.outcome, found.email) == ("found", "ann@corp.example")


def test_an_address_is_weighed_also_when_somebody_elsewhere_lists_it_at_the_last_moment(world: World) -> None:
    """Another source commits its claim between this one's plan and commit: the address stays until the guard has seen it."""
    world.guard(max_removed=0, max_removed_percent=0)
    world.add_source("partner")
    world.directory.add("ann", "ann@corp.example", "a@corp.example")
    world.directories["partner"].add("eve", "eve@corp.example")
    world.sync()
    world.sync("partner")
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    world.clock.forward(days=8)
    world.directories["partner"].add("eve", "eve@corp.example", "a@corp.example")

    def meanwhile(progress: Progress) -> None:
        if progress.phase == "keys":
            world.sync("partner")

    run = runs.request(world.store, "corp", trigger="cli", requested_by="test")
    ended = perform(replace(world.setting(), progress=meanwhile), run.id)
    assert people.get_user(world.store, world.lookup("a@corp.example").user_id).external_id == "id-ann", ended


def test_everybody_read_is_counted_once(world: World) -> None:
    """Who was unproven and is seen again as before is unchanged, not uncounted."""
    world.people(5)
    world.sync()
    world.directory.hidden.add("id-p1")
    world.sync()
    world.directory.hidden.clear()
    assert world.sync().counts["unchanged"] == 5


def test_who_comes_back_to_find_their_address_taken_is_reported(world: World) -> None:
    """Removed, succeeded, back: the successor keeps the address and the run names both."""
    world.directory.add("ann", "boss@corp.example")
    world.directory.add("bob", "bob@corp.example")
    world.sync()
    ann = world.directory.people.pop("id-ann")
    for _ in range(4):
        world.clock.forward(days=4)
        world.sync()
    world.directory.add("bob", "bob@corp.example", "boss@corp.example")
    world.sync()
    world.directory.people["id-ann"] = ann
    run = world.sync()
    assert run.counts["contested"] == 1
    assert addresses.conflicts(world.store)


def test_a_value_left_out_is_named_in_the_run_that_left_it_out(world: World) -> None:
    """A malformed address added to an entry that is otherwise as before appears in the change log."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    world.directory.add("ann", "ann@corp.example", dropped=[("mail", "no address", "has no @")])
    run = world.sync()
    assert [change.kind for change in world.changes(run)] == ["refused"]


def test_an_ended_quarantine_costs_nobody_anything_in_a_read_that_frees_nothing(world: World) -> None:
    """Only a complete read frees addresses; until then none is counted as lost."""
    world.guard(max_removed=0, max_removed_percent=0)
    world.directory.add("ann", "ann@corp.example", "a@corp.example")
    world.sync()
    world.directory.add("eve", "eve@corp.example", "a@corp.example")
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    world.clock.forward(days=8)
    world.directory.refused = [Refused("uid=x", "shows no id")]
    world.sync()
