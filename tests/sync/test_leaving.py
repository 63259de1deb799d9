"""People who are let go for good, and those whom another source takes over."""

from __future__ import annotations

import pytest

from sync.errors import Conflict, NotFound
from sync.store import adopting, forgetting, keychanges, keys, lookup, people, sources, tokens
from tests.sync.world import World

BY = "cli:admin"


def take_out(world: World, name: str) -> None:
    """Take a source out of the configuration."""
    del world.settings[name]
    world.declare()


@pytest.fixture
def moved(world: World) -> World:
    """A company that is in an old source, and since today in a new one too; the old one is no longer configured."""
    world.people(5)
    world.sync()
    fresh = world.add_source("fresh")
    for number in range(4):
        fresh.add(f"n{number}", f"p{number}@corp.example", f"alias{number}@corp.example", username=f"P{number}")
    fresh.add("joiner", "joiner@corp.example")
    world.sync("fresh")
    take_out(world, "corp")
    return world


def test_adopted_people_keep_id_addresses_and_keys(moved: World) -> None:
    """Before, right after, and after the next sync of the new source the lookup answers the same; the new directory decides from then on."""
    before = {number: (moved.lookup(f"p{number}@corp.example").user_id, moved.keys(f"p{number}@corp.example")) for number in range(5)}
    tried = adopting.adopt(moved.store, "corp", "fresh", "email", BY, dry_run=True)
    assert (tried.adopted, tried.unmatched, moved.lookup("p0@corp.example").source) == (4, 1, "corp")
    done = adopting.adopt(moved.store, "corp", "fresh", "email", BY)
    assert (done.adopted, done.names["unmatched"]) == (4, ["p4"])
    for _ in range(2):
        assert {n: (moved.lookup(f"p{n}@corp.example").user_id, moved.keys(f"p{n}@corp.example")) for n in range(5)} == before
        run = moved.sync("fresh")
        assert (run.counts["added"], run.counts["missing"], run.counts["contested"]) == (0, 0, 0)
    assert people.get_user(moved.store, before[0][0]).external_id == "id-n0"
    moved.directories["fresh"].change("id-n0", enabled=False)
    moved.sync("fresh")
    assert not moved.keys("p0@corp.example")[0][1]
    assert adopting.adopt(moved.store, "corp", "fresh", "email", BY).adopted == 0


def test_people_are_matched_by_user_name_in_any_case(moved: World) -> None:
    """With --match username nothing of the addresses counts."""
    assert adopting.adopt(moved.store, "corp", "fresh", "username", BY).adopted == 4


def test_whoever_could_be_several_stays_where_they_are(moved: World) -> None:
    """Two people of the new source with one address of the old user, and one with the addresses of two old users: nobody is guessed."""
    fresh = moved.directories["fresh"]
    fresh.add("twin", "other@corp.example", "p1@corp.example")
    fresh.change("id-n2", emails=(*fresh.people["id-n2"].emails, *fresh.people["id-n3"].emails))
    moved.sync("fresh")
    done = adopting.adopt(moved.store, "corp", "fresh", "email", BY)
    assert (done.adopted, sorted(done.names["ambiguous"])) == (1, ["p1", "p2", "p3"])


def test_a_twin_with_a_key_made_by_hand_is_not_merged_away(moved: World) -> None:
    """A value somebody may carry already is not thrown away unasked."""
    twin = next(user for user in people.list_users(moved.store, source="fresh").users if user.username == "P0")
    keychanges.issue(moved.store, moved.vault, twin.id, name="by hand", by=BY)
    assert adopting.adopt(moved.store, "corp", "fresh", "email", BY).names["busy"] == ["p0"]


def test_a_source_is_adopted_only_from_outside_into_one_that_was_read(world: World) -> None:
    """A configured source keeps its people; an unread one cannot take any."""
    world.people(3)
    world.sync()
    world.add_source("fresh")
    with pytest.raises(Conflict, match="is in the configuration"):
        adopting.adopt(world.store, "corp", "fresh", "email", BY)
    take_out(world, "corp")
    with pytest.raises(Conflict, match="has not been read"):
        adopting.adopt(world.store, "corp", "fresh", "email", BY)
    with pytest.raises(NotFound):
        adopting.adopt(world.store, "nosuch", "fresh", "email", BY)


def test_a_forgotten_source_frees_addresses_for_whoever_lists_them(moved: World) -> None:
    """Its people's keys are dead, and the claimants of another source hold the addresses at once; the number must be the one expected."""
    old = moved.keys("p0@corp.example")[0][0]
    with pytest.raises(Conflict, match="has 5 active people, not 4"):
        forgetting.forget_source(moved.store, "corp", 4, BY)
    assert forgetting.forget_source(moved.store, "corp", 0, BY, dry_run=True).active == 5
    assert moved.lookup("p0@corp.example").source == "corp"
    assert forgetting.forget_source(moved.store, "corp", 5, BY).people == 5
    assert (moved.lookup("p0@corp.example").source, moved.lookup("p4@corp.example").outcome) == ("fresh", "user_removed")
    found = lookup.by_key(moved.store, moved.vault.digests(old), asked=None)
    assert found is not None and not found.key_active
    assert sources.get_source(moved.store, "corp").people["removed"] == 5


def test_a_configured_source_is_never_forgotten(world: World) -> None:
    """Its directory decides about its people."""
    world.people(3)
    world.sync()
    with pytest.raises(Conflict, match="is in the configuration"):
        forgetting.forget_source(world.store, "corp", 3, BY)


def test_an_erased_user_leaves_nothing_but_an_id(world: World) -> None:
    """Name, addresses, keys, notes of runs and tokens go; while the directory shows them it is refused; seen again it is the same id."""
    world.guard(grace=0)
    world.people(20)
    world.sync()
    user = world.lookup("p7@corp.example").user_id
    value = world.keys("p7@corp.example")[0][0]
    now = world.clock.now
    tokens.add(world.store, [tokens.NewToken(jti="d1", role="device", user_id=user, issued_at=now, issued_by=BY, expires_at=now + 10**9)])
    with pytest.raises(Conflict, match="still shows this user"):
        forgetting.erase(world.store, user, BY)
    person = world.directory.people.pop("id-p7")
    world.sync()
    forgetting.erase(world.store, user, BY)
    view = people.get_user(world.store, user)
    assert (view.username, view.name, view.email, view.emails, view.virtual_keys, view.state) == ("", "", "", [], [], "removed")
    assert tokens.usable(world.store, "d1") is None
    assert lookup.by_key(world.store, world.vault.digests(value), asked=None) is None
    with world.store.read() as connection:
        for table in ("user", "claim", "change", "event", "virtual_key"):
            rows = connection.exec_driver_sql(f'select * from "{table}"').all()
            assert not [row for row in rows if "p7@corp" in str(row) or "alias7" in str(row)], table
    world.directory.people["id-p7"] = person
    world.sync()
    assert world.lookup("p7@corp.example").user_id == user
    assert [key.name for key in keys.list_keys(world.store, user)] == []
