"""Histories that somebody thought up to break a rule, each at the lowest level that shows it."""

from __future__ import annotations

from sync.directory import Refused
from sync.settings import Policy
from sync.store import runs, sources
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
