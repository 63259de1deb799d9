"""The heartbeat of a run: renews its lease and writes its progress while the run itself is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from sync.errors import RosterError, StoreUnavailable
from sync.store.engine import Store
from sync.store.lease import Lease, Progress, renew

INTERVAL = 1.0
"""Seconds between two beats: what an admin who watches or cancels a run waits at most."""


class Pulse:
    """Beats in a thread of its own. `beat` is for the run: it hands over progress and raises what the thread met
    (RunCancelled, LeaseLost). A store that is busy for a moment is tried again at the next beat."""

    def __init__(self, store: Store, lease: Lease, listen: Callable[[Progress], None]) -> None:
        self._store, self._lease, self._listen = store, lease, listen
        self.progress = Progress("connect")
        self._stop = threading.Event()
        self._error: RosterError | None = None
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.rest()

    def beat(self, progress: Progress) -> None:
        """Take note of the progress, and stop the run if it has been cancelled or superseded."""
        self.progress = progress
        self._listen(progress)
        if self._error is not None:
            raise self._error

    def last_beat(self, progress: Progress) -> None:
        """Stop beating, for in the commit nobody else can write, with the lease renewed once more. Raises as `beat` does. Once is enough."""
        self.beat(progress)
        if self._stop.is_set():
            return
        self.rest()
        renew(self._store, self._lease, progress)

    def rest(self) -> None:
        """Stop beating."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                renew(self._store, self._lease, self.progress)
            except StoreUnavailable:
                pass
            except RosterError as error:
                self._error = error
                return
            if self._stop.wait(INTERVAL):
                return
