"""The numbers that monitoring asks for, each by one statement over what is indexed or small."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from sync.store.cursors import load_drift
from sync.store.engine import Store
from sync.store.rows import decoded
from sync.store.sources import is_stale


class SourceCensus(msgspec.Struct, frozen=True):
    """One source. Ages and durations in seconds; None where there is nothing yet."""

    name: str
    read_age: float | None
    stale: bool
    failures: int
    paused: bool
    held: int
    unproven: int
    people: dict[str, int]
    runs: dict[str, int]
    entries: float | None = None
    seconds: float | None = None
    removed: float | None = None
    added: float | None = None
    drift: float | None = None


class Census(msgspec.Struct, frozen=True):
    """Everything at one moment. `keys` by "true" and "false"; `outbox` = events that wait for a reader."""

    sources: list[SourceCensus]
    keys: dict[str, int]
    outbox: int


def take(store: Store) -> Census:
    """Count, in one snapshot. Raises StoreUnavailable."""
    with store.read() as connection:
        people = _by_state(connection, 'select source, state, count(*) from "user" group by source, state')
        runs = _by_state(connection, "select source, state, count(*) from run where not dry_run group by source, state")
        held = _by_name(
            connection,
            "select h.source, count(distinct i.user_id) from hold h join hold_item i on i.run_id = h.run_id where h.state = 'open' group by 1",
        )
        unproven = _by_name(connection, 'select source, count(*) from "user" where unproven_since is not null group by source')
        rows = connection.execute(text("select * from source where configured order by rank, name")).all()
        now = store.now()
        sources = [_source(connection, row, now, people[row.name], runs[row.name], held, unproven) for row in rows]
        query = text("select enabled, count(*) from virtual_key where deleted_at is null group by enabled")
        keys = {str(bool(enabled)).lower(): int(count) for enabled, count in connection.execute(query)}
        outbox = int(connection.execute(text("select count(*) from event")).scalar_one())
    return Census(sources, {"true": 0, "false": 0} | keys, outbox)


def _source(
    connection: Connection, row: Any, now: int, people: dict[str, int], runs: dict[str, int], held: dict[str, int], unproven: dict[str, int]
) -> SourceCensus:
    query = text(
        "select entries, counts, finished_at - started_at as took from run"
        " where source = :source and finished_at is not null and started_at is not null and not dry_run and \"only\" = '' order by id desc limit 1"
    )
    last = connection.execute(query, {"source": row.name}).one_or_none()
    drift = load_drift(connection, row.name)
    counts = decoded(last.counts) if last else {}
    age = None if row.read_at is None else max(0.0, (now - row.read_at) / 1000)
    return SourceCensus(
        name=row.name, read_age=age, stale=is_stale(row, now),
        failures=row.failures, paused=row.paused_by is not None, held=held.get(row.name, 0), unproven=unproven.get(row.name, 0), people=people,
        runs=runs, entries=float(last.entries) if last else None, seconds=last.took / 1000 if last else None,
        removed=float(counts.get("missing", 0) + counts.get("removed", 0)) if last else None,
        added=float(counts.get("added", 0)) if last else None, drift=drift.ratio if drift.sampled else None,
    )  # fmt: skip


def _by_state(connection: Connection, query: str) -> defaultdict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for source, state, count in connection.execute(text(query)):
        found[source][state] = int(count)
    return found


def _by_name(connection: Connection, query: str) -> dict[str, int]:
    return {row[0]: int(row[1]) for row in connection.execute(text(query))}
