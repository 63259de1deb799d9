"""Slows down whoever keeps failing to authenticate. A valid bearer never meets it: it is asked only after a failure."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from api.clients import neighbourhood

BURST = 20
"""Failures that one client address has at once."""

REFILL_SECONDS = 3.0
"""After so long one more failure is forgiven."""

_REMEMBERED = 10_000


class Throttle:
    """Counts failures per client address (IPv6: per /64, which one machine may own whole). Bounded; used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def fail(self, client: str) -> int:
        """Count one failure; return 0, or the seconds to wait when this address has failed too often."""
        now, key = self._clock(), neighbourhood(client)
        failures, at = self._spent.pop(key, (0.0, now))
        failures = max(0.0, failures - (now - at) / REFILL_SECONDS)
        too_many = failures + 1 > BURST
        self._spent[key] = (failures if too_many else failures + 1, now)
        if len(self._spent) > _REMEMBERED:
            self._spent.popitem(last=False)
        return ceil((failures + 1 - BURST) * REFILL_SECONDS) if too_many else 0
