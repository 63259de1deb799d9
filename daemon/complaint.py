"""Trouble that lasts: said once a minute, however often it is met, and once more when it is over."""

from __future__ import annotations

import logging
import time
from typing import Any

REPEAT = 60.0
"""Seconds between two complaints about the same trouble."""


class Complaint:
    """What is said of one trouble in one log, so that an hour of it does not fill a disk. `facts` become fields of the record."""

    def __init__(self, log: logging.Logger, level: int = logging.WARNING) -> None:
        self._log, self._level = log, level
        self._said: float | None = None

    def make(self, what: str, **facts: Any) -> None:
        """Say it, unless that was done within the last minute."""
        now = time.monotonic()
        if self._said is None or now - self._said >= REPEAT:
            self._said = now
            self._log.log(self._level, what, extra=facts)

    def settle(self, what: str = "", **facts: Any) -> None:
        """The trouble is over: say so, if there are words for it and it was complained of. The next time is news at once."""
        if self._said is not None and what:
            self._log.info(what, extra=facts)
        self._said = None
