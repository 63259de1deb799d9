"""Telling others what happened: signed deliveries from the store's outbox, in order, repeated until they are taken or too old."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from daemon.complaint import Complaint
from daemon.config.settings import WebhookSettings
from daemon.version import VERSION
from sync.errors import NotFound, StoreUnavailable
from sync.store import events, people
from sync.store.engine import Store
from sync.store.events import Happening

_log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks at the outbox."""

MOST_AT_ONCE = 100
"""Events in one delivery."""

TIMEOUT = 10.0
LONGEST_WAIT = 600.0
"""Seconds between two attempts, at most; also what a Retry-After is cut to."""


class Refused(Exception):
    """A delivery was not taken; `wait` = what the receiver asked for, in seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class Webhook:
    """One receiver. A delivery is a POST of JSON {"delivery", "sent_at", "events": […]} with these headers:

    X-Roster-Delivery: the same for each attempt; X-Roster-Timestamp: seconds since the epoch;
    X-Roster-Signature: "v1=" and the hex HMAC-SHA256, keyed with the secret, of timestamp + "." + body.
    """

    def __init__(self, store: Store, settings: WebhookSettings) -> None:
        self._store, self._settings = store, settings
        self.reader = reader_of(settings)

    def deliver(self) -> int:
        """Send what waits, up to one delivery, and return how many events are done with. Raises Refused, StoreUnavailable."""
        batch = events.unread(self._store, self.reader, MOST_AT_ONCE)
        if not batch:
            return 0
        wanted = [happening for happening in batch if happening.kind in self._settings.events]
        if wanted:
            self._send(wanted)
        events.advance(self._store, self.reader, batch[-1].event)
        return len(batch)

    def _send(self, wanted: list[Happening]) -> None:
        import httpx  # a tenth of a second, which a daemon without webhooks does not spend before it is ready

        delivery = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.reader} {wanted[0].event} {wanted[-1].event}"))
        now = str(int(time.time()))
        body = msgspec.json.encode({"delivery": delivery, "sent_at": now, "events": [self._told(one) for one in wanted]})
        signature = hmac.digest(self._settings.secret.reveal().encode(), now.encode() + b"." + body, hashlib.sha256).hex()
        headers = {
            "Content-Type": "application/json", "User-Agent": f"rosterd/{VERSION}", "X-Roster-Delivery": delivery, "X-Roster-Timestamp": now,
            "X-Roster-Signature": f"v1={signature}",
        }  # fmt: skip
        try:
            answer = httpx.post(self._settings.url.reveal(), content=body, headers=headers, timeout=TIMEOUT, follow_redirects=False, trust_env=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Refused(type(error).__name__) from None  # its text would hold the URL, which is a secret
        if not answer.is_success:
            raise Refused(f"answered {answer.status_code}", _seconds(answer.headers.get("retry-after", "")))

    def _told(self, happening: Happening) -> dict[str, Any]:
        """Return an event with its user's e-mail address, for those who know people by nothing else."""
        facts: dict[str, Any] = msgspec.to_builtins(happening)
        if happening.user_id is not None:
            try:
                facts["email"] = people.get_user(self._store, happening.user_id).email
            except NotFound:
                facts["email"] = ""
        return facts


def reader_of(settings: WebhookSettings) -> str:
    """Return the name under which the outbox knows this receiver: a digest, for its URL may hold a secret."""
    return "webhook " + hashlib.sha256(settings.url.reveal().encode()).hexdigest()[:12]


class Webhooks:
    """The receivers of the configuration in force, each served by a task of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self, settings: Sequence[WebhookSettings]) -> None:
        """Serve these receivers from now on, and no others. A new one is told what happens from now on. Raises StoreUnavailable."""
        await self.stop()
        await asyncio.to_thread(events.declare_readers, self._store, [reader_of(one) for one in settings])
        self._tasks = [asyncio.create_task(deliver_forever(Webhook(self._store, one)), name="webhook") for one in settings]

    async def stop(self) -> None:
        """Serve nobody any more; what waits stays in the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []


async def deliver_forever(webhook: Webhook) -> None:
    """Deliver until cancelled: at once while it works, ever more slowly while it does not."""
    failures, complaint = 0, Complaint(_log)
    while True:
        try:
            done = await asyncio.to_thread(webhook.deliver)
        except Refused as refused:
            failures += 1
            wait = min(LONGEST_WAIT, max(refused.wait, 2.0**failures * random.uniform(0.5, 1.0)))  # noqa: S311 – jitter, no secret
            if failures in (1, 10) or failures % 100 == 0:
                facts = {"event": "webhook.failed", "webhook": webhook.reader, "why": str(refused), "again_in": f"{wait:.0f}s", "tried": failures}
                _log.warning("a webhook does not take what it is sent; it is tried again", extra=facts)
            await asyncio.sleep(wait)
        except StoreUnavailable as error:
            complaint.make("the outbox cannot be read now", event="webhook.store", why=str(error))
            await asyncio.sleep(EVERY)
        else:
            if failures:
                _log.info("a webhook takes what it is sent again", extra={"event": "webhook.recovered", "webhook": webhook.reader})
            failures = 0
            complaint.settle()
            await asyncio.sleep(0 if done else EVERY)


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10 else 0.0
