"""Telling the audit file what happened in the store: everything, in order, and never so much in one go that lookups wait."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import daemon.relay
from api.audit import AuditLog
from daemon.relay import EVERY, PORTION, REST, relay, relay_forever
from sync.store import events
from sync.store.engine import Store

MANY = 2 * PORTION + 7


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    """Return an audit file, still empty."""
    opened = AuditLog(tmp_path / "audit.jsonl", 86_400)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _keys(store: Store) -> None:
    """Let a sync have issued many keys."""
    with store.write() as connection:
        events.record_all(connection, "key.issued", "sync", store.now(), [{"key_id": f"key-{number}"} for number in range(MANY)])


def told(audit: AuditLog) -> list[str]:
    """Return the keys that the file tells of."""
    return [json.loads(line).get("key_id", "") for line in audit.path.read_text().splitlines()] if audit.path.exists() else []


def watch_rests(store: Store, audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Let the daemon's relay make three rounds, each a hundredth of a second; return what was told by then, and the rest after it."""
    rests, clock = list[tuple[int, float]](), itertools.count()

    async def rest(seconds: float) -> None:
        rests.append((len(told(audit)), round(seconds, 6)))
        if len(rests) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(daemon.relay.asyncio, "sleep", rest)
    monkeypatch.setattr(daemon.relay.time, "thread_time", lambda: next(clock) / 100)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(relay_forever(store, audit))
    return rests


def test_a_first_sync_is_told_in_portions_with_a_rest_after_each(store: Store, audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups need Python too: after each portion they have it for several times as long as the portion took, until all is told."""
    rest = REST / 100
    assert watch_rests(store, audit, monkeypatch) == [(PORTION, rest), (2 * PORTION, rest), (MANY, EVERY)]
    assert told(audit) == [f"key-{number}" for number in range(MANY)]


def test_nothing_that_was_taken_away_waits_for_a_rest(store: Store, audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the store is lost, only what the file says is taken away again: a revocation behind a first sync's keys gets there as fast as may be."""
    with store.write() as connection:
        events.record(connection, "token.revoked", "cli:ann", store.now(), jti="lost")
    assert watch_rests(store, audit, monkeypatch) == [(PORTION, 0.0), (2 * PORTION, 0.0), (MANY + 1, EVERY)]


def test_a_daemon_that_ends_tells_for_so_long_and_the_next_one_the_rest(store: Store, audit: AuditLog) -> None:
    """Nothing is lost and nothing is told twice, wherever one has stopped."""
    assert relay(store, audit, within=0) == 0 and told(audit) == []
    assert daemon.relay.relay_some(store, audit) == PORTION
    assert relay(store, audit) == MANY - PORTION
    assert told(audit) == [f"key-{number}" for number in range(MANY)] and events.unread(store, events.AUDIT) == []


def test_threads_that_tell_at_once_tell_nothing_twice(store: Store, audit: AuditLog) -> None:
    """A daemon that ends has perhaps begun with a portion, and does not wait for it before it tells the rest."""
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(lambda _: relay(store, audit), range(4))) == MANY
    assert told(audit) == [f"key-{number}" for number in range(MANY)]
