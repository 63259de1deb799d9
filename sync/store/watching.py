"""What the daemon watches while runs go on: whether they get on, were cancelled, or have let their lease lapse."""

from __future__ import annotations

import msgspec
from sqlalchemy import text

from sync.store.engine import Store


class Underway(msgspec.Struct, frozen=True):
    """One running run. `lapsed` = its lease was not renewed in time; `progress` changes whenever the run gets on."""

    run: str
    source: str
    cancelled_by: str
    lapsed: bool
    progress: tuple[str, int, int]


def underway(store: Store) -> list[Underway]:
    """Return every run that holds a lease, of any process on any host."""
    query = text(
        "select r.id, r.source, r.cancel_requested_by, s.lease_until, r.phase, r.pages, r.entries from source s join run r on r.id = s.lease_run"
        " where r.state = 'running'"
    )
    with store.read() as connection:
        now = store.now()
        return [
            Underway(row.id, row.source, row.cancel_requested_by or "", row.lease_until < now, (row.phase or "", row.pages, row.entries))
            for row in connection.execute(query)
        ]
