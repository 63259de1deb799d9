"""A run from request to outcome, on a real store and a directory in memory."""

from __future__ import annotations

import pytest

from sync.directory import Person, Refused
from sync.errors import SourceIncomplete, SourceRefused
from sync.run import perform
from sync.settings import Policy
from sync.store import people, runs, sources
from tests.sync.world import World


def test_the_first_sync_gives_everybody_a_key_that_the_lookup_answers(world: World) -> None:
    """Directory in, key out: each person is found by every address and has one active key."""
    world.people(3)
    run = world.sync()
    assert (run.counts["added"], run.counts["keys_issued"], run.mode_reason) == (3, 3, "first read")
    ((value, active),) = world.keys("ALIAS1@corp.example")
    assert value.startswith("sk-bf-")
    assert active
    assert world.lookup("alias1@corp.example").email == "p1@corp.example"


def test_a_sync_that_finds_nothing_new_writes_no_user(world: World) -> None:
    """The second sync says unchanged and touches no user row."""
    world.people(20)
    world.sync()
    before = [user.updated_at for user in people.list_users(world.store, limit=100).users]
    world.clock.forward(seconds=60)
    run = world.sync()
    assert run.counts["unchanged"] == 20
    assert not any(count for kind, count in run.counts.items() if kind != "unchanged")
    assert [user.updated_at for user in people.list_users(world.store, limit=100).users] == before


def test_rename_move_and_new_address_in_one_edit_keep_user_and_key(world: World) -> None:
    """Everything about the entry changes but its id: same user, same key, the new address answers."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    before, keys = world.lookup("ann@corp.example"), world.keys("ann@corp.example")
    world.directory.add("eve", "eve@corp.example", id="id-ann", place="uid=eve,ou=elsewhere")
    world.sync()
    assert world.lookup("eve@corp.example").user_id == before.user_id
    assert world.keys("eve@corp.example") == keys
    assert world.keys("ann@corp.example") == keys, "the old address is in quarantine and still theirs"


def test_disabled_in_the_directory_makes_keys_inactive_and_back_makes_them_active(world: World) -> None:
    """The directory's word about one person holds from the commit on, both ways."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    world.directory.change("id-ann", enabled=False)
    assert world.sync().counts["disabled"] == 1
    assert [active for _, active in world.keys("ann@corp.example")] == [False]
    world.directory.change("id-ann", enabled=True)
    assert world.sync().counts["enabled"] == 1
    assert [active for _, active in world.keys("ann@corp.example")] == [True]


def test_an_expiry_date_is_judged_at_the_lookup(world: World) -> None:
    """Nobody needs a sync to expire: the date travelled with the person."""
    world.directory.add("ann", "ann@corp.example", expires_at=world.clock.now + 1000)
    world.sync()
    assert world.keys("ann@corp.example")[0][1]
    world.clock.forward(seconds=2)
    assert not world.keys("ann@corp.example")[0][1]


def test_sixty_of_a_thousand_are_held_while_everything_else_takes_effect(world: World) -> None:
    """The must-show of the guard, from the hold through the approval to the way back."""
    world.people(1000)
    world.sync()
    keys = {n: world.keys(f"p{n}@corp.example") for n in range(70)}
    away = {f"id-p{n}": world.directory.people.pop(f"id-p{n}") for n in range(60)}
    world.directory.add("joiner", "joiner@corp.example")
    world.directory.change("id-p999", enabled=False)
    held = world.sync(expect="held")
    assert (held.counts["withheld"], held.counts["missing"], held.counts["added"], held.counts["disabled"]) == (60, 0, 1, 1)
    assert world.keys("p0@corp.example")[0][1]
    assert not world.keys("p999@corp.example")[0][1]
    hold = sources.get_source(world.store, "corp").open_hold
    assert hold is not None
    assert "60 people of 1000" in hold.why

    away |= {f"id-p{n}": world.directory.people.pop(f"id-p{n}") for n in range(60, 70)}
    requested = runs.approve(world.store, held.id, "cli:admin")
    approved = perform(world.setting(), requested.id)
    assert (approved.state, approved.counts["missing"], approved.counts["withheld"]) == ("held", 60, 10)
    assert not world.keys("p0@corp.example")[0][1]
    assert world.keys("p65@corp.example")[0][1]

    world.directory.people |= away
    back = world.sync()
    assert back.counts["returned"] == 60
    assert {n: world.keys(f"p{n}@corp.example") for n in range(70)} == keys


