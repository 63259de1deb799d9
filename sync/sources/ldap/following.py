"""What every way of asking for changes shares: how it is asked, and reading the ids of whatever a search names, all of them or none."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sync.errors import CursorLost, SourceIncomplete, SourceRefused
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.paging import Walk

MOST_TOUCHED = 200_000
"""Entries that one answer may name; of more than that, reading everything is quicker."""
AHEAD = 300
"""Seconds that the clock of a directory may be ahead of ours, as in Kerberos."""
STAMP = "%Y%m%d%H%M%SZ"
"""A GeneralizedTime to the second; texts of this form are ordered as the moments are."""


class Way(Protocol):
    """One way of asking a server what has changed below a place. `how` says it for people."""

    @property
    def how(self) -> str: ...

    def begin(self, place: str) -> str:
        """Return what stands for the present moment, in the server's own words; "" where the server cannot be asked in this way."""

    def since(self, place: str, said: str) -> tuple[frozenset[str], str]:
        """Return (ids of the entries that may have come, changed or gone since then, what stands for the present moment now).

        Raises CursorLost when the server cannot say all of it; SourceUnavailable.
        """


def stamp_of(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as a GeneralizedTime."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime(STAMP)


def refuse_future(stamp: str) -> None:
    """Raise CursorLost when a server's newest change lies in the future: once its clock is set right, what changes until then counts as older."""
    if stamp > stamp_of(time.time() + AHEAD):
        raise CursorLost("cursor_lost", f"the directory's newest change is of {stamp}, which is still to come: its clock or ours was set back")


def refuse_too_big(entry: Entry) -> None:
    """Raise CursorLost for an entry of which only the DN could be had: who it is must not be passed over in silence."""
    if entry.too_big:
        raise CursorLost("cursor_lost", f"an entry is too big to be read: {entry.dn}")


def ids_of(line: Line, dialect: Dialect, asked: Search, look: Callable[[Entry], None] = lambda entry: None) -> frozenset[str]:
    """Return the ids of every entry of a search; each is shown to `look`. Raises CursorLost when that is not to be had, SourceUnavailable."""
    touched: set[str] = set()

    def take(entry: Entry) -> None:
        refuse_too_big(entry)
        touched.update(one for one in dialect.ids_of(entry) if one)
        look(entry)
        if len(touched) > MOST_TOUCHED:
            raise CursorLost("cursor_lost", f"more than {MOST_TOUCHED} entries have changed")

    try:
        for _ in Walk(line, dialect.vendor).pages_of(asked, take):
            pass
    except CursorLost:
        line.close()  # the rest of the answer is still on its way
        raise
    except (SourceIncomplete, SourceRefused) as error:
        raise CursorLost("cursor_lost", f"what has changed could not be read to its end: {error.message}") from error
    return frozenset(touched)
