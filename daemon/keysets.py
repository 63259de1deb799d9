"""Fetching the key sets that other issuers publish: in the background, never because a request waits, and the last good one stays for a while."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.auth.keysets import LARGEST, BadKeySet, KeySet, parse_jwks
from api.auth.published import Published
from api.settings import IssuerSettings
from daemon.version import VERSION

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds that one fetch may take, all in all."""

AT_ONCE = 4
"""Threads that fetch from one issuer at the same time: those that hang must not pile up, nor be in the way of another issuer's."""

ROLES = frozenset({"admin", "operator", "lookup"})
"""What reaches beyond one user: whoever keeps the keys from being fetched must not keep a revoked one good for that."""

_running: dict[str, threading.BoundedSemaphore] = {}


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two fetches that succeed, before a failed one is repeated (then ever more), and between any two for an unknown `kid`.

    `longest` = after so long without a good fetch an issuer that gives ROLES has no keys any more.
    """

    every: float = 600.0
    again: float = 5.0
    at_most: float = 60.0
    longest: float = 86_400.0


class Unfetched(Exception):
    """A key set could not be had; the message says why in a few words."""


class KeySets:
    """The issuers of the configuration in force that publish their keys, each followed by a task of its own."""

    def __init__(self, published: Published, pace: Pace | None = None) -> None:
        self._published, self._pace = published, pace or Pace()
        self._tasks: list[asyncio.Task[None]] = []
        self._wanted: dict[str, asyncio.Event] = {}
        self._fetched: dict[tuple[str, str], float] = {}
        published.when_wanted = self._note

    async def follow(self, issuers: Sequence[IssuerSettings]) -> None:
        """Fetch the keys of these issuers from now on, at once and then again and again, and of no others. Waits for no fetch."""
        await self.stop()
        followed = [issuer for issuer in issuers if issuer.jwks_url]
        self._published.keep_only(followed)
        self._wanted = {issuer.issuer: asyncio.Event() for issuer in followed}
        places = {_place(issuer) for issuer in followed}
        self._fetched = {place: at for place, at in self._fetched.items() if place in places}  # a reload makes no set younger
        self._tasks = [asyncio.create_task(self._follow(issuer), name=f"keys of {issuer.issuer}") for issuer in followed]

    async def stop(self) -> None:
        """Fetch nothing more; what was fetched stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _note(self, issuer: IssuerSettings) -> None:
        wanted = self._wanted.get(issuer.issuer)
        if wanted is not None:
            wanted.set()

    async def _follow(self, issuer: IssuerSettings) -> None:
        failures, had = 0, b""
        while True:
            try:
                got = await fetch(issuer)
                if got != had:
                    self._take(issuer, got)
                self._fetched[_place(issuer)] = time.monotonic()
            except Unfetched as unfetched:
                failures += 1
                if failures == 1:
                    facts = {"event": "keys.unfetched", "issuer": issuer.issuer, "url": issuer.jwks_url, "why": str(unfetched)}
                    _log.warning("the keys of an issuer cannot be fetched; the last good ones stay for now, and it is tried again", extra=facts)
                if self._is_over(issuer):
                    self._withdraw(issuer)
                    had = b""
            else:
                if failures:
                    _log.info("the keys of an issuer can be fetched again", extra={"event": "keys.recovered", "issuer": issuer.issuer})
                failures, had = 0, got
            await self._pause(self._wanted[issuer.issuer], failures)

    def _take(self, issuer: IssuerSettings, got: bytes) -> None:
        """Let a fetched set be the issuer's. Raises Unfetched for none."""
        keys = read_keys(got)
        self._published.put(issuer, keys)
        facts = {"event": "keys.fetched", "issuer": issuer.issuer, "keys": len(keys.keys)}
        _log.info("an issuer has published keys", extra=facts)
        if keys.unusable:
            _log.warning("an issuer publishes keys that are left out", extra={**facts, "event": "keys.unusable", "why": "; ".join(keys.unusable)})

    def _is_over(self, issuer: IssuerSettings) -> bool:
        """Tell whether the last good set has become too old for what the issuer may give."""
        at = self._fetched.get(_place(issuer))
        return at is not None and time.monotonic() - at >= self._pace.longest and not ROLES.isdisjoint(issuer.may)

    def _withdraw(self, issuer: IssuerSettings) -> None:
        """Let the issuer have no keys until a fetch succeeds."""
        del self._fetched[_place(issuer)]  # so it is said once
        self._published.withdraw(issuer)
        facts = {"event": "keys.too_old", "issuer": issuer.issuer, "url": issuer.jwks_url, "hours": round(self._pace.longest / 3600)}
        _log.warning("the keys of an issuer could not be fetched for too long; it has none now, and its tokens are refused", extra=facts)

    async def _pause(self, wanted: asyncio.Event, failures: int) -> None:
        """Wait for the next fetch: its time, or a token with an unknown key, but that not too often."""
        pace = self._pace
        wait = pace.every if not failures else min(pace.every, pace.again * 2.0 ** min(failures - 1, 20))
        wait *= random.uniform(0.9, 1.1)  # noqa: S311 – jitter, no secret
        await asyncio.sleep(min(wait, pace.at_most))
        with suppress(TimeoutError):
            await asyncio.wait_for(wanted.wait(), max(0.0, wait - pace.at_most))
        wanted.clear()


