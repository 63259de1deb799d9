"""Sources as callers see them: declared by the configuration, paused, due, and in which state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import Row

from sync.errors import NotFound
from sync.settings import Policy, SourceSettings
from sync.store.cursors import load_cursor, load_drift
from sync.store.engine import Store
from sync.store.rows import run_view
from sync.store.views import DriftView, HoldView, SourceView, must_rfc3339, rfc3339

PERIODS_UNTIL_STALE = 3


def declare(store: Store, sources: Sequence[SourceSettings], policies: Sequence[Policy]) -> None:
    """Make the store know the configured sources (one taken out keeps its people as they are) and the policies' new names.

    What decides who is read (`digest`, `parts`) is not touched: only a run's commit accepts it (rule 9).
    """
    with store.write() as connection:
        connection.execute(text("update source set configured = false"))
        for source in sources:
            connection.execute(_DECLARE, _declaration(source))
        for policy in policies:
            if policy.was:
                connection.execute(
                    text(
                        "update virtual_key set policy = :name where policy = :was and not exists"
                        " (select 1 from virtual_key o where o.user_id = virtual_key.user_id and o.policy = :name)"
                    ),
                    {"name": policy.name, "was": policy.was},
                )


def list_sources(store: Store) -> list[SourceView]:
    """Return every source, in the order of the configuration."""
    with store.read() as connection:
        rows = connection.execute(text("select * from source order by configured desc, rank, name")).all()
        return [_view(connection, row, store.now()) for row in rows]


def get_source(store: Store, name: str) -> SourceView:
    """Return one source. Raises NotFound."""
    with store.read() as connection:
        return _view(connection, _row(connection, name), store.now())


def stale_ones(connection: Connection, now: int) -> dict[str, int]:
    """Return the configured sources that were last read too long ago, in their order, and when that was. Counts nobody, so it takes no longer with
    a million people."""
    rows = connection.execute(text("select name, read_at, stale_after_ms from source where configured order by rank, name"))
    return {row.name: row.read_at for row in rows if is_stale(row, now)}


def is_stale(row: Row[Any], now: int) -> bool:
    """Tell of a row of `source` whether it was last read too long ago."""
    return row.read_at is not None and row.stale_after_ms is not None and now - row.read_at > row.stale_after_ms


def pause(store: Store, name: str, by: str) -> SourceView:
    """Stop the schedule of a source until it is resumed; lookups and runs that humans ask for go on. Raises NotFound."""
    with store.write() as connection:
        _row(connection, name)
        connection.execute(
            text("update source set paused_by = :by, paused_at = :now where name = :name and paused_by is null"),
            {"by": by, "now": store.now(), "name": name},
        )
    return get_source(store, name)


def resume(store: Store, name: str, by: str) -> SourceView:
    """Let the schedule of a source go on; it is due at once. Raises NotFound."""
    with store.write() as connection:
        _row(connection, name)
        connection.execute(text("update source set paused_by = null, paused_at = null, due_at = null where name = :name"), {"name": name})
    return get_source(store, name)


def due_at(store: Store, name: str) -> int | None:
    """Return when the source is due (milliseconds), None for one that never was. Raises NotFound."""
    with store.read() as connection:
        due = _row(connection, name).due_at
        return None if due is None else int(due)


def claim_due(connection: Connection, name: str, *, now: int, next_due: int) -> bool:
    """Tell whether the caller is the one to start the run that is due; whoever comes second is told no. In the transaction that requests
    the run: a daemon that dies between the two would leave it to the next period."""
    claimed = connection.execute(
        text("update source set due_at = :next where name = :name and (due_at is null or due_at <= :now)"),
        {"next": next_due, "name": name, "now": now},
    )
    return claimed.rowcount == 1


_DECLARE = text(
    "insert into source (name, kind, rank, configured, digest, parts, vendor, server, failures, refused_binds, refused_secret, fence,"
    " stale_after_ms, fail_closed_after_ms)"
    " values (:name, :kind, :rank, true, '', '{}', '', '', 0, 0, '', 0, :stale, :closed)"
    " on conflict (name) do update set kind = :kind, rank = :rank, configured = true, stale_after_ms = :stale, fail_closed_after_ms = :closed"
)


def _declaration(source: SourceSettings) -> dict[str, Any]:
    guard = source.guard
    stale = guard.stale_after
    if stale is None and source.kind != "scim-push":  # who is pushed to cannot know when there is something to push
        stale = PERIODS_UNTIL_STALE * source.schedule.every
    closed = None if guard.fail_closed_after is None else guard.fail_closed_after * 1000
    return {"name": source.name, "kind": source.kind, "rank": source.rank, "stale": None if stale is None else stale * 1000, "closed": closed}


def _row(connection: Connection, name: str) -> Row[Any]:
    row = connection.execute(text("select * from source where name = :name"), {"name": name}).one_or_none()
    if row is None:
        raise NotFound("source_not_found", f"There is no source {name}.", "`rosterd sources` lists them.")
    return row


def _view(connection: Connection, row: Row[Any], now: int) -> SourceView:
    people = dict.fromkeys(("active", "disabled", "missing", "removed"), 0)
    for state, count in connection.execute(text('select state, count(*) from "user" where source = :s group by state'), {"s": row.name}):
        people[state] = count
    unproven = connection.execute(text('select count(*) from "user" where source = :s and unproven_since is not null'), {"s": row.name}).scalar_one()
    last = connection.execute(text("select * from run where source = :s order by id desc limit 1"), {"s": row.name}).one_or_none()
    cursor, drift = load_cursor(connection, row.name), load_drift(connection, row.name)
    stale = is_stale(row, now)
    return SourceView(
        name=row.name, kind=row.kind, state=_state(row, stale), stale=stale, people=people, unproven=unproven, read_at=rfc3339(row.read_at),
        due_at=rfc3339(row.due_at), paused_by=row.paused_by, paused_at=rfc3339(row.paused_at), server=row.server or None,
        vendor=row.vendor or None, last_run=run_view(last) if last else None, open_hold=open_hold(connection, row.name),
        full_at=rfc3339(cursor.full_at) if cursor else None, restored_at=rfc3339(row.restored_at),
        drift=DriftView(drift.sampled, drift.drifted, round(drift.ratio, 4)) if drift.sampled else None,
    )  # fmt: skip


def open_hold(connection: Connection, source: str) -> HoldView | None:
    """Return the source's open hold."""
    query = text(
        "select h.*, (select count(distinct user_id) from hold_item i where i.run_id = h.run_id) as people from hold h"
        " where h.source = :s and h.state = 'open'"
    )
    hold = connection.execute(query, {"s": source}).one_or_none()
    return HoldView(hold.run_id, hold.why, hold.people, must_rfc3339(hold.opened_at)) if hold else None


def _state(row: Row[Any], stale: bool) -> str:
    if row.paused_by:
        return "paused"
    if not row.configured:
        return "unconfigured"
    if row.failures:
        return "failing"
    if row.read_at is None:
        return "new"
    return "stale" if stale else "ok"
