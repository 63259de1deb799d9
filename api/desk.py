"""What all routes of one app share beside the context: who was seen failing, which signatures are known, whose address counts."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from anyio import CapacityLimiter
from litestar import Request
from litestar.datastructures import State

from api.auth.fanout import FanoutAlarm
from api.auth.foreign import ForeignIssuers
from api.auth.own import OwnIssuer
from api.auth.uses import Uses
from api.clients import Clients, Headers, HostNames
from api.context import ApiContext
from api.errors import Refusal
from api.throttle import Throttle
from sync.store import restoring

RESTORED_RETRY = 60
"""Seconds until another question may be answered, while sources are read after a restore."""

Call = Request[Any, Any, State]


class Seat:
    """The place of one event stream. It is free again when nobody holds it any more, so a stream that never begins keeps none."""


class Desk:
    """Made once per app. Everything here lives on the event loop."""

    def __init__(self, context: ApiContext) -> None:
        self.context = context
        self.own = OwnIssuer(context.settings, context.store.now)
        self.foreign = ForeignIssuers(context.settings, context.published, context.store.now)
        self.uses = Uses(context.store)
        self.alarm = FanoutAlarm(context.fanout, context.store, context.metrics)
        self.throttle = Throttle()
        self.clients = Clients(context.settings)
        self.hosts = HostNames(context.settings)
        self.looks = CapacityLimiter(4)
        """Threads for looking at the store that do not wait behind writes."""
        proxy = context.settings.proxy
        self._assertion = proxy.header.encode() if proxy is not None else None
        self._confirmed = False
        self.streams: WeakSet[Seat] = WeakSet()
        """The event streams that are open."""

    def client(self, scope: Any) -> str:
        """Return the address of the client, "" on the unix socket."""
        peer = scope.get("client")
        headers: Headers = scope["headers"]
        return self.clients.address(peer[0] if peer else "", headers)

    def assertion(self, scope: Any) -> bytes | None:
        """Return the header in which the sender of this request may say who asks, None when it is not to be believed."""
        if self._assertion is None:
            return None
        peer = scope.get("client")
        return self._assertion if self.clients.is_proxy(peer[0] if peer else "") else None

    def check_confirmed(self) -> None:
        """Make sure that no source is still as a backup had it: a leaver's key of back then must open nothing. Raises Refusal.

        A store is put back only while no daemon runs, so what was confirmed once stays so.
        """
        if self._confirmed:
            return
        waiting = restoring.unconfirmed(self.context.store)
        if waiting:
            why = "The store was put back from a backup, and its sources have not all been read since."
            raise Refusal(503, "store_restored", why, headers=(("Retry-After", str(RESTORED_RETRY)),))
        self._confirmed = True

    def take_seat(self) -> Seat:
        """Return a place for one more event stream. Raises Refusal when there is none."""
        if len(self.streams) >= self.context.settings.max_streams:
            raise Refusal(429, "too_many_streams", "Too many event streams are open.", headers=(("Retry-After", "5"),))
        seat = Seat()
        self.streams.add(seat)
        return seat

    def slow_down(self, refusal: Refusal, client: str) -> Refusal:
        """Return the refusal, or the 429 that replaces a 401 when this client has failed too often."""
        if refusal.status != 401:
            return refusal
        wait = self.throttle.fail(client)
        self.context.metrics.count_failure(429 if wait else 401)
        if not wait:
            return refusal
        return Refusal(429, "too_many_failures", "Too many failed authentications from this address.", headers=(("Retry-After", str(wait)),))


def desk_of(call: Call) -> Desk:
    """Return the desk of the app that a request reached."""
    desk: Desk = call.app.state.desk
    return desk


def context_of(call: Call) -> ApiContext:
    """Return the context of the app that a request reached."""
    return desk_of(call).context


def event_id_of(scope: Any) -> str:
    """Return the request id that the front gave."""
    return str(scope["state"]["event_id"])
