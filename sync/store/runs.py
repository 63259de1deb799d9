"""Runs as callers see them: requested, listed, decided on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import Row

from sync.errors import Conflict, NotFound
from sync.ids import new_run_id
from sync.store.engine import Store
from sync.store.rows import bad_cursor, decoded, make_cursor, open_cursor, run_view
from sync.store.views import ChangeView, RunView

DAY_MS = 86_400_000
SHORTEST_PREFIX = 6


def request(store: Store, source: str, **asked: Any) -> RunView:
    """Return the waiting run that will do what is asked, as `request_in` does, in a transaction of its own."""
    with store.write() as connection:
        return request_in(connection, store.now(), source, **asked)


def request_in(
    connection: Connection,
    now: int,
    source: str,
    *,
    trigger: str,
    requested_by: str,
    mode: str = "full",
    mode_reason: str = "",
    dry_run: bool = False,
    only: str = "",
) -> RunView:
    """Return the waiting run that will do what is asked: the one of its kind that waits already, raised to full if need be, or a new one.

    Raises NotFound for an unknown source, Conflict for one no longer configured, or paused when the clock asks.
    """
    _check_source(connection, source, trigger)
    waiting = connection.execute(
        text("select id from run where source = :source and dry_run = :dry and \"only\" = :only and state = 'waiting'"),
        {"source": source, "dry": dry_run, "only": only},
    ).scalar_one_or_none()
    if waiting is None:
        waiting = new_run_id(now)
        connection.execute(
            text(
                "insert into run (id, source, trigger, requested_by, mode, mode_reason, dry_run, \"only\", state, pages, entries, counts, seconds,"
                " requested_at) values (:id, :source, :trigger, :by, :mode, :why, :dry, :only, 'waiting', 0, 0, '{}', '{}', :now)"
            ),
            {"id": waiting, "source": source, "trigger": trigger, "by": requested_by, "mode": mode, "why": mode_reason, "dry": dry_run,
             "only": only, "now": now},
        )  # fmt: skip
    elif mode == "full":
        connection.execute(text("update run set mode = 'full' where id = :id"), {"id": waiting})
    return run_view(_row(connection, waiting))


def get(store: Store, run_id: str) -> RunView:
    """Return a run by its id or a unique beginning of it. Raises NotFound."""
    with store.read() as connection:
        return run_view(_row(connection, _resolve(connection, run_id)))


def find_row(connection: Connection, run_id: str) -> Row[Any]:
    """Return a run's row by its id or a unique beginning of it, inside a transaction. Raises NotFound."""
    return _row(connection, _resolve(connection, run_id))


def list_runs(
    store: Store, *, source: str | None = None, state: str | None = None, limit: int = 20, cursor: str | None = None
) -> tuple[list[RunView], str | None]:
    """Return (runs, newest first; where to go on or None)."""
    before = open_cursor(cursor)
    wheres = {
        "source = :source": source,
        "state = :state": state,
        "id < :before": before,
    }
    clause = " and ".join(where for where, value in wheres.items() if value is not None) or "true"
    query = text(f"select * from run where {clause} order by id desc limit :limit")
    with store.read() as connection:
        rows = connection.execute(query, {"source": source, "state": state, "before": before, "limit": limit + 1}).all()
    runs = [run_view(row) for row in rows[:limit]]
    return runs, make_cursor(runs[-1].id) if len(rows) > limit else None


def changes(
    store: Store, run_id: str, *, kind: str | None = None, limit: int = 100, cursor: str | None = None
) -> tuple[list[ChangeView], str | None]:
    """Return (what the run changed, would have changed or withheld, in order; where to go on or None). Raises NotFound."""
    after = open_cursor(cursor)
    if after is not None and not (after.isdigit() and len(after) <= 18):
        raise bad_cursor()
    clause = "and kind = :kind" if kind else ""
    query = text(f"select * from change where run_id = :run and id > :after {clause} order by id limit :limit")
    with store.read() as connection:
        facts = {"run": _resolve(connection, run_id), "after": int(after or 0), "kind": kind, "limit": limit + 1}
        rows = connection.execute(query, facts).all()
    views = [ChangeView(r.kind, r.user_id, r.external_id, r.email, decoded(r.before), decoded(r.after), r.reason, r.evidence) for r in rows[:limit]]
    return views, make_cursor(str(rows[limit - 1].id)) if len(rows) > limit else None


def waiting(store: Store) -> list[RunView]:
    """Return every waiting run, oldest first."""
    with store.read() as connection:
        return [run_view(row) for row in connection.execute(text("select * from run where state = 'waiting' order by id"))]


def approve(store: Store, run_id: str, by: str) -> RunView:
    """Store a yes to exactly what the hold of this run withholds, valid for a day, and return the full run that will carry it out.

    The open hold can be approved, an older one if it withholds the same, and one that was discarded. Raises NotFound, Conflict.
    """
    with store.write() as connection:
        run = _row(connection, _resolve(connection, run_id))
        _check_decidable(connection, run, ("open", "discarded"))
        now = store.now()
        facts = {"run": run.id, "source": run.source, "by": by, "now": now, "until": now + DAY_MS}
        connection.execute(
            text(
                "insert into approval (hold_run_id, source, approved_by, approved_at, expires_at) values (:run, :source, :by, :now, :until)"
                " on conflict (hold_run_id) do update set approved_by = :by, approved_at = :now, expires_at = :until, consumed_by = null"
            ),
            facts,
        )
        connection.execute(
            text("update hold set state = 'approved', closed_at = :now where run_id = :run or (source = :source and state in ('open', 'discarded'))"),
            facts,
        )
    requested = request(store, run.source, trigger="approval", requested_by=by, mode_reason=f"approval of {run.id}")
    with store.write() as connection:
        _decide(connection, run.id, by, now, requested.id)
    return requested


