"""Runs that read only what has changed: what they may conclude, and when they read everything instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync.errors import SourceUnavailable
from sync.intake import FEW_CHANGES, SAMPLE
from sync.settings import Policy, ScheduleSettings
from sync.store import runs
from sync.store.cursors import Cursor, Drift, load_cursor, load_drift
from sync.store.sources import get_source
from sync.store.views import RunView
from tests.sync.world import World


@pytest.fixture
def told(world: World) -> Iterator[World]:
    """Return a world with forty people whose directory can be asked what has changed, once read."""
    world.policies = (Policy("all"), Policy("ai", groups=("ai",)))
    world.declare()
    world.directory.tells = True
    world.people(40)
    world.directory.change("id-p1", groups=("ai",))
    world.sync()
    world.clock.forward(seconds=300)
    yield world


def follow(world: World, expect: str = "succeeded") -> RunView:
    """Sync incrementally and expect that it stays so."""
    run = world.sync(mode="incremental", expect=expect)
    assert run.mode == "incremental", run.mode_reason
    return run


def why_full(world: World) -> str:
    """Ask for an incremental run and return why it became a full one."""
    run = world.sync(mode="incremental")
    assert run.mode == "full"
    return run.mode_reason or ""


def cursor(world: World) -> Cursor | None:
    with world.store.read() as connection:
        return load_cursor(connection, "corp")


def drift(world: World) -> Drift:
    with world.store.read() as connection:
        return load_drift(connection, "corp")


def test_only_what_has_changed_is_read_and_applied(told: World) -> None:
    """Who came, changed address or was disabled is written; the others are looked at only as a sample."""
    told.directory.add("new", "new@corp.example")
    told.directory.add("p2", "other@corp.example")
    told.directory.change("id-p3", enabled=False)
    run = follow(told)
    assert (run.counts["added"], run.counts["changed"], run.counts["disabled"]) == (1, 1, 1)
    assert run.mode_reason == "asked"
    assert told.keys("new@corp.example")[0][1]
    assert told.lookup("other@corp.example").outcome == "found"
    assert not told.keys("p3@corp.example")[0][1]


def test_it_counts_as_a_completed_read(told: World) -> None:
    """A source that is followed does not become stale, though everything was read long ago."""
    told.clock.forward(seconds=10 * 3600)
    assert get_source(told.store, "corp").stale
    run = follow(told)
    assert get_source(told.store, "corp").read_at == run.finished_at


def test_the_cursor_moves_with_the_commit_and_stays_with_a_failure(told: World) -> None:
    """What a failed run did not commit is named again."""
    before = cursor(told)
    told.directory.change("id-p3", enabled=False)
    told.directory.error = SourceUnavailable("cut", "The line was cut.")
    told.sync(mode="incremental", expect="failed")
    assert cursor(told) == before
    told.directory.error = None
    assert follow(told).counts["disabled"] == 1
    assert cursor(told) != before
    assert follow(told).counts["disabled"] == 0


def test_a_dry_run_moves_nothing(told: World) -> None:
    """A dry run shows what has changed and leaves it to be named again."""
    told.directory.change("id-p3", enabled=False)
    before = cursor(told)
    assert told.sync(mode="incremental", dry_run=True).counts["disabled"] == 1
    assert cursor(told) == before


def test_a_group_is_joined_and_left_although_nothing_names_its_people(told: World) -> None:
    """Issuing groups are read every time: joining one brings a key at once, leaving takes it at once."""
    told.directory.change("id-p2", groups=("ai",))
    assert follow(told).counts["keys_issued"] == 1
    told.directory.change("id-p2", groups=())
    assert follow(told).counts["keys_disabled"] == 1
    assert [active for _, active in told.keys("p2@corp.example")] == [True, False]


def test_a_group_that_is_suddenly_empty_takes_no_keys(told: World) -> None:
    """Rule 8 holds in an incremental run as in a full one."""
    told.directory.change("id-p1", groups=())
    run = told.sync(mode="incremental", expect="held")
    assert run.mode == "incremental"
    assert all(active for _, active in told.keys("p1@corp.example"))


def test_a_named_departure_needs_evidence(told: World) -> None:
    """Who is named and gone goes missing with the directory's evidence; who is named and hidden is kept."""
    told.directory.people.pop("id-p4")
    told.directory.change("id-p5", name="Edited behind the rule")
    told.directory.hidden.add("id-p5")
    run = follow(told)
    assert (run.counts["missing"], run.counts["unproven"]) == (1, 1)
    assert told.changes(run, "missing")[0].evidence
    assert not told.keys("p4@corp.example")[0][1]
    assert told.keys("p5@corp.example")[0][1]


