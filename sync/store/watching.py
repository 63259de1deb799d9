"""What the daemon watches while runs go on: whether they get on, were cancelled, or have fallen silent."""

from __future__ import annotations

import msgspec
from sqlalchemy import text

from sync.store.engine import Store


class Underway(msgspec.Struct, frozen=True):
    """One running run. `lease_until` changes with every renewal of its lease, `progress` whenever the run gets on."""

    run: str
    source: str
    cancelled_by: str
    lease_until: int
    progress: tuple[str, int, int]


def underway(store: Store) -> list[Underway]:
    """Return every run that holds a lease, of any process on any host."""
    query = text(
        "select r.id, r.source, r.cancel_requested_by, s.lease_until, r.phase, r.pages, r.entries from source s join run r on r.id = s.lease_run"
        " where r.state = 'running'"
    )
    with store.read() as connection:
        return [
            Underway(row.id, row.source, row.cancel_requested_by or "", row.lease_until, (row.phase or "", row.pages, row.entries))
            for row in connection.execute(query)
        ]
