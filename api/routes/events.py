"""The progress of one run as Server-Sent Events, until it ends or rosterd does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from anyio import to_thread
from litestar import get
from litestar.params import FromPath
from litestar.response import ServerSentEvent, ServerSentEventMessage

from api.desk import Call, Desk, Seat, desk_of
from api.paths import decode_segment
from api.shapes import RunAnswer
from sync.errors import RosterError
from sync.store import runs
from sync.store.views import RunView

EVERY_SECONDS = 0.4
QUIET_SECONDS = 15.0
"""After so long without news a comment is sent, so that proxies keep the stream open."""

LONGEST_SECONDS = 3600.0
ENDED = frozenset({"succeeded", "held", "failed", "cancelled", "discarded"})


@get("/{run_id:str}/events", operation_id="watch_run")
async def watch_run(request: Call, run_id: FromPath[str]) -> ServerSentEvent:
    """`progress` with state, phase, pages, entries and counts whenever they change, then `done` with the run; `bye` when rosterd stops first."""
    desk = desk_of(request)
    run = await _poll(desk, decode_segment(run_id, "id"))
    return ServerSentEvent(_events(desk, run, desk.take_seat()), headers={"Cache-Control": "no-store"})


async def _events(desk: Desk, run: RunView, seat: Seat) -> AsyncIterator[ServerSentEventMessage]:
    """Yield what happens to a run. A store that fails ends the stream with `error`; the client asks again."""
    said, quiet_since, ends = b"", time.monotonic(), time.monotonic() + LONGEST_SECONDS
    try:
        while not desk.context.stopping.is_set() and time.monotonic() < ends:
            news = _progress(run)
            if news != said:
                said, quiet_since = news, time.monotonic()
                yield ServerSentEventMessage(event="progress", data=news)
            elif time.monotonic() - quiet_since > QUIET_SECONDS:
                quiet_since = time.monotonic()
                yield ServerSentEventMessage(comment="still here", data=None)
            if run.state in ENDED:
                yield ServerSentEventMessage(event="done", data=msgspec.json.encode(RunAnswer(run)))
                return
            await _pause(desk)
            run = await _poll(desk, run.id)
        yield ServerSentEventMessage(event="bye", data=b"{}")
    except RosterError as error:
        yield ServerSentEventMessage(event="error", data=msgspec.json.encode({"code": error.code}))
    finally:
        desk.streams.discard(seat)


async def _poll(desk: Desk, run_id: FromPath[str]) -> RunView:
    return await to_thread.run_sync(runs.get, desk.context.store, run_id, limiter=desk.looks)


async def _pause(desk: Desk) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(desk.context.stopping.wait(), EVERY_SECONDS)


def _progress(run: RunView) -> bytes:
    facts = {"state": run.state, "phase": run.phase, "pages": run.pages, "entries": run.entries, "counts": run.counts}
    return msgspec.json.encode({name: value for name, value in facts.items() if value is not None})
