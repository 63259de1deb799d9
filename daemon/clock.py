"""When each source is due. APScheduler is only the clock: whose turn it is stands in the store, so several daemons need no leader."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from daemon.complaint import Complaint
from daemon.config.cron import longest_gap
from sync.errors import Conflict, NotFound, StoreUnavailable
from sync.settings import ScheduleSettings, SourceSettings
from sync.store import runs, sources
from sync.store.engine import Store

_log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at who is due."""
TIDY_EVERY = 3600.0
"""Seconds between two rounds of housekeeping."""
TIDY_AFTER = 60.0
"""Seconds before the first of them."""
ALIVE_WITHIN = 10.0
"""A clock that has not ticked for so many seconds is dead."""


class Timetable:
    """When one source is due: every so often with jitter, or by cron in UTC (days of the week by name; daemon.config.cron has checked it)."""

    def __init__(self, schedule: ScheduleSettings) -> None:
        self._period = longest_gap(schedule.cron) if schedule.cron else max(1, schedule.every)
        jitter = round(self._period * int(schedule.jitter.rstrip("%") or 0) / 100)
        self.furthest = self._period + jitter
        """Seconds: no due time is further off, unless the clock was turned back or the schedule has become shorter."""
        self._trigger: Any = IntervalTrigger(seconds=self._period, jitter=jitter, timezone=UTC)
        if schedule.cron:
            self._trigger = CronTrigger.from_crontab(schedule.cron, timezone=UTC)
            self._trigger.jitter = jitter

    def next(self, now: int) -> int:
        """Return when the source is due after `now` (milliseconds since the epoch)."""
        moment = datetime.fromtimestamp(now / 1000, UTC)
        following: datetime = self._trigger.get_next_fire_time(moment, moment)
        return round(following.timestamp() * 1000)


def _schedule_of(source: SourceSettings) -> ScheduleSettings:
    return replace(source.schedule, every=source.schedule.full_every, cron="") if source.is_pushed else source.schedule


class Steadily(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """So long after the last time. IntervalTrigger would go through every second that a clock set forwards has skipped: millions of them, for a
    host that wakes in the year 2000."""

    def __init__(self, seconds: float) -> None:
        self.interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next time after `now`."""
        return now + self.interval


class Clock:
    """Looks every second at who is due, claims the turn, and requests the run. `wake` is called when a run has been requested."""

    def __init__(self, store: Store, configured: Sequence[SourceSettings], wake: Callable[[], None], tidy: Callable[[], None]) -> None:
        self._store, self._wake, self._tidy = store, wake, tidy
        self._lock = threading.Lock()
        self._timetables: dict[str, Timetable] = {}
        self._new: set[str] = set()
        self._pushed: frozenset[str] = frozenset()
        self._look_over: set[str] = set()
        self._complaint = Complaint(_log)
        self._ticked = time.monotonic()
        self._shown = _shown_beyond_passed()
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self.set_sources(configured)

    def set_sources(self, configured: Sequence[SourceSettings]) -> None:
        """Follow these sources from now on. Those seen for the first time run at once if they are overdue.

        Who is pushed to has nothing to read in between and is gone over as a whole every `full_every`; and is looked at now, for the
        configuration may have changed, and no push tells of that.
        """
        timetables = {source.name: Timetable(_schedule_of(source)) for source in configured}
        with self._lock:
            self._new |= timetables.keys() - self._timetables.keys()
            self._timetables = timetables
            self._pushed = frozenset(source.name for source in configured if source.is_pushed)
            self._look_over = set(self._pushed)

    def start(self) -> None:
        """Begin to look. Late looks are made up for once, never dropped and never doubled."""
        never_dropped: dict[str, Any] = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        now = datetime.now(UTC)
        for work, every, first in ((self.look, LOOK_EVERY, 0.0), (self._tick, LOOK_EVERY, 0.0), (self._tidy_up, TIDY_EVERY, TIDY_AFTER)):
            self._scheduler.add_job(work, Steadily(every), next_run_time=now + timedelta(seconds=first), **never_dropped)
        self._ticked = time.monotonic()
        self._scheduler.start()

    def keep_up(self) -> None:
        """Go on at once if the wall clock was turned back: APScheduler would wait until it shows that time again. To be called each second."""
        shown = _shown_beyond_passed()
        if shown < self._shown - LOOK_EVERY and self._scheduler.running:
            _log.warning("the clock of this host was turned back", extra={"event": "clock.back", "seconds": round(self._shown - shown)})
            for work in self._scheduler.get_jobs():
                work.modify(next_run_time=datetime.now(UTC) + work.trigger.interval)
        self._shown = shown

    def stop(self) -> None:
        """Look no more; waits for a look that is going on."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    @property
    def is_alive(self) -> bool:
        """Tell whether the clock still ticks."""
        return bool(self._scheduler.running) and time.monotonic() - self._ticked < ALIVE_WITHIN

    def look(self) -> None:
        """Request a run of every source that is due."""
        with self._lock:
            timetables = dict(self._timetables)
        all_well = True
        for name, timetable in timetables.items():
            try:
                self._look_at(name, timetable)
            except StoreUnavailable as error:
                all_well = False
                self._complaint.make("the clock could not look into the store", event="clock.store", source=name, why=str(error))
        if all_well:
            self._complaint.settle()

    def _look_at(self, name: str, timetable: Timetable) -> None:
        now = self._store.now()
        due = sources.due_at(self._store, name)
        to_look_over = name in self._look_over
        if not to_look_over and due is not None and now < due <= now + round(timetable.furthest * 1000):
            self._new.discard(name)
            return
        # A due time beyond the furthest possible was set by a slower schedule, or before the clock was turned back: it is claimed as it stands.
        trigger = "startup" if name in self._new else "schedule"
        # Whoever made a source due before its time (`due` is 0) has named the people to look at.
        mode = "full" if name in self._pushed and due and not to_look_over else "incremental"
        with self._store.write() as connection:
            if not sources.claim_due(connection, name, now=max(now, due or 0), next_due=timetable.next(now)):
                return
            try:
                run = runs.request_in(connection, now, name, trigger=trigger, requested_by="rosterd", mode=mode)
            except (Conflict, NotFound) as error:
                self._new.discard(name)
                self._look_over.discard(name)
                _log.debug("a source that was due is left alone", extra={"event": "clock.skipped", "source": name, "why": str(error)})
                return
        self._new.discard(name)
        self._look_over.discard(name)
        _log.debug("a source is due", extra={"event": "clock.due", "source": name, "run": run.id, "trigger": trigger})
        self._wake()

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    def _tidy_up(self) -> None:
        try:
            self._tidy()
        except StoreUnavailable as error:
            _log.warning("housekeeping failed; it is tried again in an hour", extra={"event": "tidy.failed", "why": str(error)})


def _shown_beyond_passed() -> float:
    """Return by how many seconds the wall clock is ahead of the time that has passed: the same at any time, unless somebody sets it."""
    return time.time() - time.monotonic()
