"""Which signatures were found good: by digest of the token, so many and no more, each until its token expires."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from api.auth.passes import Pass

_MOST = 4096


class Remembered:
    """Passes of tokens whose signature was checked before. Only what the token says is kept, nothing that the store says of it."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._known: OrderedDict[bytes, Pass] = OrderedDict()

    def find(self, digest: bytes) -> Pass | None:
        """Return what the token of this digest says, None when it is not known or has expired."""
        known = self._known.get(digest)
        if known is None:
            return None
        if known.expires_at * 1000 <= self._now():
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return known

    def keep(self, digest: bytes, found: Pass) -> Pass:
        """Remember and return a pass; the one that was used longest ago makes room."""
        self._known[digest] = found
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Forget them all."""
        self._known.clear()


def digest_of(token: str) -> bytes:
    """Return the digest by which a token is remembered."""
    return hashlib.sha256(token.encode()).digest()
