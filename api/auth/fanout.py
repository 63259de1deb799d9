"""How many different users a token reads that may ask for anybody: kept within its bound, and told when addresses that are new to it read many.

Counted in memory, so that a lookup writes nothing: each process counts for itself, and anew when it starts (a reload changes nothing).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio import to_thread

from api.auth.passes import Pass
from api.clients import neighbourhood
from api.errors import Refusal
from api.metrics import Metrics
from sync.errors import StoreUnavailable
from sync.store import alarms
from sync.store.engine import Store

K = TypeVar("K")
_log = logging.getLogger(__name__)

BOUND_MS = 24 * 3_600_000
"""`max_users` counts the different users of so long: whoever was not read for it counts no more."""

MANY = 50
WITHIN_MS = 3_600_000
"""An address is many-reading when a token reads the keys of more than MANY different users from it within so long."""

KNOWN_MS = alarms.LONGEST_KNOWN_MS
"""An address that did so with this token in the last 30 days is known to, and not told again."""

MANY_TOGETHER = 4 * MANY
"""Addresses that are new to a token and stay below MANY each are many-reading together beyond so many different users WITHIN_MS."""

EVERY_SECONDS = 2.0
"""Between two looks whether there is something to tell."""

_MOST_PLACES = 4096
_MOST_TOKENS = 1024
_MOST_WAITING = 1000
BY_BOUND = "max_users"
TOGETHER = "new_addresses"


@dataclass(frozen=True, slots=True)
class Fan:
    """What is to be told of a token (`jti`; of another issuer: that issuer and its subject).

    `why` = the address that is new to it, as it is compared, or BY_BOUND or TOGETHER.
    """

    role: str
    jti: str
    client: str
    why: str
    users: int

    @property
    def kind(self) -> str:
        """Return what is said to whoever listens: `new_address`, BY_BOUND or TOGETHER."""
        return self.why if self.why in (BY_BOUND, TOGETHER) else "new_address"


class Window:
    """The different users read within the last `span` milliseconds, in the order of their last reading."""

    def __init__(self, span: int) -> None:
        self._span = span
        self._read: OrderedDict[str, int] = OrderedDict()

    def take(self, user_id: str, now: int, most: int) -> bool:
        """Count a reading of this user; False, and not counted, when the user would be one more than `most`."""
        while self._read and next(iter(self._read.values())) <= now - self._span:
            self._read.popitem(last=False)
        if user_id not in self._read and len(self._read) >= most:
            return False
        self._read[user_id] = now
        self._read.move_to_end(user_id)
        return True

    def leave_out(self, other: Window) -> None:
        """Count those no more who are counted there."""
        for user_id in other._read:
            self._read.pop(user_id, None)

    def is_over(self, now: int) -> bool:
        """Tell whether nobody counts any more."""
        return not self._read or next(reversed(self._read.values())) <= now - self._span


class Fanout:
    """Counts who is read by which token and from where. One for the life of the process, used on the event loop only, bounded."""

    def __init__(self) -> None:
        self._bounded: dict[str, Window] = {}
        self._places: OrderedDict[tuple[str, str], Window] = OrderedDict()
        self._together: OrderedDict[str, Window] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()
        self.waiting: deque[Fan] = deque()
        """What is to be told, oldest first; whoever tells it takes it out."""

    def admit(self, said: Pass, user_id: str, client: str, now: int) -> None:
        """Count that a token is about to be shown the keys of a user, `now` in ms. Raises Refusal for one user more than the token may read."""
        if said.max_users is not None and not self._of(said.caller, now).take(user_id, now, said.max_users):
            self._tell(Fan(said.role, said.caller, client, BY_BOUND, said.max_users), now)
            raise Refusal(403, "too_many_users", "Within 24 hours this token has read as many different users as it may.")
        place = (said.caller, neighbourhood(client) or "local")
        if self._told.get(place, 0) > now:
            return
        together = _newest(self._together, said.caller, _MOST_TOKENS)
        if not _newest(self._places, place, _MOST_PLACES).take(user_id, now, MANY):
            together.leave_out(self._places.pop(place))  # told by itself, or known to read many
            self._tell(Fan(said.role, said.caller, client, place[1], MANY + 1), now)
        elif not together.take(user_id, now, MANY_TOGETHER):
            self._tell(Fan(said.role, said.caller, client, TOGETHER, MANY_TOGETHER + 1), now)

    def _of(self, jti: str, now: int) -> Window:
        window = self._bounded.get(jti)
        if window is None:
            self._bounded = {one: known for one, known in self._bounded.items() if not known.is_over(now)}
            window = self._bounded[jti] = Window(BOUND_MS)
        return window

    def _tell(self, fan: Fan, now: int) -> None:
        """Have it told, unless that was done within a day; whether it is news, the store knows."""
        if self._told.get((fan.jti, fan.why), 0) > now:
            return
        self._told[fan.jti, fan.why] = now + BOUND_MS
        self._told.move_to_end((fan.jti, fan.why))
        if len(self._told) > _MOST_PLACES:
            self._told.popitem(last=False)
        if len(self.waiting) < _MOST_WAITING:
            self.waiting.append(fan)


def _newest(windows: OrderedDict[K, Window], name: K, most: int) -> Window:
    """Return the window of this name, a new one where there is none; the one that was used longest ago makes room."""
    window = windows.setdefault(name, Window(WITHIN_MS))
    windows.move_to_end(name)
    if len(windows) > most:
        windows.popitem(last=False)
    return window


class FanoutAlarm:
    """Tells what `Fanout` found: an event for the audit file and the webhooks, a line of the log, a number for monitoring."""

    def __init__(self, fanout: Fanout, store: Store, metrics: Metrics) -> None:
        self._fanout, self._store, self._metrics = fanout, store, metrics

    @asynccontextmanager
    async def kept(self, _: object = None) -> AsyncIterator[None]:
        """Tell every EVERY_SECONDS while the app lives, and once more at its end."""
        ending = asyncio.Event()
        telling = asyncio.create_task(self._tell_until(ending))
        try:
            yield
        finally:
            ending.set()  # not cancelled: what is in the store must also reach the log
            await telling

    async def _tell_until(self, ending: asyncio.Event) -> None:
        over = False
        while not over:
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), EVERY_SECONDS)
            over = ending.is_set()
            await self._tell()

    async def _tell(self) -> None:
        waiting = self._fanout.waiting
        while waiting:
            fan = waiting.popleft()  # at once: while one app takes over from another, both tell
            try:
                news = await to_thread.run_sync(self._note, fan)
            except StoreUnavailable as error:
                waiting.appendleft(fan)
                _log.warning("who reads many users cannot be told now; it will be", extra={"event": "fanout.store", "why": str(error)})
                return
            if news:
                self._metrics.count_fanout(fan.kind)
                facts = {"event": "lookup.fanout", "role": fan.role, "jti": fan.jti, "client": fan.client, "users": fan.users}
                _log.warning(_SAID[fan.kind], extra=facts)

    def _note(self, fan: Fan) -> bool:
        hours = (BOUND_MS if fan.kind == BY_BOUND else WITHIN_MS) // 3_600_000
        detail: dict[str, Any] = {"client": fan.client or "unix socket", "users": fan.users, "why": fan.kind, "hours": hours}
        daily = fan.kind in (BY_BOUND, TOGETHER)
        return alarms.note_fanout(
            self._store, fan.jti, fan.why, f"{fan.role}:{fan.jti}", detail, known_for=BOUND_MS if daily else KNOWN_MS, renew=not daily
        )  # fmt: skip


_SAID = {
    BY_BOUND: "a token asked for more users than it may read",
    TOGETHER: "a token reads the keys of many users from several addresses that are new to it",
    "new_address": "a token reads the keys of many users from an address that is new to it",
}