def test_slices_under_the_limit_add_up(world: World) -> None:
    """Ten an hour is as good as sixty at once: the eleventh within 24 hours waits, the day after it does not."""
    world.people(100)
    world.sync()
    for number in range(10):
        world.directory.people.pop(f"id-p{number}")
    assert world.sync().counts["missing"] == 10
    world.directory.people.pop("id-p10")
    assert world.sync(expect="held").counts["withheld"] == 1
    world.clock.forward(days=1.1)
    assert world.sync().counts["missing"] == 1


def test_a_discarded_hold_stays_silent_until_it_grows(world: World) -> None:
    """Discarding means: leave these people, and do not ask again about exactly them."""
    world.people(100)
    world.sync()
    for number in range(20):
        world.directory.people.pop(f"id-p{number}")
    held = world.sync(expect="held")
    assert runs.discard(world.store, held.id, "cli:admin").state == "discarded"
    assert world.sync().counts["withheld"] == 20
    for number in range(20, 40):
        world.directory.people.pop(f"id-p{number}")
    assert world.sync(expect="held").counts["withheld"] == 40


def test_who_is_hidden_is_unproven_and_kept(world: World) -> None:
    """Silence is not a departure: absent without evidence means kept, counted and named."""
    world.people(30)
    world.sync()
    world.directory.hidden = {f"id-p{n}" for n in range(20)}
    run = world.sync()
    assert (run.counts["unproven"], run.counts["missing"], run.counts["withheld"]) == (20, 0, 0)
    assert world.keys("p0@corp.example")[0][1]
    assert sources.get_source(world.store, "corp").unproven == 20
    world.directory.hidden = set()
    world.sync()
    assert sources.get_source(world.store, "corp").unproven == 0


def test_losing_mail_for_everybody_is_held_and_every_address_still_answers(world: World) -> None:
    """An ACL that hides `mail` takes no address from anybody."""
    world.people(50)
    world.sync()
    for number in range(50):
        world.directory.change(f"id-p{number}", emails=())
    assert world.sync(expect="held").counts["withheld"] == 50
    assert world.keys("p7@corp.example")[0][1]
    assert world.sync(expect="held").counts["withheld"] == 50, "and it is still seen by the next run"


def test_an_empty_answer_changes_nothing(world: World) -> None:
    """A directory that suddenly has nobody is not believed."""
    world.people(5)
    world.sync()
    world.directory.people.clear()
    run = world.sync(expect="failed")
    assert run.error is not None
    assert run.error.code == "empty_answer"
    assert world.keys("p1@corp.example")[0][1]


def test_half_a_directory_changes_nothing(world: World) -> None:
    """A read that breaks off after the first page leaves every user, key and address as it was."""
    world.people(1200)
    world.sync()
    world.directory.error, world.directory.error_after = SourceIncomplete("size_limit", "500 entries and no more."), 500
    world.directory.change("id-p1", enabled=False)
    run = world.sync(expect="failed")
    assert (run.error.code if run.error else None, run.entries) == ("size_limit", 500)
    assert world.keys("p1@corp.example")[0][1]


def test_an_entry_without_id_stops_no_joiner_and_lets_nobody_go(world: World) -> None:
    """While one entry cannot be told apart nobody's absence counts, and the run says why."""
    world.people(20)
    world.sync()
    world.directory.refused = [Refused("uid=ghost", "has no readable entryUUID")]
    world.directory.people.pop("id-p0")
    world.directory.add("joiner", "joiner@corp.example")
    run = world.sync()
    assert (run.complete, run.counts["added"], run.counts["missing"], run.counts["unproven"], run.counts["refused"]) == (False, 1, 0, 1, 1)


