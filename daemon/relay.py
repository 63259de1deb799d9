"""What happened in the store, told to the audit file: every change of a key, a token or a block, whoever made it and in whichever process."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from pathlib import Path

import msgspec

from api.audit import AuditLog
from api.auditfile import last_event
from daemon.complaint import Complaint
from sync.errors import StoreUnavailable
from sync.store import alarms, events, restoring
from sync.store.engine import Store

_log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks."""
PORTION = 250
"""Events that are told in one go while lookups are answered: a few milliseconds of Python, which lookups need too."""
REST = 4.0
"""For so many times the processor time that a portion took, nothing is told after it. A first sync leaves an event for each key: telling a million
of them without a rest took lookups three quarters of their rate for as long as it lasted."""

_TELLING = threading.Lock()
"""Held while a portion is told: a daemon that ends may have begun with one, and tells what is left from another thread."""


def relay(store: Store, audit: AuditLog, within: float = math.inf) -> int:
    """Write every event that the audit file has not been told, and begin with no more of them after `within` seconds; return how many.

    One told twice after a crash has the same `event` number.
    """
    told, until = 0, time.monotonic() + within
    while time.monotonic() < until and (count := relay_some(store, audit, 1000)):
        told += count
    return told


def relay_some(store: Store, audit: AuditLog, most: int = PORTION) -> int:
    """Write the next events, up to `most`; return how many: 0 when all have been told, or the audit file cannot be written."""
    with _TELLING:
        batch, name = events.unread(store, events.AUDIT, most), restoring.store_name(store)
        for happening in batch:
            facts = msgspec.to_builtins(happening)
            audit.record(kind="change", store=name, action=facts.pop("kind"), **facts)
            _say(happening)
        if not batch or not audit.flush():
            return 0
        events.advance(store, events.AUDIT, batch[-1].event)
        return len(batch)


def _relay_portion(store: Store, audit: AuditLog) -> float:
    """Write the next events; return how many seconds to wait before the next: a rest, EVERY when nothing is left, none while more waits than keys
    that were issued. What was taken away must be in the file when the store is lost."""
    began = time.thread_time()
    if relay_some(store, audit) < PORTION:
        return EVERY
    return min(EVERY, REST * (time.thread_time() - began)) if events.only_keys_wait(store, PORTION) else 0.0


def refuse_older(store: Store, file: Path) -> None:
    """Refuse a store that its own audit file proves to be older: what was taken away since would be back. Raises StoreUnavailable.

    A lost, unreadable or new audit file proves nothing, and neither does that of another store.
    """
    known = restoring.last_event(store)
    if restoring.unfinished(store) is not None:
        raise StoreUnavailable(
            "store_older_than_audit",
            "A restore of this store was begun and not finished: not everything that ended since the backup has been taken away again.",
            "`rosterd store restore --in-place` goes on with it.",
        )
    try:
        told = last_event(file, restoring.store_name(store))
    except OSError as error:
        _log.warning("the audit file cannot be read", extra={"event": "relay.audit", "file": str(file), "why": error.strerror})
        return
    if told > known:
        raise StoreUnavailable(
            "store_older_than_audit",
            f"The store knows {known:,} changes of keys, tokens and people, its audit file {file} {told:,}: it is a backup, or was turned back.",
            "`rosterd store restore --in-place` takes away again what was taken away since; or put the newest store back.",
        )


def _say(happening: events.Happening) -> None:
    """Log what nobody else does: no child process ends with a push that was withheld."""
    detail = happening.detail or {}
    if happening.kind == "run.held" and detail.get("trigger") == "push":
        facts = {"event": "run.held", "run": happening.run_id, "source": detail["source"], "why": detail["why"]}
        _log.warning("what is pushed is withheld until a human decides: see `rosterd runs show`, then approve or discard", extra=facts)


async def relay_forever(store: Store, audit: AuditLog) -> None:
    """Relay what happens, portion by portion, and notice what does not, until cancelled; what cannot be read or written now is told later."""
    complaint = Complaint(_log)
    while True:
        pause = EVERY
        try:
            pause = await asyncio.to_thread(_relay_portion, store, audit)
            for name in await asyncio.to_thread(alarms.note_stale, store):
                _log.warning("a source was last read too long ago; lookups are answered from then", extra={"event": "source.stale", "source": name})
        except StoreUnavailable as error:
            complaint.make("the audit file is not told what happens now; it will be", event="relay.store", why=str(error))
        else:
            complaint.settle()
        await asyncio.sleep(pause)
