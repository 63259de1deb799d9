"""Does the wall clock still agree with the time that passed? (rule 10)"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

TOLERANCE_MS = 3_600_000
"""An hour: more is no drift and no leap, but a wrong clock."""


class Stamp(msgspec.Struct, frozen=True):
    """One moment by two clocks: the wall's, which can be set, and the one that counts since boot. Milliseconds."""

    boot: str
    wall: int
    since_boot: int


def take_stamp() -> Stamp:
    """Return the present moment."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return Stamp(boot, time.time_ns() // 1_000_000, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)


def jump_between(before: Stamp | None, now: Stamp) -> int:
    """Return by how many milliseconds the wall clock jumped since `before`, 0 when it did not. After a reboot only a clock that went
    backwards can be told."""
    if before is None:
        return 0
    passed = now.wall - before.wall
    jump = passed - (now.since_boot - before.since_boot) if before.boot == now.boot else min(0, passed)
    return jump if abs(jump) > TOLERANCE_MS else 0


def jumped(before: Stamp | None, now: Stamp) -> str:
    """Say how the clock jumped since `before`, or ""."""
    jump = jump_between(before, now)
    if not jump:
        return ""
    return f"the clock of this host jumped {'forward' if jump > 0 else 'back'} by {abs(jump) / 3_600_000:.1f} hours since the last run"
