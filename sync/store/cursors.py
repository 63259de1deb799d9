"""Where the next incremental read of a source goes on, and what its rolling samples found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, text

MOST_AGAIN = 10_000
"""People to look at again; the next full read looks at all."""


class Cursor(msgspec.Struct, frozen=True):
    """`position` is the directory's own word ("" = it offers none, `why_none` says why); `bound_to` = a digest of the configuration and the
    policies under which it holds; `full_at` = when everything was last read (ms), and how many `entries` that were; `sampled` = the id at
    which the last sample ended; `again` = ids to look at next time because what somebody else lost became theirs."""

    position: str
    bound_to: str
    full_at: int
    entries: int = 0
    sampled: str = ""
    why_none: str = ""
    again: tuple[str, ...] = ()


class Drift(msgspec.Struct, frozen=True):
    """Since the last full read: how many people samples looked at, and how many of them had changed without the directory's saying so."""

    sampled: int = 0
    drifted: int = 0

    @property
    def ratio(self) -> float:
        """The share of people who differ although no incremental read named them, 0 to 1."""
        return self.drifted / self.sampled if self.sampled else 0.0


def load_cursor(connection: Connection, source: str) -> Cursor | None:
    """Return the cursor of a source, None before its first full read (or after its people were adopted)."""
    kept = connection.execute(text("select cursor from source where name = :name"), {"name": source}).scalar_one()
    try:
        return msgspec.json.decode(kept, type=Cursor) if kept else None
    except msgspec.DecodeError:  # of another version: everything is read again
        return None


def keep_cursor(connection: Connection, source: str, cursor: Cursor) -> None:
    """Remember where to go on, in the transaction that commits what was read."""
    facts = {"name": source, "cursor": msgspec.json.encode(cursor).decode()}
    connection.execute(text("update source set cursor = :cursor where name = :name"), facts)


def look_again(connection: Connection, people: Iterable[tuple[str, str]]) -> None:
    """Let the next incremental read of each source look at these (source, external id), who did not change themselves; it is soon."""
    by_source: defaultdict[str, set[str]] = defaultdict(set)
    for source, external_id in people:
        by_source[source].add(external_id)
    for source, ids in by_source.items():
        cursor = load_cursor(connection, source)
        if cursor is not None:
            again = sorted(ids.union(cursor.again))[:MOST_AGAIN]
            keep_cursor(connection, source, msgspec.structs.replace(cursor, again=tuple(again)))
            # Nobody reads a source that is pushed to every few minutes: it is due now.
            connection.execute(text("update source set due_at = 0 where name = :name and kind = 'scim-push'"), {"name": source})


def load_drift(connection: Connection, source: str) -> Drift:
    """Return what samples found since the last full read."""
    kept = connection.execute(text("select value from meta where name = :name"), {"name": f"drift:{source}"}).scalar_one_or_none()
    return msgspec.json.decode(kept, type=Drift) if kept else Drift()


def keep_drift(connection: Connection, source: str, drift: Drift) -> None:
    """Remember what samples found."""
    facts = {"name": f"drift:{source}", "value": msgspec.json.encode(drift).decode()}
    connection.execute(text("insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value"), facts)


def next_sample(connection: Connection, source: str, after: str, size: int) -> list[str]:
    """Return the ids of the next people to look at, round and round."""
    query = text(
        "select external_id from \"user\" where source = :source and external_id > :after and state in ('active', 'disabled')"
        " order by external_id limit :size"
    )
    ids = [row[0] for row in connection.execute(query, {"source": source, "after": after, "size": size})]
    if len(ids) < size and after:
        ids += [row[0] for row in connection.execute(query, {"source": source, "after": "", "size": size - len(ids)})]
    return list(dict.fromkeys(ids))
