"""Names for new things, and the present moment."""

from __future__ import annotations

import secrets
import time
import uuid


def now_ms() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_run_id(now: int) -> str:
    """Return 16 hex characters that sort by time: eleven of milliseconds, five at random."""
    return f"{now:011x}{secrets.randbelow(1 << 20):05x}"


def new_user_id() -> str:
    """Return a random UUID (RFC 9562 section 5.4)."""
    return str(uuid.uuid4())


def new_key_id() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


def new_jti() -> str:
    """Return a random UUID, the `jti` of a token (RFC 7519 section 4.1.7)."""
    return str(uuid.uuid4())