def test_too_many_entries_without_id_change_nothing(world: World) -> None:
    """An ACL that hides the ids of many is a failed run that names the first."""
    world.people(20)
    world.sync()
    world.directory.refused = [Refused(f"uid=ghost{n}", "has no readable entryUUID") for n in range(11)]
    world.directory.add("joiner", "joiner@corp.example")
    run = world.sync(expect="failed")
    assert run.error is not None
    assert run.error.code == "too_many_refused"
    assert "uid=ghost0" in run.error.message
    assert world.lookup("joiner@corp.example").outcome == "user_not_found"


@pytest.mark.parametrize("owner_enabled", [True, False])
def test_nobody_gains_an_address_by_listing_it(world: World, owner_enabled: bool) -> None:
    """The owner keeps the address, also while disabled; the conflict names both; the run succeeds."""
    world.directory.add("owner", "boss@corp.example")
    world.directory.add("eve", "eve@corp.example")
    world.sync()
    owner = world.lookup("boss@corp.example").user_id
    world.directory.change("id-owner", enabled=owner_enabled)
    world.directory.add("eve", "eve@corp.example", "boss@corp.example")
    run = world.sync()
    assert world.lookup("boss@corp.example").user_id == owner
    (conflict,) = world.changes(run, "contested")
    assert "uid=eve" in (conflict.reason or "")
    assert "uid=owner" in (conflict.evidence or "")


def test_equal_new_claims_withhold_the_address_from_both(world: World) -> None:
    """Two newcomers with one address: nobody gets it until one of them lets go."""
    world.directory.add("a", "a@corp.example", "shared@corp.example")
    world.directory.add("b", "b@corp.example", "shared@corp.example")
    world.sync()
    assert world.lookup("shared@corp.example").outcome == "address_contested"
    world.directory.add("b", "b@corp.example")
    world.sync()
    assert world.lookup("shared@corp.example").email == "a@corp.example"


def test_a_dropped_address_goes_to_somebody_else_only_after_quarantine(world: World) -> None:
    """Seven days the old owner keeps it; then whoever lists it may have it."""
    world.directory.add("old", "old@corp.example", "desk@corp.example")
    world.sync()
    old = world.lookup("desk@corp.example").user_id
    world.directory.add("old", "old@corp.example")
    world.directory.add("new", "new@corp.example", "desk@corp.example")
    world.sync()
    world.clock.forward(days=6)
    world.sync()
    assert world.lookup("desk@corp.example").user_id == old
    world.clock.forward(days=2)
    world.sync()
    assert world.lookup("desk@corp.example").email == "new@corp.example"


def test_a_leaver_is_removed_after_grace_and_two_more_reads_and_comes_back_as_themselves(world: World) -> None:
    """missing → removed frees the addresses; seen again it is the same user with the same key."""
    world.people(20)
    world.sync()
    user, keys = world.lookup("p0@corp.example").user_id, world.keys("p0@corp.example")
    gone = world.directory.people.pop("id-p0")
    world.sync()
    assert not world.keys("p0@corp.example")[0][1]
    world.clock.forward(days=8)
    assert world.sync().counts["removed"] == 0, "one more read is not two"
    assert world.sync().counts["removed"] == 1
    assert world.lookup("p0@corp.example").outcome == "user_removed"
    world.directory.people["id-p0"] = gone
    assert world.sync().counts["returned"] == 1
    assert (world.lookup("p0@corp.example").user_id, world.keys("p0@corp.example")) == (user, keys)


def test_a_removed_persons_address_may_go_to_their_successor(world: World) -> None:
    """Only removal frees an address: while missing the leaver's address answers with inactive keys."""
    world.people(20)
    world.sync()
    leaver = world.lookup("p0@corp.example").user_id
    world.directory.people.pop("id-p0")
    world.directory.add("heir", "heir@corp.example", "p0@corp.example")
    world.sync()
    assert world.lookup("p0@corp.example").user_id == leaver
    assert not world.keys("p0@corp.example")[0][1]
    world.clock.forward(days=8)
    world.sync()
    world.sync()
    assert world.lookup("p0@corp.example").email == "heir@corp.example"


