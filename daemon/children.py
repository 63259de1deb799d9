"""Runs happen in child processes: one a source at a time, watched, and recorded whatever becomes of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from daemon.child import NOT_MINE
from daemon.complaint import Complaint
from daemon.outcome import log_outcome
from daemon.process import Process, Program
from sync.errors import RosterError, StoreUnavailable
from sync.ids import asked_at
from sync.store import holds, lease, nodes, runs, watching
from sync.store.engine import Store
from sync.store.views import RunView
from sync.store.watching import Underway

_log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks for waiting runs: other processes may request some."""
LOOK_WITHIN_MS = 50
"""How long a look waits for others who write: a large commit is no reason not to watch the children, and how it ended is its own to say."""
MOST_AT_ONCE = 4
"""Children at the same time."""
START_WITHIN = 60.0
"""Seconds a child has to take its run, and to end after it."""
SILENT_FOR = 600.0
"""Seconds without a renewal of its lease after which a child is hung. A commit renews nothing, and a first one may take minutes."""
OBEY_WITHIN = 10.0
"""Seconds a cancelled run has to end by itself, and again after SIGTERM."""
LONGEST_BACKOFF = 60.0
OTHERS_FIRST_MS = 3000
"""How long a run that another daemon asked for is left to it: all of them would start a child, and only one of those could take the run."""


@dataclass(slots=True)
class _Child:
    """One child and what is known of its run. Times are readings of the monotonic clock: `heard` of the last renewal
    of its lease, `moved` of its last progress, `over` of when its run was first seen to have ended."""

    run: RunView
    process: Process
    born: float = field(default_factory=time.monotonic)
    heard: float = 0.0
    moved: float = 0.0
    lease_until: int = 0
    progress: tuple[str, int, int] | None = None
    cancelled: float | None = None
    over: float | None = None

    def note(self, run: Underway, now: float) -> None:
        """Take note of how the run stands now."""
        if run.lease_until != self.lease_until:
            self.lease_until, self.heard = run.lease_until, now
        if run.progress != self.progress:
            self.progress, self.moved = run.progress, now


@dataclass(slots=True)
class _Trouble:
    """Children of a source that could not begin: how often in a row, and when to try again."""

    count: int = 0
    until: float = 0.0


