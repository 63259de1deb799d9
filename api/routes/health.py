"""Whether this process lives, and whether it can answer lookups. No token, no secrets."""

from __future__ import annotations

from anyio import to_thread
from litestar import Response, Router, get
from litestar.params import FromQuery

from api.desk import Call, desk_of
from api.errors import Refusal
from api.shapes import Liveness, Readiness
from sync.errors import RosterError
from sync.store import lookup, sources
from sync.store.engine import Store


@get("/live", operation_id="live")
async def live(request: Call) -> Liveness:
    """This process answers."""
    return Liveness("live", desk_of(request).context.version)


@get("/ready", operation_id="ready")
async def ready(request: Call, strict: FromQuery[bool] = False) -> Response[Readiness]:
    """This process can answer lookups. `strict=1` makes a stale source a 503."""
    desk = desk_of(request)
    context = desk.context
    try:
        lookup.by_user(context.store, "", asked=None)  # the very connection that lookups use
        desk.check_confirmed()
        stale = await to_thread.run_sync(_stale, context.store, limiter=desk.looks)
    except (RosterError, Refusal) as error:
        return _answer(Readiness("unready", context.version, [], error.code))
    if context.stopping.is_set():
        return _answer(Readiness("unready", context.version, stale, "stopping"))
    if strict and stale:
        return _answer(Readiness("unready", context.version, stale, "stale"))
    return _answer(Readiness("ready", context.version, stale))


def _stale(store: Store) -> list[str]:
    with store.read() as connection:
        return list(sources.stale_ones(connection, store.now()))


def _answer(readiness: Readiness) -> Response[Readiness]:
    status, headers = (200, {}) if readiness.why is None else (503, {"Retry-After": "5"})
    return Response(readiness, status_code=status, headers={"Cache-Control": "no-store", **headers})


router = Router("/health", route_handlers=[live, ready], tags=["health"])
