"""How often a request is repeated, and how long is waited, when a provider asks for it: so much in one run and no more."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_SECONDS = 300.0
"""What one run waits all in all; the daemon takes a run that is silent for ten minutes for dead."""
LONGEST = 120.0
"""What is waited at once."""
MOST_REPEATS = 25
"""Requests that one run repeats."""
REPEATS = 5
"""How often one request is repeated when the provider says that it is busy; a broken connection tells less, and is tried anew LOST times."""
LOST = 2
PAUSE = 0.5
"""Seconds before the first repetition where the provider names none; each further one waits twice as long."""


def seconds_of(retry_after: str, now: float) -> float | None:
    """Return how long a `Retry-After` asks to wait (RFC 9110 section 10.2.3): seconds or a date; None for what is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.fromtimestamp(now, UTC)).total_seconds())


class Patience:
    """The budgets of one run."""

    def __init__(self) -> None:
        self._seconds = MOST_SECONDS
        self._repeats = MOST_REPEATS

    def wait(self, attempt: int, retry_after: str = "", most: int = REPEATS) -> bool:
        """Wait before a request is sent again, which was repeated `attempt` times before; return False if it is not to be."""
        asked = seconds_of(retry_after, time.time()) if retry_after else None
        pause = PAUSE * 2.0**attempt if asked is None else asked
        pause += random.uniform(0, PAUSE / 2)  # noqa: S311 – jitter, no secret
        if attempt >= most or not self._repeats or pause > min(LONGEST, self._seconds):
            return False
        self._repeats -= 1
        self._seconds -= pause
        time.sleep(pause)
        return True