def test_a_dry_run_says_everything_and_changes_nothing(world: World) -> None:
    """The dry run is the real run less its commit: same counts, same changes, an untouched store."""
    world.people(20)
    world.sync()
    world.directory.people.pop("id-p0")
    world.directory.change("id-p1", enabled=False)
    world.directory.add("new", "new@corp.example")
    dry = world.sync(dry_run=True)
    assert world.lookup("new@corp.example").outcome == "user_not_found"
    assert world.keys("p0@corp.example")[0][1]
    real = world.sync()
    assert dry.counts == real.counts

    def told(run: object) -> list[tuple[str, str | None, str | None]]:
        return sorted((c.kind, c.external_id, c.reason) for c in world.changes(run))  # type: ignore[arg-type]

    assert told(dry) == told(real)


def test_a_dry_run_over_the_limit_is_held_and_opens_no_hold(world: World) -> None:
    """What would wait for a human is told, and nobody can approve a rehearsal."""
    world.people(100)
    world.sync()
    for number in range(20):
        world.directory.people.pop(f"id-p{number}")
    assert world.sync(dry_run=True, expect="held").counts["withheld"] == 20
    assert sources.get_source(world.store, "corp").open_hold is None


def test_only_one_person_is_read_and_applied_outside_the_guard(world: World) -> None:
    """`--only` touches the one person asked for, and no limit stands in the way."""
    world.people(20)
    world.sync()
    world.guard(max_removed=0, max_removed_percent=0)
    world.directory.people.pop("id-p0")
    world.directory.change("id-p1", enabled=False)
    run = world.sync(only="p0@corp.example")
    assert (run.counts["missing"], run.counts["disabled"]) == (1, 0)
    assert world.keys("p1@corp.example")[0][1]
    world.directory.add("new", "new@corp.example")
    assert world.sync(only="NEW@corp.example").counts["added"] == 1
    assert world.keys("new@corp.example")[0][1]


def test_a_changed_filter_holds_the_first_departure_and_names_the_key(world: World) -> None:
    """Right after a change of configuration not one person goes without a human."""
    world.people(20)
    world.sync()
    world.configure(digest="d2", parts={"base": "b1", "filter": "f2"})
    world.directory.people.pop("id-p0")
    held = world.sync(expect="held")
    assert held.mode_reason == "the configuration changed: filter"
    hold = sources.get_source(world.store, "corp").open_hold
    assert hold is not None
    assert "(filter)" in hold.why
    assert world.sync(expect="held").counts["withheld"] == 1, "waiting changes nothing"


def test_a_policy_gives_one_key_ever_and_takes_back_only_its_own_disabling(world: World) -> None:
    """Out of the group: disabled. In again: the same key enabled. Never a second one."""
    world.policies = (Policy("ai", groups=("ai",)),)
    world.people(20)
    for number in range(20):
        world.directory.change(f"id-p{number}", groups=("ai",))
    world.sync()
    keys = world.keys("p0@corp.example")
    world.directory.change("id-p0", groups=())
    assert world.sync().counts["keys_disabled"] == 1
    assert [active for _, active in world.keys("p0@corp.example")] == [False]
    world.directory.change("id-p0", groups=("ai",))
    assert world.sync().counts["keys_issued"] == 1
    assert world.keys("p0@corp.example") == keys


def test_an_issuing_group_that_vanishes_takes_no_key(world: World) -> None:
    """A group not found, or empty all at once, is no reason to disable a single key."""
    world.policies = (Policy("ai", groups=("ai",)),)
    world.people(3)
    for number in range(3):
        world.directory.change(f"id-p{number}", groups=("ai",))
    world.sync()
    world.directory.groups = {}
    world.directory.change("id-p0", groups=())
    run = world.sync(expect="held")
    assert (run.counts["keys_disabled"], run.counts["withheld"]) == (0, 1)
    assert world.keys("p0@corp.example")[0][1]


