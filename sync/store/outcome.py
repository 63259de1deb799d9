"""The record of a run: its change log while it happens, and its end in the same transaction as the data."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, text

from sync.settings import SourceSettings
from sync.store.engine import insert
from sync.store.lease import Lease, release
from sync.store.views import COUNTS

_encode = msgspec.json.encode
COLUMNS = ("run_id", "kind", "user_id", "external_id", "email", "before", "after", "reason", "evidence")
BATCH = 1000


class ChangeLog:
    """Collects a run's changes and counts. A dry run keeps them aside (encoded) and writes them after its rollback."""

    def __init__(self, run_id: str, dry_run: bool) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._run_id = run_id
        self._dry_run = dry_run
        self._rows: list[tuple[str | None, ...]] = []

    def add(
        self,
        kind: str,
        *,
        user_id: str | None = None,
        external_id: str | None = None,
        email: str | None = None,
        before: object = None,
        after: object = None,
        reason: str | None = None,
        evidence: str | None = None,
    ) -> None:
        """Record one change; `kind` is one of the counts in the singular."""
        self.counts[_PLURAL.get(kind, kind)] += 1
        told_before = _encode(before).decode() if before else None
        told_after = _encode(after).decode() if after else None
        self._rows.append((self._run_id, kind, user_id, external_id, email or None, told_before, told_after, reason, evidence))

    def flush(self, connection: Connection, *, rest: bool = False) -> None:
        """Write what has gathered; a dry run writes only when `rest` says that the real transaction is over."""
        if self._rows and (rest or (not self._dry_run and len(self._rows) >= BATCH)):
            insert(connection, "change", COLUMNS, self._rows)
            self._rows = []

    @property
    def writes_at_once(self) -> bool:
        """Tell whether what is recorded stands in the database at once: a dry run's would be rolled back."""
        return not self._dry_run

    def count_keys(self, issued: int) -> None:
        """Count keys whose changes were written otherwise."""
        self.counts["keys_issued"] += issued


_PLURAL = {"key_issued": "keys_issued", "key_disabled": "keys_disabled"}


class Ending(msgspec.Struct):
    """The facts that end a run. Seconds by phase; times in milliseconds."""

    state: str
    mode: str
    complete: bool
    server: str
    pages: int
    entries: int
    counts: dict[str, int]
    seconds: dict[str, float]
    mode_reason: str
    now: int


def end(connection: Connection, lease: Lease, ending: Ending) -> None:
    """Record how the run ended and give the lease back."""
    facts = {
        **msgspec.structs.asdict(ending),
        "counts": _encode(ending.counts).decode(),
        "seconds": _encode({phase: round(value, 3) for phase, value in ending.seconds.items()}).decode(),
        "id": lease.run_id,
    }
    connection.execute(
        text(
            "update run set state = :state, mode = :mode, complete = :complete, server = :server, pages = :pages, entries = :entries,"
            " counts = :counts, seconds = :seconds, mode_reason = :mode_reason, phase = null, finished_at = :now where id = :id"
        ),
        facts,
    )
    release(connection, lease)


class ReadFrom(NamedTuple):
    """Which server answered, and what kind it is."""

    server: str
    vendor: str


def accept_read(connection: Connection, source: SourceSettings, read: ReadFrom, now: int, *, complete: bool, configured: bool) -> None:
    """Remember what a committed run proved about its source: `complete` = it is known as it is now, by a full read or by what has changed since
    (one that is pushed to is known as of the last push, whatever we read in our own tables); with `configured`, that this configuration is
    accepted (rule 9)."""
    connection.execute(
        text(
            "update source set succeeded_at = :now, failures = 0, refused_binds = 0, server = :server, vendor = :vendor,"
            " read_at = case when :complete then :now else read_at end where name = :name"
        ),
        {"now": now, "server": read.server, "vendor": read.vendor, "complete": complete and not source.is_pushed, "name": source.name},
    )
    if configured:
        connection.execute(
            text("update source set digest = :digest, parts = :parts where name = :name"),
            {"digest": source.digest, "parts": _encode(source.parts).decode(), "name": source.name},
        )