def _place(issuer: IssuerSettings) -> tuple[str, str]:
    return issuer.issuer, issuer.jwks_url


async def fetch(issuer: IssuerSettings) -> bytes:
    """Return what an issuer's URL answers: over TLS, from that very URL, small, and in time. Raises Unfetched.

    It happens in a thread that nobody waits for longer than TIMEOUT, for even looking up a name can hang, and that does not outlive the process.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    try:
        threading.Thread(target=_fetch_for, args=(issuer, loop, answer), name="keys of an issuer", daemon=True).start()
    except RuntimeError as error:  # the machine has no thread left: no reason never to ask again
        raise Unfetched(str(error)) from None
    try:
        async with asyncio.timeout(TIMEOUT):
            return await answer
    except TimeoutError:
        raise _late() from None


def _late() -> Unfetched:
    return Unfetched(f"no whole answer within {TIMEOUT:g} seconds")


def read_keys(got: bytes) -> KeySet:
    """Return the keys of an answer, at least one. Raises Unfetched."""
    try:
        keys = parse_jwks(got)
    except BadKeySet as bad:
        raise Unfetched(f"the answer {bad}") from None
    if not keys.keys:
        raise Unfetched(f"the answer holds no key that can be used: {'; '.join(keys.unusable)}")
    return keys


def _fetch_for(issuer: IssuerSettings, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[bytes]) -> None:
    got: bytes | Unfetched
    try:
        got = _get(issuer)
    except Unfetched as unfetched:
        got = unfetched
    except Exception as error:  # whatever it is, this issuer is asked again
        got = Unfetched(f"{type(error).__name__}: {error}")
    with suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(_settle, answer, got)


def _settle(answer: asyncio.Future[bytes], got: bytes | Unfetched) -> None:
    if answer.done():
        return  # nobody waits any more
    if isinstance(got, Unfetched):
        answer.set_exception(got)
    else:
        answer.set_result(got)


def _get(issuer: IssuerSettings) -> bytes:
    import httpx  # a tenth of a second, which a daemon without such issuers does not spend before it is ready

    running = _running.setdefault(issuer.jwks_url, threading.BoundedSemaphore(AT_ONCE))
    if not running.acquire(blocking=False):
        raise Unfetched("the fetches before hang still")
    try:
        context = ssl.create_default_context(cafile=issuer.ca_file)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"rosterd/{VERSION}"}
        with (
            httpx.Client(verify=context, timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", issuer.jwks_url, headers=headers) as answer,
        ):
            return _read(answer, time.monotonic() + TIMEOUT)
    except httpx.TimeoutException:
        raise _late() from None
    finally:
        running.release()


def _read(answer: httpx.Response, until: float) -> bytes:
    if answer.status_code != 200:
        raise Unfetched(f"status {answer.status_code}{'; redirects are not followed' if answer.is_redirect else ''}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Unfetched("the answer is compressed, which was not asked for")
    body = bytearray()
    for piece in answer.iter_raw():
        body += piece
        if time.monotonic() > until:
            raise _late()
        if len(body) > LARGEST:
            raise Unfetched(f"the answer is larger than {LARGEST // 1024} KiB")
    return bytes(body)
