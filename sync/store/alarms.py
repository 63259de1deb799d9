"""What somebody should be told once: a source that begins to fail, one whose answers have grown stale, a token that reads many users."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from sync.store import events, sources
from sync.store.engine import Store

BY = "rosterd"
LONGEST_KNOWN_MS = 30 * 86_400_000
"""After so long nothing is known of a token's reading any more."""

_STALE = "stale:"
_FANOUT = "fanout:"


def run_failed(connection: Connection, run_id: str, error: dict[str, str], now: int) -> None:
    """Record that a source begins to fail, inside the transaction that ends the run: the first failure of a row of them, dry runs aside."""
    run = connection.execute(text('select source, dry_run, "only" from run where id = :id'), {"id": run_id}).one()
    if run.dry_run or run.only:
        return
    query = text(
        "select state from run where source = :source and not dry_run and \"only\" = '' and id <> :id and finished_at is not null"
        " and state <> 'cancelled' order by finished_at desc, id desc limit 1"
    )
    if connection.execute(query, {"source": run.source, "id": run_id}).scalar_one_or_none() != "failed":
        detail = {"source": run.source, "code": error.get("code", ""), "why": error.get("message", "")}
        events.record(connection, "run.failed", BY, now, run_id=run_id, detail=detail)


def note_stale(store: Store) -> list[str]:
    """Record every source whose answers have just grown stale, once until it is read again; return their names."""
    with store.read() as connection:
        now = store.now()
        stale = sources.stale_ones(connection, now)
        told = {row[0].removeprefix(_STALE) for row in connection.execute(text("select name from meta where name like 'stale:%'"))}
    if stale.keys() == told:
        return []
    with store.write() as connection:
        for name in told - stale.keys():
            connection.execute(text("delete from meta where name = :name"), {"name": _STALE + name})
        return [name for name in sorted(stale.keys() - told) if _note(connection, name, stale[name], now)]


def note_fanout(store: Store, jti: str, why: str, by: str, detail: dict[str, Any], *, known_for: int, renew: bool) -> bool:
    """Record that a token reads many users, unless the same (`why`) was recorded of it within `known_for` milliseconds; tell whether it is news.

    `renew` = what goes on is known for so long again from now on.
    """
    name, now = f"{_FANOUT}{jti}:{why}", store.now()
    with store.write() as connection:
        connection.execute(
            text("delete from meta where case when name like 'fanout:%' then cast(value as bigint) end <= :old"), {"old": now - LONGEST_KNOWN_MS}
        )
        at = connection.execute(text("select cast(value as bigint) from meta where name = :name"), {"name": name}).scalar_one_or_none()
        news = at is None or at <= now - known_for
        if news or renew:
            keep = text("insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value")
            connection.execute(keep, {"name": name, "value": str(now)})
        if news:
            events.record(connection, "lookup.fanout", by, now, jti=jti, detail=detail)
    return news


def _note(connection: Connection, name: str, read_at: int, now: int) -> bool:
    """Record one stale source, unless another daemon was quicker."""
    mark = text("insert into meta (name, value) values (:name, :value) on conflict (name) do nothing")
    if not connection.execute(mark, {"name": _STALE + name, "value": str(now)}).rowcount:
        return False
    events.record(connection, "source.stale", BY, now, detail={"source": name, "read_at_ms": read_at})
    return True