def discard(store: Store, run_id: str, by: str) -> RunView:
    """Say no to a hold: its people stay, and exactly this set raises no alarm again. Raises NotFound, Conflict."""
    with store.write() as connection:
        run = _row(connection, _resolve(connection, run_id))
        _check_decidable(connection, run, ("open",))
        now = store.now()
        connection.execute(
            text("update hold set state = 'superseded', closed_at = :now where source = :s and state = 'open'"), {"now": now, "s": run.source}
        )
        connection.execute(text("update hold set state = 'discarded', closed_at = :now where run_id = :run"), {"now": now, "run": run.id})
        connection.execute(text("update run set state = 'discarded' where id = :run"), {"run": run.id})
        _decide(connection, run.id, by, now, None)
        return run_view(_row(connection, run.id))


def cancel(store: Store, run_id: str, by: str) -> RunView:
    """Cancel a waiting run at once, ask a running one to stop before its commit. Raises NotFound, Conflict."""
    with store.write() as connection:
        run = _row(connection, _resolve(connection, run_id))
        now = store.now()
        if run.state == "waiting":
            connection.execute(text("update run set state = 'cancelled', finished_at = :now where id = :id"), {"now": now, "id": run.id})
            _decide(connection, run.id, by, now, None)
        elif run.state == "running":
            connection.execute(text("update run set cancel_requested_by = :by where id = :id"), {"by": by, "id": run.id})
        else:
            raise Conflict("run_ended", f"Run {run.id} has {run.state} already.", "Only a waiting or running run can be cancelled.")
        return run_view(_row(connection, run.id))


def prune(store: Store, history_ms: int) -> int:
    """Forget runs (and their changes) that ended longer ago; never a source's last run, an open hold or a standing approval. Return how many."""
    old = (
        "select r.id from run r where r.finished_at < :before"
        " and r.id not in (select max(l.id) from run l group by l.source)"  # asked once, not for each run
        " and not exists (select 1 from hold h where h.run_id = r.id and h.state in ('open', 'discarded'))"
        " and not exists (select 1 from approval a where a.hold_run_id = r.id and a.consumed_by is null and a.expires_at > :now)"
        " and not exists (select 1 from approval a where a.consumed_by = r.id)"
        " and not exists (select 1 from loss l where l.run_id = r.id and l.at > :day)"
        " limit 500"
    )
    now = store.now()
    with store.write() as connection:
        facts = {"before": now - history_ms, "now": now, "day": now - DAY_MS}
        ids = [row[0] for row in connection.execute(text(old), facts)]
        for run_id in ids:
            for table, column in (
                ("change", "run_id"),
                ("user_before", "run_id"),
                ("loss", "run_id"),
                ("approval", "hold_run_id"),
                ("hold_item", "run_id"),
                ("hold", "run_id"),
                ("run", "id"),
            ):
                connection.execute(text(f"delete from {table} where {column} = :id"), {"id": run_id})
    return len(ids)


def _check_source(connection: Connection, source: str, trigger: str) -> None:
    row = connection.execute(text("select configured, paused_by from source where name = :name"), {"name": source}).one_or_none()
    if row is None:
        raise NotFound("source_not_found", f"There is no source {source}.", "`rosterd sources` lists them.")
    if not row.configured:
        raise Conflict("source_unconfigured", f"The source {source} is no longer in the configuration.", "Put its [[source]] table back to sync it.")
    if row.paused_by and trigger in ("schedule", "startup"):
        raise Conflict("source_paused", f"The source {source} was paused by {row.paused_by}.", f"`rosterd sources resume {source}` lets it go on.")


def _check_decidable(connection: Connection, run: Row[Any], states: tuple[str, ...]) -> None:
    hold = connection.execute(text("select state from hold where run_id = :run"), {"run": run.id}).scalar_one_or_none()
    if hold is None:
        raise Conflict(
            "run_not_held", f"Run {run.id} ({run.state}{', a dry run' if run.dry_run else ''}) withholds nothing that waits for a decision."
        )
    newest = connection.execute(text("select run_id from hold where source = :s and state = 'open'"), {"s": run.source}).scalar_one_or_none()
    if hold in states or (newest is not None and hold == "superseded" and _same_items(connection, run.id, newest)):
        return
    advice = f"The open hold is run {newest}: look at that one." if newest else "There is no open hold now."
    raise Conflict("hold_not_open", f"The hold of run {run.id} was {hold} meanwhile.", advice)


def _same_items(connection: Connection, one: str, other: str) -> bool:
    def items(run: str) -> set[tuple[str, str]]:
        return {(row[0], row[1]) for row in connection.execute(text("select user_id, what from hold_item where run_id = :run"), {"run": run})}

    return items(one) == items(other)


def _decide(connection: Connection, run_id: str, by: str, now: int, run: str | None) -> None:
    connection.execute(
        text("update run set decision_by = :by, decision_at = :now, decision_run = :run where id = :id"),
        {"by": by, "now": now, "run": run, "id": run_id},
    )


def _row(connection: Connection, run_id: str) -> Row[Any]:
    return connection.execute(text("select * from run where id = :id"), {"id": run_id}).one()


def _resolve(connection: Connection, run_id: str) -> str:
    query = text("select id from run where id = :id or (length(:id) >= :least and substr(id, 1, length(:id)) = :id) limit 2")
    found = connection.execute(query, {"id": run_id, "least": SHORTEST_PREFIX}).all()
    if len(found) == 1:
        return str(found[0][0])
    if found:
        raise NotFound("run_not_found", f"Several runs begin with {run_id}.", "Give more of the id.")
    raise NotFound("run_not_found", f"There is no run {run_id}.", "`rosterd runs` lists them.")
