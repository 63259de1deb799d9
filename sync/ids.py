"""Names for new things, and the present moment."""

from __future__ import annotations

import os
import secrets
import time
import uuid
from collections.abc import Iterator


def now_ms() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_run_id(now: int) -> str:
    """Return 16 hex characters that sort by time: eleven of milliseconds, five at random."""
    return f"{now:011x}{secrets.randbelow(1 << 20):05x}"


def asked_at(run_id: str) -> int:
    """Return when a run was asked for, in milliseconds since the epoch."""
    return int(run_id[:11], 16)


def new_user_id() -> str:
    """Return a UUID that sorts by time (RFC 9562 section 5.7): a hundred thousand of them fill an index from left to right."""
    return _uuid7()


def new_key_id() -> str:
    """Return a UUID that sorts by time."""
    return _uuid7()


def new_ids() -> Iterator[str]:
    """Yield as many UUIDs that sort by time as are wanted: the system is asked for what is random in them a thousand at a time."""
    while True:
        noise = os.urandom(8 * 1024).hex()
        for at in range(0, len(noise), 16):
            yield _uuid7(noise[at : at + 16])


def new_jti() -> str:
    """Return a random UUID, the `jti` of a token (RFC 7519 section 4.1.7)."""
    return str(uuid.uuid4())


def hash_of(text: str) -> int:
    """Return 64 bits that stand for a text, never 0; in another process they are others."""
    return hash(text) & 0xFFFF_FFFF_FFFF_FFFF or 1


def _uuid7(noise: str = "") -> str:
    """48 bits of milliseconds, 12 of the fraction below, 62 at random; the version and variant bits where they belong."""
    millis, rest = divmod(time.time_ns(), 1_000_000)
    noise = noise or os.urandom(8).hex()
    fraction = rest * 4096 // 1_000_000
    return f"{millis >> 16:08x}-{millis & 0xFFFF:04x}-7{fraction:03x}-{'89ab'[int(noise[0], 16) & 3]}{noise[1:4]}-{noise[4:16]}"
