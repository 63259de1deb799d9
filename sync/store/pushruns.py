"""The record of pushes: those of one minute are one run, which stands as ended after each of them, and the next one of that minute adds to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, text

from sync.ids import new_run_id
from sync.store.rows import decoded
from sync.store.views import COUNTS

MINUTE_MS = 60_000

_LATEST = text(
    "select id, state, pages, entries, counts, seconds from run r where source = :source and requested_at > :since and requested_at <= :now"
    " and trigger = 'push' and (state = 'succeeded' or (state = 'held' and exists (select 1 from hold h where h.run_id = r.id and h.state = 'open')))"
    " order by id desc limit 1"
)
_BEGIN = text(
    'insert into run (id, source, trigger, requested_by, mode, mode_reason, dry_run, "only", state, pages, entries, counts, seconds, requested_at,'
    " started_at, finished_at) values (:id, :source, 'push', 'scim', 'push', '', false, '', 'succeeded', 0, 0, :counts, '{}', :now, :now, :now)"
)
_ADD = text(
    "update run set state = :state, pages = :pages, entries = :entries, counts = :counts, seconds = :seconds, finished_at = :now where id = :id"
)


class PushRun(msgspec.Struct):
    """The run of this minute, as far as it is: `pages` = pushes that changed something, `entries` = people they were about. `is_new` = this push
    began it. One whose hold a human has decided about is not added to."""

    id: str
    state: str
    pages: int
    entries: int
    counts: dict[str, int]
    seconds: dict[str, float]
    is_new: bool = False


def begin(connection: Connection, source: str, now: int) -> PushRun:
    """Return the run that a push at `now` (ms) belongs to, inside the transaction of the push."""
    row = connection.execute(_LATEST, {"source": source, "since": now - MINUTE_MS, "now": now}).one_or_none()
    if row is not None:
        return PushRun(row.id, row.state, row.pages, row.entries, decoded(row.counts), decoded(row.seconds))
    run = PushRun(new_run_id(now), "succeeded", 0, 0, dict.fromkeys(COUNTS, 0), {}, is_new=True)
    connection.execute(_BEGIN, {"id": run.id, "source": source, "counts": _encoded(run.counts), "now": now})
    return run


def add(connection: Connection, run: PushRun, counts: Mapping[str, int], *, people: int, held: bool, seconds: float, now: int) -> None:
    """Add what one push did; `held` = it withholds something new."""
    total = dict(Counter(run.counts) + Counter(counts))
    facts = {
        "id": run.id,
        "state": "held" if held else run.state,
        "pages": run.pages + 1,
        "entries": run.entries + people,
        "counts": _encoded(dict.fromkeys(COUNTS, 0) | total),
        "seconds": _encoded({"apply": round(run.seconds.get("apply", 0.0) + seconds, 3)}),
        "now": now,
    }
    connection.execute(_ADD, facts)


def leave(connection: Connection, run: PushRun) -> None:
    """Leave no trace of a push that changed nothing."""
    if run.is_new:
        connection.execute(text("delete from change where run_id = :id"), {"id": run.id})
        connection.execute(text("delete from run where id = :id"), {"id": run.id})


def note_push(connection: Connection, source: str, now: int) -> bool:
    """Remember when the source was pushed to last: what it tells is known as of then. Return whether what is pushed is to be taken over now:
    while an admin has paused the source its people stay as they are."""
    query = text("update source set read_at = :now, succeeded_at = :now, failures = 0 where name = :name returning paused_by")
    return connection.execute(query, {"now": now, "name": source}).scalar_one() is None


def _encoded(values: Mapping[str, float]) -> str:
    return msgspec.json.encode(values).decode()
