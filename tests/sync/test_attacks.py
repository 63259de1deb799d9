"""Histories that somebody thought up to break a rule, each at the lowest level that shows it."""

from __future__ import annotations

from sync.settings import Policy
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
