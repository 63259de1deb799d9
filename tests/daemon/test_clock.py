"""The clock: when a source is due, and that exactly one daemon takes the turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import daemon.clock
from daemon.clock import Clock, Steadily, Timetable
from daemon.config.cron import longest_gap
from sync.settings import ScheduleSettings, SourceSettings, StoreSettings
from sync.store import runs, sources
from sync.store.cursors import Cursor, keep_cursor, look_again
from sync.store.engine import Store, open_store
from tests.stores import STORES

NOON = round(datetime(2026, 3, 4, 12, 0, tzinfo=UTC).timestamp() * 1000)  # a Wednesday
MINUTE = 60_000
HOUR = 60 * MINUTE


class World:
    """A store whose time the test decides, and clocks that look only when told to."""

    def __init__(self, url: str) -> None:
        self.now = NOON
        self.store = open_store(StoreSettings(url), clock=lambda: self.now)
        self.woken = 0

    def clock(self, *configured: SourceSettings) -> Clock:
        """Return a clock that follows these sources, as a daemon's would."""
        sources.declare(self.store, configured, [])
        return Clock(self.store, configured, self._wake, lambda: None)

    def _wake(self) -> None:
        self.woken += 1

    def triggers(self) -> list[str]:
        """Return what triggered the waiting runs, and finish them."""
        waiting = runs.waiting(self.store)
        for run in waiting:
            runs.cancel(self.store, run.id, "tests")
        return [run.trigger for run in waiting]

    def modes_after(self, clock: Clock, *, hours: int) -> list[str]:
        """Let time pass and the clock look, and return which modes the waiting runs have; finish them."""
        self.now += hours * HOUR
        clock.look()
        modes = [run.mode for run in runs.waiting(self.store)]
        self.triggers()
        return modes


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a world at noon."""
    made = World(STORES.settings(tmp_path / "clock.db").url)
    yield made
    made.store.close()


def corp(**schedule: object) -> SourceSettings:
    """Return a source with this schedule (no jitter unless given)."""
    given: dict[str, object] = {"jitter": "0%"} | schedule
    return SourceSettings("corp", "ldap", 0, schedule=ScheduleSettings(**given))  # type: ignore[arg-type]


def test_a_source_never_run_is_run_at_once_then_every_period(world: World) -> None:
    """Startup, and from then on the schedule; in between nothing."""
    clock = world.clock(corp(every=300))
    clock.look()
    assert (world.triggers(), world.woken) == (["startup"], 1)
    world.now += 299_000
    clock.look()
    assert world.triggers() == []
    world.now += 1000
    clock.look()
    assert world.triggers() == ["schedule"]


def test_a_restart_runs_only_what_is_overdue(world: World) -> None:
    """The due time outlives the daemon: within the period nothing runs, after it once, however many periods were missed."""
    world.clock(corp(every=300)).look()
    world.triggers()
    world.now += 60_000
    world.clock(corp(every=300)).look()
    assert world.triggers() == []
    world.now += 10 * HOUR
    restarted = world.clock(corp(every=300))
    restarted.look()
    restarted.look()
    assert world.triggers() == ["startup"]


def test_of_two_daemons_one_takes_the_turn(world: World) -> None:
    """Both look, one claims; at the next due time it may be the other."""
    one, other = world.clock(corp(every=300)), world.clock(corp(every=300))
    for _ in range(3):
        one.look()
        other.look()
        assert len(world.triggers()) == 1
        world.now += 300_000


def test_a_shorter_schedule_holds_at_once(world: World) -> None:
    """After a reload from 24 hours to five minutes nobody waits for tomorrow."""
    clock = world.clock(corp(every=86_400))
    clock.look()
    world.triggers()
    clock.set_sources([corp(every=300)])
    clock.look()
    assert world.triggers() == ["schedule"]


def test_a_clock_turned_back_does_not_stop_the_syncs(world: World) -> None:
    """A due time that now lies days ahead is not waited for."""
    clock = world.clock(corp(every=300))
    clock.look()
    world.triggers()
    world.now -= 48 * HOUR
    clock.look()
    assert world.triggers() == ["schedule"]
    assert sources.due_at(world.store, "corp") == world.now + 300_000


def test_a_paused_source_is_left_alone_and_goes_on_when_resumed(world: World) -> None:
    """Pausing stops the schedule; resuming makes the source due at once."""
    clock = world.clock(corp(every=300))
    sources.pause(world.store, "corp", "tests")
    clock.look()
    assert (world.triggers(), world.woken) == ([], 0)
    sources.resume(world.store, "corp", "tests")
    clock.look()
    assert len(world.triggers()) == 1


def test_a_source_taken_out_is_not_looked_at_and_one_put_in_runs(world: World) -> None:
    """The clock follows the configuration of the moment."""
    clock = world.clock(corp())
    clock.look()
    world.triggers()
    partner = replace(corp(), name="partner")
    sources.declare(world.store, [partner], [])
    clock.set_sources([partner])
    world.now += HOUR
    clock.look()
    assert [run.source for run in runs.waiting(world.store)] == ["partner"]


def test_who_is_pushed_to_is_looked_at_when_something_may_have_changed(world: World) -> None:
    """A source that is pushed to is looked at when the daemon starts, when its configuration is read again, and when people are named as to be
    looked at; as a whole once in full_every, and never in between."""
    pushed = replace(corp(), kind="scim-push")
    clock = world.clock(pushed)
    assert world.modes_after(clock, hours=0) == ["incremental"]
    assert world.modes_after(clock, hours=12) == []
    clock.set_sources([pushed])
    assert world.modes_after(clock, hours=0) == ["incremental"]
    with world.store.write() as connection:
        keep_cursor(connection, "corp", Cursor("pushed", "", NOON))
        look_again(connection, [("corp", "ann")])
    assert world.modes_after(clock, hours=0) == ["incremental"]
    assert world.modes_after(clock, hours=23) == []
    assert world.modes_after(clock, hours=1) == ["full"]


def at(text: str) -> int:
    """Return milliseconds since the epoch for an RFC 3339 time."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        ("0 2 * * *", "2026-03-04T12:00:00Z", "2026-03-05T02:00:00Z"),
        ("30 6 * * sun", "2026-03-04T12:00:00Z", "2026-03-08T06:30:00Z"),
        ("30 6 * * mon-fri", "2026-03-06T12:00:00Z", "2026-03-09T06:30:00Z"),
        ("0 2 * * *", "2026-03-05T02:00:00Z", "2026-03-06T02:00:00Z"),
        ("30 2 * * *", "2026-10-25T00:00:00Z", "2026-10-25T02:30:00Z"),
    ],
)
def test_cron_is_utc_with_day_names(cron: str, after: str, due: str) -> None:
    """Sunday is Sunday, and no change of daylight saving time doubles a run."""
    assert Timetable(ScheduleSettings(cron=cron, jitter="0%")).next(at(after)) == at(due)