def test_who_holds_no_address_gets_no_key_until_they_do(world: World) -> None:
    """A key without an address would be nobody's: it is issued in the run that gives them one."""
    world.directory.add("ann")
    assert world.sync().counts["keys_issued"] == 0
    world.directory.add("ann", "ann@corp.example")
    assert world.sync().counts["keys_issued"] == 1


def test_two_wrong_passwords_are_the_last(world: World) -> None:
    """rosterd locks nobody's bind account: after two refusals it does not even try."""
    world.people(1)
    world.sync()
    world.directory.error = SourceRefused("invalid_credentials", "wrong password")
    world.sync(expect="failed")
    world.sync(expect="failed")
    world.directory.error = SourceRefused("tried_again", "a third bind was made")
    run = world.sync(expect="failed")
    assert run.error is not None
    assert run.error.code == "invalid_credentials"
    world.directory.error = None
    world.configure(bind_dn="cn=other")
    world.sync()


def test_a_blocked_user_stays_blocked_through_every_sync(world: World) -> None:
    """An admin's own decision is not the directory's to undo."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    people.block(world.store, world.lookup("ann@corp.example").user_id, "cli:admin")
    world.directory.add("ann", "ann@corp.example", name="Anna")
    world.sync()
    assert not world.keys("ann@corp.example")[0][1]


def test_two_sources_keep_apart_and_the_first_in_the_file_wins_a_free_address(world: World) -> None:
    """The same id in two directories is two users; who holds an address keeps it whatever the order."""
    partner = world.add_source("partner")
    world.policies = (Policy("default", sources=("corp", "partner")),)
    partner.add("x", "x@corp.example", id="id-same")
    world.directory.add("y", "y@corp.example", "x@corp.example", id="id-same")
    world.sync("partner")
    world.sync("corp")
    assert world.lookup("x@corp.example").email == "x@corp.example"
    assert world.lookup("x@corp.example").user_id != world.lookup("y@corp.example").user_id


def test_an_entry_too_big_to_read_keeps_its_keys_and_can_still_be_disabled(world: World) -> None:
    """What groups a bare person is in is not known, so nothing follows from it; the state does count."""
    world.policies = (Policy("ai", groups=("ai",)),)
    world.people(20)
    for number in range(20):
        world.directory.change(f"id-p{number}", groups=("ai",))
    world.sync()
    world.directory.change("id-p0", bare=True, groups=(), emails=(), name="", username="")
    run = world.sync()
    assert (run.counts["keys_disabled"], run.counts["withheld"]) == (0, 0)
    assert world.keys("alias0@corp.example")[0][1]
    world.directory.change("id-p0", enabled=False)
    assert world.sync().counts["disabled"] == 1


def test_two_entries_with_one_id_give_nobody_a_key(world: World) -> None:
    """The bare person that stands for both replaces the first sighting and everything that followed from it."""
    world.policies = (Policy("ai", groups=("ai",)),)
    first = world.directory.add("twin", "twin@corp.example", groups=("ai",))
    world.people(600)
    world.directory.people["again"] = Person(first.external_id, "", "", "", (), (), True, bare=True)
    assert world.sync().counts["keys_issued"] == 0


def test_an_address_listed_again_when_its_quarantine_ends_stays(world: World) -> None:
    """The run that would have freed it sees it listed again: nothing is freed, nobody loses anything."""
    world.directory.add("ann", "ann@corp.example", "desk@corp.example")
    world.sync()
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    world.clock.forward(days=8)
    world.guard(max_removed=0, max_removed_percent=0)
    world.directory.add("ann", "ann@corp.example", "desk@corp.example")
    world.directory.add("eve", "eve@corp.example", "desk@corp.example")
    world.sync()
    assert world.lookup("desk@corp.example").email == "ann@corp.example"


def test_an_address_listed_twice_by_one_entry_is_one_claim(world: World) -> None:
    """Whatever a source lets through, one user has one claim to one address."""
    world.directory.add("ann", "ann@corp.example", "ANN@corp.example")
    world.sync()
    assert world.lookup("ann@corp.example").email == "ann@corp.example"