def test_silence_is_no_departure(told: World) -> None:
    """Who is gone but named by nothing, and not due to be sampled, stays until a full read."""
    told.people(SAMPLE, first=40)
    follow(told)  # the sample ends before the last of them
    last = max(told.directory.people)
    told.directory.untold.add(last)
    gone = told.directory.people.pop(last)
    assert follow(told).counts["missing"] == 0
    assert told.keys(gone.emails[0].spelt)[0][1]
    assert told.sync().counts["missing"] == 1


def test_the_guard_weighs_incremental_departures_too(told: World) -> None:
    """Eleven people of forty are held; the cursor stays, and runs are full until somebody decides."""
    before = cursor(told)
    for number in range(20, 31):
        told.directory.people.pop(f"id-p{number}")
    run = told.sync(mode="incremental", expect="held")
    assert run.mode == "incremental"
    assert cursor(told) == before
    assert told.keys("p20@corp.example")[0][1]
    again = told.sync(mode="incremental", expect="held")
    assert (again.mode, again.mode_reason) == ("full", "a hold waits for a decision")
    approved = runs.approve(told.store, again.id, "cli:admin")
    assert approved.mode == "full"


def test_nobody_is_removed_and_no_quarantine_ends_by_an_incremental_run(told: World) -> None:
    """Grace and quarantine end by complete reads only."""
    told.configure(schedule=ScheduleSettings(full_every=365 * 86_400))
    told.directory.people.pop("id-p4")
    told.directory.add("p2", "other@corp.example")
    follow(told)
    told.clock.forward(days=9)
    for _ in range(4):
        follow(told)
    assert told.lookup("p4@corp.example").outcome == "found"
    assert told.lookup("p2@corp.example").outcome == "found"


def test_everything_is_read_when_the_cursor_cannot_be_relied_on(told: World) -> None:
    """The run says why: no cursor, a lost one, changed policies or configuration, full_every, a clock turned back, too many changes."""
    told.clock.forward(days=1)
    assert why_full(told) == "everything is read again after full_every"
    told.policies = (*told.policies, Policy("more"))
    told.declare()
    assert why_full(told) == "the configuration or the policies changed"
    told.configure(digest="d2", parts={"base": "b1", "filter": "f2"})
    assert why_full(told) == "the configuration changed: filter"
    told.directory.marks.clear()
    assert why_full(told) == "the directory does not know this cursor"
    told.clock.forward(seconds=-60)
    assert why_full(told) == "the clock was turned back"
    told.people(FEW_CHANGES + 1, first=100)
    assert "too many to be read one by one" in why_full(told)
    told.directory.tells = False
    told.sync()
    assert why_full(told) == "the directory offers no incremental read"


def test_a_lost_cursor_stays_lost_however_many_are_given_out_after_it(told: World) -> None:
    """Runs that fail after the loss keep nothing: the next one reads everything, and whoever came meanwhile is not missed."""
    told.directory.marks.clear()
    told.directory.add("new", "new@corp.example")
    told.directory.error, told.directory.error_after = SourceUnavailable("cut", "The line was cut."), 0
    assert {told.sync_any().state for _ in range(2)} == {"failed"}
    told.directory.error = None
    assert why_full(told) == "the directory does not know this cursor"
    assert told.keys("new@corp.example")


def test_a_first_run_is_full_and_asked_for_fulls_stay_full(world: World) -> None:
    """Without a cursor everything is read; a full run that was asked for is full whatever could be had."""
    world.directory.tells = True
    world.people(3)
    assert why_full(world) == "first read"
    assert world.sync(mode="full").mode == "full"
    follow(world)


def test_samples_go_round_and_find_what_nothing_named(world: World) -> None:
    """Each run looks at the next people, round and round; who differs although nothing said so is counted and corrected."""
    world.directory.tells = True
    world.people(SAMPLE * 2)
    world.sync()
    seen: list[str] = []
    for _ in range(3):
        before = cursor(world)
        assert before is not None
        follow(world)
        seen.append((cursor(world) or before).sampled)
    assert len(set(seen)) > 1
    assert drift(world) == Drift(3 * SAMPLE, 0)
    world.directory.untold = set(world.directory.people)
    for number in range(SAMPLE * 2):
        world.directory.change(f"id-p{number}", name="Changed in silence")
    assert follow(world).counts["changed"] == SAMPLE
    assert drift(world) == Drift(4 * SAMPLE, SAMPLE)
    assert drift(world).ratio == 0.25
    world.sync()
    assert drift(world) == Drift()