@pytest.mark.parametrize("cron", ["*/7 * * * *", "0 */5 * * *", "*/5 9-17 * * mon-fri", "0 0 1,15 * *", "30 2 29 feb *", "0 8 * jan,jul sat,sun"])
def test_the_clock_reads_a_cron_as_the_configuration_does(cron: str) -> None:
    """No firing is further from the one before than the longest gap that the configuration computed."""
    table = Timetable(ScheduleSettings(cron=cron, jitter="0%"))
    now = NOON
    for _ in range(15):
        due = table.next(now)
        assert now < due <= now + 1000 * longest_gap(cron)
        now = due


def test_jitter_delays_and_never_hurries() -> None:
    """Ten percent of five minutes: due between 300 and 330 seconds from now, not always the same."""
    table = Timetable(ScheduleSettings(every=300, jitter="10%"))
    due = {table.next(NOON) - NOON for _ in range(50)}
    assert min(due) >= 300_000 and max(due) <= 330_000 and len(due) > 10


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited 30 seconds")


def test_the_real_clock_looks_tidies_and_is_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started, it requests what is due without being asked, keeps house, and ticks until it is stopped."""
    monkeypatch.setattr("daemon.clock.TIDY_AFTER", 0.0)
    tidied, woken = [], []
    clock = Clock(store, [corp()], lambda: woken.append(1), lambda: tidied.append(1))
    assert not clock.is_alive
    clock.start()
    wait_for(lambda: bool(tidied and woken))
    assert clock.is_alive
    assert [run.trigger for run in runs.waiting(store)] == ["startup"]
    clock.stop()
    assert not clock.is_alive


def test_a_store_that_fails_does_not_stop_the_clock(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The trouble is logged, and the next look works."""
    clock = world.clock(corp())
    with STORES.out_of_order(tmp_path / "clock.db"):
        clock.look()
    assert "could not look into the store" in caplog.text
    clock.look()
    assert len(world.triggers()) == 1


def test_a_wall_clock_that_is_set_neither_stops_the_clock_nor_makes_it_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scheduler plans is so long from now, however much it was told to have missed; and what it waits for is made anew."""
    every = Steadily(1.0)
    now = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    assert every.get_next_fire_time(now.replace(year=2000), now) == now + timedelta(seconds=1)
    clock = Clock(store, [], lambda: None, lambda: None)
    clock.start()
    for work in clock._scheduler.get_jobs():
        work.modify(next_run_time=datetime.now(UTC) + timedelta(days=1))  # as after a day backwards
    clock.keep_up()
    assert all(work.next_run_time > datetime.now(UTC) + timedelta(hours=23) for work in clock._scheduler.get_jobs()), "nobody set the clock"
    shown = daemon.clock._shown_beyond_passed() - 86_400
    monkeypatch.setattr("daemon.clock._shown_beyond_passed", lambda: shown)
    clock.keep_up()
    ticked = clock._ticked
    wait_for(lambda: clock._ticked > ticked)
    clock.stop()
