"""How many connections there may be at once, and who goes when one more comes: files are left for the store, the audit and the syncs."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
from itertools import islice
from typing import Any, Protocol

from daemon.complaint import Complaint

_log = logging.getLogger(__name__)

MOST_FILES = 65_536
"""Open files that we ask the system for: as many as the unit for systemd has."""
RESERVE = 256
"""Open files that no connection gets: 4 children, 45 connections to a store, the audit file, and those that were accepted a moment ago."""
AT_A_TIME = 64
"""Connections that are accepted in one turn of the event loop, before anything is known of them."""
LOOKS = 16
"""Connections without a request of which one is sought whose answer has left; they may be many, and whoever comes is not to wait for that."""
_NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Connection(Protocol):
    """What is accepted, counted and hung up on. `is_sending` = some of its last answer waits for a client that reads slowly."""

    @property
    def is_sending(self) -> bool: ...

    def hang_up(self) -> None: ...


def make_room() -> int:
    """Let this process open as many files as it may, MOST_FILES at most, and return how many connections it has room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    files = MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return max(files // 2, files - RESERVE)


class Crowd:
    """All connections of this process. When there is no room for one more, whoever has been without a request longest goes; when everybody
    has one, or an answer that has not left as a whole, the newcomer. All of it happens on the event loop."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.is_leaving = False
        """The daemon ends: whoever comes now came before it ceased to listen, and is answered once."""
        self._all: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._complaint = Complaint(_log)

    def enter(self, newcomer: Connection) -> None:
        """Take in somebody who has asked nothing yet."""
        self._all.add(newcomer)
        if len(self._all) > self._room:
            goes = self._longest_idle() or newcomer
            self.leave(goes)
            goes.hang_up()
            said = "there is no room for more connections; those without a request are closed"
            self._complaint.make(said, event="web.crowded", connections=self._room)
            if goes is newcomer:
                return
        self._idle[newcomer] = None

    def _longest_idle(self) -> Connection | None:
        for connection in list(islice(self._idle, LOOKS)):
            if not connection.is_sending:
                return connection
            self._idle[connection] = self._idle.pop(connection)  # behind all others, so that the next to come looks at others
        return None

    def begin(self, connection: Connection) -> None:
        """Take note that a request has come."""
        self._idle.pop(connection, None)

    def rest(self, connection: Connection) -> None:
        """Take note that it has been answered and no other waits."""
        if connection in self._all:
            self._idle[connection] = None

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._all.discard(connection)
        self._idle.pop(connection, None)

    def listen_on(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle what asyncio cannot (`loop.set_exception_handler`): without files it tries to accept again a second later, and says so
        for each connection that waits."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_FILES and "accept" in context.get("message", ""):
            self._complaint.make("no connection can be accepted for a second", event="web.crowded", why=error.strerror)
        else:
            loop.default_exception_handler(context)
