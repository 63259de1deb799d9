"""What a run needs to know of its source's row before it begins, and the few facts it keeps there outside its commit."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, text

from sync.jump import Stamp
from sync.store import holds
from sync.store.cursors import Cursor, load_cursor
from sync.store.engine import Store


class SourceFacts(msgspec.Struct, frozen=True):
    """The accepted configuration, the last completed read (milliseconds), refused binds, when by which clocks it last ran, where an
    incremental read can go on, and whether a hold or an approval waits."""

    digest: str
    parts: dict[str, str]
    read_at: int | None
    refused_binds: int
    refused_secret: str
    vendor: str
    stamp: Stamp | None
    cursor: Cursor | None = None
    undecided: bool = False


def source_facts(connection: Connection, source: str, now: int) -> SourceFacts:
    """Return the facts of one source."""
    facts = accepted_facts(connection, source)
    kept = connection.execute(text("select value from meta where name = :name"), {"name": _stamp_name(source)}).scalar_one_or_none()
    stamp = msgspec.json.decode(kept, type=Stamp) if kept else None
    undecided = bool(holds.waiting(connection, source)) or holds.standing(connection, source, now) is not None
    return msgspec.structs.replace(facts, stamp=stamp, cursor=load_cursor(connection, source), undecided=undecided)


def accepted_facts(connection: Connection, source: str) -> SourceFacts:
    """Return what stands in the source's own row: all that a push needs to know, in one statement."""
    row = connection.execute(
        text("select digest, parts, read_at, refused_binds, refused_secret, vendor from source where name = :name"), {"name": source}
    ).one()
    parts = msgspec.json.decode(row.parts) if isinstance(row.parts, str) else row.parts
    return SourceFacts(row.digest, parts, row.read_at, row.refused_binds, row.refused_secret, row.vendor, None)


def keep_stamp(connection: Connection, source: str, stamp: Stamp) -> None:
    """Remember when the source last ran, by both clocks."""
    facts = {"name": _stamp_name(source), "value": msgspec.json.encode(stamp).decode()}
    connection.execute(text("insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value"), facts)


def set_times_right(connection: Connection, source: str, jump: int, now: int) -> None:
    """After the clock jumped by `jump` ms: grace, quarantine, absence and the guard's 24 hours are time that passed, not time that the clock
    skipped. Whatever began before the jump began that much later, at the latest now."""
    facts = {"source": source, "jump": max(jump, 0), "now": now}
    later = "{0} = case when {0} + :jump > :now then :now else {0} + :jump end"
    mine = 'user_id in (select id from "user" where source = :source)'
    for statement in (
        f'update "user" set {later.format("missing_since")}, {later.format("inactive_since")}'
        " where source = :source and (missing_since is not null or inactive_since is not null)",
        f"update claim set {later.format('dropped_at')} where dropped_at is not null and {mine}",
        f"update loss set {later.format('at')} where source = :source",
    ):
        connection.execute(text(statement), facts)


def count_refused_bind(store: Store, source: str, secret: str) -> None:
    """Count one more bind that was refused with this secret (a keyed digest); another secret starts at one."""
    with store.write() as connection:
        connection.execute(
            text(
                "update source set refused_binds = case when refused_secret = :secret then refused_binds + 1 else 1 end, refused_secret = :secret"
                " where name = :name"
            ),
            {"secret": secret, "name": source},
        )


def _stamp_name(source: str) -> str:
    return f"clock:{source}"
