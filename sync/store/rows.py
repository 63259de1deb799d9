"""From rows to what callers see: JSON columns, cursors, runs."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from sqlalchemy.engine import Row

from sync.errors import InvalidRequest
from sync.store.views import Decision, RunError, RunView, must_rfc3339, rfc3339

_CURSOR = re.compile(r"([2-7][0-9a-f]){1,100}")


def run_view(row: Row[Any]) -> RunView:
    """Return a row of the run table as the contract shows it."""
    error = decoded(row.error)
    return RunView(
        id=row.id, source=row.source, trigger=row.trigger, requested_by=row.requested_by, mode=row.mode, dry_run=bool(row.dry_run), state=row.state,
        pages=row.pages, entries=row.entries, counts=decoded(row.counts) or {}, requested_at=must_rfc3339(row.requested_at),
        mode_reason=row.mode_reason or None, only=row.only or None,
        decision=Decision(row.decision_by, must_rfc3339(row.decision_at), row.decision_run) if row.decision_by else None,
        phase=row.phase, complete=None if row.complete is None else bool(row.complete), server=row.server,
        error=msgspec.convert(error, RunError) if error else None, started_at=rfc3339(row.started_at), finished_at=rfc3339(row.finished_at),
        seconds=decoded(row.seconds) or None,
    )  # fmt: skip


def decoded(value: Any) -> Any:
    """Return a JSON column whether the driver decoded it or not."""
    return msgspec.json.decode(value) if isinstance(value, str) else value


def make_cursor(place: str) -> str:
    """Return an opaque text that says where a list goes on: hexadecimal, so that there is one text for each place."""
    return place.encode("ascii").hex()


def open_cursor(cursor: str | None) -> str | None:
    """Return what `make_cursor` was given. Raises InvalidRequest."""
    if cursor is None:
        return None
    if not _CURSOR.fullmatch(cursor):
        raise bad_cursor()
    return bytes.fromhex(cursor).decode("ascii")


def bad_cursor() -> InvalidRequest:
    """Return the error for a cursor that no list answered."""
    return InvalidRequest("invalid_cursor", "The cursor is not one that a list answered.", "Start again without it.", "cursor")
