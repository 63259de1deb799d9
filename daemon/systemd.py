"""What systemd and a daemon tell each other: readiness, the watchdog, sockets. Every function does nothing without systemd."""

from __future__ import annotations

import os
import socket
import time

_FIRST_SOCKET = 3
"""sd_listen_fds(3): inherited sockets begin here."""


def notify(*states: str) -> bool:
    """Send states ("READY=1", "STATUS=…") to the supervisor (sd_notify(3)); tell whether there is one that took them."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return False
    address = "\0" + where[1:] if where.startswith("@") else where
    message = "\n".join(state.replace("\n", " ") for state in states)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.connect(address)
            line.sendall(message.encode("utf-8", "backslashreplace"))
    except OSError:
        return False
    return True


def notify_reloading() -> bool:
    """Say that the configuration is being read again; READY=1 must follow. (Type=notify-reload, systemd 253, wants the time.)"""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def watchdog_seconds() -> float | None:
    """Return within how many seconds WATCHDOG=1 is expected again (sd_watchdog_enabled(3)), None if nobody expects it."""
    pid, micros = os.environ.get("WATCHDOG_PID", ""), os.environ.get("WATCHDOG_USEC", "")
    if not micros.isdigit() or not int(micros) or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 1_000_000


def listen_sockets() -> list[socket.socket]:
    """Return the stream sockets that systemd has opened for this process (sd_listen_fds(3)), with the variables taken away."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = [socket.socket(fileno=number) for number in range(_FIRST_SOCKET, _FIRST_SOCKET + int(count))]
    for line in sockets:
        line.set_inheritable(False)
    return sockets


def is_under_systemd() -> bool:
    """Tell whether systemd has started this process as part of a unit."""
    return "INVOCATION_ID" in os.environ
