"""Holds and approvals as the guard needs them: what stands, what is silenced, what was lost lately."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

DAY_MS = 86_400_000
Item = tuple[str, str]
"""(user id, what they would lose)."""

_INSERT_LOSS = (
    "insert into loss (run_id, user_id, what, source, at) values (:run, :user, :what, :source, :at)"
    " on conflict (run_id, user_id, what) do update set at = excluded.at"  # pushes of one minute may take away, give and take away again
)


def standing(connection: Connection, source: str, now: int) -> frozenset[Item] | None:
    """Return the items of every approval that is neither consumed nor a day old, None when there is none."""
    query = text("select hold_run_id from approval where source = :source and consumed_by is null and expires_at > :now")
    approved = [row[0] for row in connection.execute(query, {"source": source, "now": now})]
    return frozenset(item for run in approved for item in _items(connection, run)) if approved else None


def silenced(connection: Connection, source: str) -> frozenset[Item]:
    """Return the items of the newest discarded hold that nothing has ended yet."""
    return frozenset(item for run in _in_state(connection, source, "discarded") for item in _items(connection, run))


def waiting(connection: Connection, source: str) -> frozenset[Item]:
    """Return the items of the open hold."""
    return frozenset(item for run in _in_state(connection, source, "open") for item in _items(connection, run))


def lost_lately(connection: Connection, source: str, now: int, *, stated: bool) -> frozenset[str]:
    """Return the users who lost something without an approval in the last 24 hours; `stated` = disabled or expired ones."""
    sign = "=" if stated else "<>"
    query = text(f"select distinct user_id from loss where source = :source and at > :since and what {sign} 'disabled'")
    return frozenset(row[0] for row in connection.execute(query, {"source": source, "since": now - DAY_MS}))


def record_losses(connection: Connection, source: str, run_id: str, items: Iterable[Item], now: int) -> None:
    """Remember who lost what, for the limits of the next 24 hours; forget what is older than two days."""
    rows = [{"run": run_id, "user": user_id, "what": what, "source": source, "at": now} for user_id, what in items]
    if rows:
        connection.execute(text(_INSERT_LOSS), rows)
    connection.execute(text("delete from loss where source = :source and at < :old"), {"source": source, "old": now - 2 * DAY_MS})


def open_hold(connection: Connection, source: str, run_id: str, why: str, items: Iterable[Item], now: int) -> None:
    """Make this run's hold the open one; the one before it, and a discarded one it outgrew, are superseded."""
    close(connection, source, "open", "superseded", now)
    close(connection, source, "discarded", "released", now)
    connection.execute(
        text("insert into hold (run_id, source, state, why, opened_at) values (:run, :source, 'open', :why, :now)"),
        {"run": run_id, "source": source, "why": why, "now": now},
    )
    rows = [{"run": run_id, "user": user_id, "what": what} for user_id, what in items]
    connection.execute(text("insert into hold_item (run_id, user_id, what) values (:run, :user, :what)"), rows)


def reopen(connection: Connection, run_id: str, why: str, items: Iterable[Item], now: int) -> None:
    """Let the open hold of this run, which goes on, withhold these items from now on."""
    connection.execute(text("delete from hold_item where run_id = :run"), {"run": run_id})
    connection.execute(text("update hold set why = :why, opened_at = :now where run_id = :run"), {"why": why, "now": now, "run": run_id})
    rows = [{"run": run_id, "user": user_id, "what": what} for user_id, what in items]
    connection.execute(text("insert into hold_item (run_id, user_id, what) values (:run, :user, :what)"), rows)


def narrow(connection: Connection, source: str, still: frozenset[Item], now: int) -> None:
    """Take out of the open hold whoever came back; an empty one is superseded."""
    for run in _in_state(connection, source, "open"):
        _keep_only(connection, run, still)
        if not still:
            close(connection, source, "open", "superseded", now)


def close(connection: Connection, source: str, state: str, into: str, now: int) -> None:
    """Move every hold of `source` from one state into another."""
    connection.execute(
        text("update hold set state = :into, closed_at = :now where source = :source and state = :state"),
        {"into": into, "now": now, "source": source, "state": state},
    )


def narrow_silence(connection: Connection, source: str, still: frozenset[Item], now: int) -> None:
    """Take whoever came back out of the discarded set; an empty one is released."""
    for run in _in_state(connection, source, "discarded"):
        _keep_only(connection, run, still)
        if not _items(connection, run):
            connection.execute(text("update hold set state = 'released', closed_at = :now where run_id = :run"), {"now": now, "run": run})


def consume(connection: Connection, source: str, run_id: str, now: int) -> None:
    """Mark the standing approvals as used by this run."""
    connection.execute(
        text("update approval set consumed_by = :run where source = :source and consumed_by is null and expires_at > :now"),
        {"run": run_id, "source": source, "now": now},
    )


def repeats(connection: Connection, run_id: str) -> bool:
    """Tell whether the hold of this run withholds exactly what the open one before it did: one alarm for each distinct set (rule 3)."""
    query = text(
        "select p.run_id from hold h join hold p on p.source = h.source and p.run_id <> h.run_id and p.closed_at = h.opened_at"
        " where h.run_id = :run and p.state = 'superseded'"
    )
    before = connection.execute(query, {"run": run_id}).scalars().all()
    return any(_items(connection, one) == _items(connection, run_id) for one in before)


def _keep_only(connection: Connection, run_id: str, still: frozenset[Item]) -> None:
    for user_id, what in _items(connection, run_id) - still:
        connection.execute(
            text("delete from hold_item where run_id = :run and user_id = :user and what = :what"), {"run": run_id, "user": user_id, "what": what}
        )


def _in_state(connection: Connection, source: str, state: str) -> list[str]:
    query = text("select run_id from hold where source = :source and state = :state")
    return [row[0] for row in connection.execute(query, {"source": source, "state": state})]


def _items(connection: Connection, run_id: str) -> frozenset[Item]:
    rows = connection.execute(text("select user_id, what from hold_item where run_id = :run"), {"run": run_id})
    return frozenset((row[0], row[1]) for row in rows)
