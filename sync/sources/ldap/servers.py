"""The servers of one directory, in order: which is in use, when another is tried, and a connection that is never old."""

from __future__ import annotations

import time

from sync.errors import SourceUnavailable
from sync.settings import SourceSettings
from sync.sources.ldap.connection import Line

IDLE = 15.0
"""Seconds without a question after which a connection is replaced: servers and firewalls drop silent ones."""


class Servers:
    """Hands out a connection. Two servers are never mixed: once `settle` is called, only the one in use is asked."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._at = 0
        self._settled = False
        self._line: Line | None = None
        self._failures: list[SourceUnavailable] = []

    @property
    def current(self) -> str:
        """The URL in use."""
        return self._settings.urls[min(self._at, len(self._settings.urls) - 1)]

    def line(self) -> Line:
        """Return an open, bound connection. Raises SourceError; a refused password is not tried on the next server (rule 11)."""
        if self._line and (not self._line.is_open or time.monotonic() - self._line.used_at > IDLE):
            self.close()
        while self._line is None:
            try:
                self._line = Line(self._settings, self.current)
            except SourceUnavailable as error:
                self.fail_over(error)
        return self._line

    def fail_over(self, error: SourceUnavailable) -> None:
        """Turn to the next server because this one failed. Raises `error`, or all of them as one, when there is none to turn to."""
        self.close()
        if self._settled:
            raise error
        self._failures.append(error)
        self._at += 1
        if self._at >= len(self._settings.urls):
            self._at = 0
            failures, self._failures = self._failures, []
            raise _combined(failures) from error

    def settle(self) -> None:
        """Stay with the server in use from now on."""
        self._settled = True

    def close(self) -> None:
        """Close the connection; `line` opens the next one."""
        if self._line:
            self._line.close()
            self._line = None


def _combined(failures: list[SourceUnavailable]) -> SourceUnavailable:
    if len(failures) == 1:
        return failures[0]
    codes = {failure.code for failure in failures}
    code = codes.pop() if len(codes) == 1 else "unreachable"
    message = f"None of {len(failures)} servers can be used. " + " ".join(failure.message for failure in failures)
    return SourceUnavailable(code, message, " ".join(dict.fromkeys(failure.remedy for failure in failures)))