class Children:
    """Starts a child for each waiting run, and sees to it that no run stays `running` without a process.

    `program(run_id)` is what a child runs (asked in a thread); `patience(source)` says how many seconds a run may go without progress.
    """

    def __init__(self, store: Store, program: Callable[[str], Program], patience: Callable[[str], float]) -> None:
        self._store, self._program, self._patience = store, program, patience
        self._children: dict[str, _Child] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._trouble: dict[str, _Trouble] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stopping = False

    def wake(self) -> None:
        """Look now. From any thread; returns at once."""
        with suppress(RuntimeError):  # the loop is closed: the daemon has ended
            self._loop.call_soon_threadsafe(self._wake.set)

    def forgive(self) -> None:
        """Forget that children could not begin: the configuration has changed."""
        self._trouble.clear()
        self.wake()

    async def run(self) -> None:
        """Dispatch until `stop`."""
        complaint = Complaint(_log, logging.ERROR)
        while not self._stopping:
            woken = self._wake.is_set()
            self._wake.clear()
            try:
                await self._look(woken)
            except StoreUnavailable as error:
                complaint.make("the store could not be asked for waiting runs", event="store.failed", why=str(error))
            else:
                complaint.settle("the store answers again", event="store.back")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY)

    async def stop(self, within: float = OBEY_WITHIN) -> None:
        """Ask every child to end, kill those that have not within so many seconds, and see their runs recorded."""
        self._stopping = True
        self.wake()
        for child in self._children.values():
            child.process.terminate()
        if self._ends:
            await asyncio.wait(self._ends, timeout=within)
        for child in self._children.values():
            child.process.kill()
        if self._ends:
            await asyncio.wait(self._ends)

    async def _look(self, woken: bool) -> None:
        waiting, going, reaped = await asyncio.to_thread(self._read, woken)
        for run in reaped:
            if run.source not in self._children:
                log_outcome(run)
        self._watch(going)
        busy = {run.source for run in going} | self._children.keys()
        for run in waiting:
            if len(self._children) >= MOST_AT_ONCE or self._stopping:
                return
            if run.source not in busy and self._may_start(run.source):
                busy.add(run.source)
                await self._start(run)

    def _read(self, woken: bool) -> tuple[list[RunView], list[Underway], list[RunView]]:
        going = watching.underway(self._store)
        reaped = lease.reap(self._store, within_ms=LOOK_WITHIN_MS) if going else []
        gone = {run.id for run in reaped}
        waiting = runs.waiting(self._store)
        if waiting and not woken and len(nodes.living(self._store)) > 1:
            now = self._store.now()
            waiting = [run for run in waiting if not now - OTHERS_FIRST_MS < asked_at(run.id) <= now]  # later than now: the clock was turned back
        return waiting, [run for run in going if run.run not in gone], reaped

    def _may_start(self, source: str) -> bool:
        trouble = self._trouble.get(source)
        return trouble is None or time.monotonic() >= trouble.until

    async def _start(self, run: RunView) -> None:
        facts = {"run": run.id, "source": run.source}
        try:
            process = await Process.start(await asyncio.to_thread(self._program, run.id), facts)
        except OSError as error:
            self._back_off(run.source)
            _log.error("a child process could not be started", extra={"event": "child.failed", "why": error.strerror, **facts})
            return
        child = self._children[run.source] = _Child(run, process)
        _log.info("a sync begins", extra={"event": "run.started", "trigger": run.trigger, "pid": process.pid, **facts})
        end = asyncio.create_task(self._see_out(child))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)
        if self._stopping:
            process.terminate()

    async def _see_out(self, child: _Child) -> None:
        status = await child.process.wait()
        try:
            run, repeated = await asyncio.to_thread(self._settle, child.run.id, child.process.killed_because)
        except RosterError as error:
            self._back_off(child.run.source)
            _log.error("how a sync ended could not be read", extra={"event": "store.failed", "run": child.run.id, "why": str(error)})
        else:
            self._judge(run, status, repeated)
        finally:
            del self._children[child.run.source]
            self._wake.set()

    def _settle(self, run_id: str, killed_because: str) -> tuple[RunView, bool]:
        """Return how the run stands now that its process is gone, and whether its hold says nothing new; a run still
        marked running is recorded as killed."""
        lease.reap(self._store, {run_id: killed_because} if killed_because else {})
        with self._store.read() as connection:
            repeated = holds.repeats(connection, run_id)
        return runs.get(self._store, run_id), repeated

    def _judge(self, run: RunView, status: int, repeated: bool) -> None:
        if status == NOT_MINE:
            _log.debug("another process took the run first", extra={"event": "child.late", "run": run.id, "source": run.source})
        elif run.state != "waiting":
            self._trouble.pop(run.source, None)
            log_outcome(run, repeated=repeated)
        elif not self._stopping:
            seconds = self._back_off(run.source)
            facts = {"event": "child.failed", "run": run.id, "source": run.source, "status": status, "again_in": f"{seconds:g}s"}
            _log.error("a child process ended before it could begin its run; it is tried again", extra=facts)

    def _back_off(self, source: str) -> float:
        trouble = self._trouble.setdefault(source, _Trouble())
        seconds = min(LONGEST_BACKOFF, float(2**trouble.count))
        trouble.count += 1
        trouble.until = time.monotonic() + seconds
        return seconds

    def _watch(self, going: list[Underway]) -> None:
        """Kill children that hang, and those that do not end when their run is cancelled."""
        now = time.monotonic()
        by_run = {run.run: run for run in going}
        for child in self._children.values():
            run = by_run.get(child.run.id)
            if run is None:
                self._hurry(child, now)
                continue
            child.note(run, now)
            if now - child.heard > SILENT_FOR:
                child.process.kill("did not renew its lease")
            elif now - child.moved > self._patience(run.source):
                child.process.kill("made no progress")
            elif run.cancelled_by:
                self._insist(child, now)

    def _hurry(self, child: _Child, now: float) -> None:
        """End a child that does not begin its run, or that stays when its run has ended: its source would never be synced again."""
        since, why = child.born, "did not begin its run"
        if child.progress is not None:
            child.over = child.over or now
            since, why = child.over, "did not end with its run"
        if now - since > START_WITHIN:
            child.process.kill(why)

    def _insist(self, child: _Child, now: float) -> None:
        """Make a child end whose run was cancelled: it should by itself, else SIGTERM, else SIGKILL."""
        if child.cancelled is None:
            child.cancelled = now
        elif now - child.cancelled > 2 * OBEY_WITHIN:
            child.process.kill("did not end when its run was cancelled")
        elif now - child.cancelled > OBEY_WITHIN:
            child.process.terminate()
