"""When tokens were last used: collected in memory, written now and then, so that a lookup writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from anyio import to_thread

from sync.errors import RosterError
from sync.store import tokens
from sync.store.engine import Store

_log = logging.getLogger(__name__)

EVERY_SECONDS = 30.0
_MOST = 10_000


class Uses:
    """The tokens used since the last writing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jtis: set[str] = set()

    def add(self, jti: str) -> None:
        """Note one use."""
        if len(self._jtis) < _MOST:
            self._jtis.add(jti)

    @asynccontextmanager
    async def kept(self, _: object = None) -> AsyncIterator[None]:
        """Write every EVERY_SECONDS while the app lives, and once more at its end."""
        writing = asyncio.create_task(self._write_forever())
        try:
            yield
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            await self._write()

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self._write()

    async def _write(self) -> None:
        jtis, self._jtis = self._jtis, set()
        if not jtis:
            return
        try:
            await to_thread.run_sync(tokens.touch, self._store, sorted(jtis))
        except RosterError as error:
            _log.warning("the last use of tokens could not be written", extra={"tokens": len(jtis), "why": str(error)})
