"""Connections without end, without requests, and without haste: whoever asks something is answered beside them, and they go by themselves."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.daemon.faults.ledger import IN_THE_CLEAR, Ledger, synced
from tests.daemon.faults.staged_daemon import Stage
from tests.daemon.installation import Installation, Running, wait_for

ADA = "/api/users/email/ada@example.com/virtual-keys"
BESIDE = 2.0
"""Seconds within which a lookup is answered whatever else goes on: far more than it takes, on a machine with other work."""


def test_more_connections_than_files_keep_nobody_out(installation: Installation) -> None:
    """The longest idle ones are closed instead: lookups are answered, a sync succeeds, nothing is lost from the audit file, memory stays."""
    with synced(installation, Stage(descriptors=512)) as (daemon, ledger), httpx.Client(base_url=daemon.url, verify=IN_THE_CLEAR) as known:
        assert known.get(ADA, headers=ledger.header).status_code == 200
        with idle(daemon, 400), idle(daemon, 200):
            wait_for(lambda: count_of(daemon, "fd") < 400, "the longest idle ones to go: 256 of 512 files and those of the daemon itself stay")
            assert answered_in(daemon, ledger) < BESIDE
            ledger.change_directory()
            ledger.assert_next_run_is_right(daemon)
        assert daemon.log.count("there is no room for more connections") == 1
        asked = ledger.looked_up(daemon)
        wait_for(lambda: ledger.audited() >= asked, "each lookup to stand in the audit file")  # it is written five times a second
        assert ledger.audited() == asked


def test_want_of_files_burns_no_processor_and_fills_no_log(installation: Installation) -> None:
    """Where there really is no file left, connections wait and are accepted when there is one again; nobody turns in circles meanwhile."""
    with synced(installation, Stage({"daemon.crowding.RESERVE": -1000}, descriptors=96)) as (daemon, ledger):
        with idle(daemon, 200):
            wait_for(lambda: "no connection can be accepted" in daemon.log, "word of it in the log")
            before, size, began = processor_seconds(daemon), len(daemon.log), time.monotonic()
            time.sleep(2)
            assert processor_seconds(daemon) - before < (time.monotonic() - began) / 3
            assert len(daemon.log) - size < 5000
        began = time.monotonic()
        assert wait_for(lambda: answered(daemon, ledger), "an answer")
        assert time.monotonic() - began < 15
        ledger.assert_next_run_is_right(daemon)


@pytest.mark.faults
def test_ten_thousand_idle_connections_hold_up_nobody(installation: Installation) -> None:
    """A lookup beside them is answered as ever, a sync succeeds, memory stays bounded, and after half a minute all have been closed."""
    with synced(installation) as (daemon, ledger), room_for_files(12_000):
        alone = sorted(answered_in(daemon, ledger) for _ in range(50))[25]
        empty = resident(daemon)
        began = time.monotonic()
        with idle(daemon, 10_000) as lines:
            wait_for(lambda: count_of(daemon, "fd") > 10_000, "all of them to be accepted")
            beside = sorted(answered_in(daemon, ledger) for _ in range(50))[25]
            full = resident(daemon)
            ledger.change_directory()
            ledger.assert_returns(daemon)
            until = began + 30 + 30
            wait_for(lambda: all_closed(lines) or time.monotonic() > until, "the end of all of them")
            ended = time.monotonic() - began
            assert all_closed(lines)
        print(
            f"\n10,000 idle: lookup {alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside them; {empty} MB, {full} MB; closed after {ended:.0f} s"
        )
        assert beside < 10 * alone + 0.05
        assert full - empty < 250
        assert answered_in(daemon, ledger) < BESIDE


@pytest.mark.faults
def test_whoever_dawdles_holds_neither_threads_nor_others(installation: Installation) -> None:
    """Headers and bodies by the octet, answers that nobody reads: others are answered meanwhile, the number of threads stays what it was for
    them, and all are hung up on within the limits."""
    limits = {"daemon.web.HEADERS_WITHIN": 4.0, "daemon.listening.UNREAD_MS": 3000}
    with synced(installation, Stage(limits)) as (daemon, ledger), ExitStack() as stack:
        threads = count_of(daemon, "task")
        bearer = f"Authorization: {ledger.header['Authorization']}\r\n"
        head = f"POST /api/sync/runs HTTP/1.1\r\nHost: localhost\r\n{bearer}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode()
        large = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        dripping = [stack.enter_context(connected(daemon)) for _ in range(60)]
        for number, line in enumerate(dripping):
            line.sendall(b"GET / HTTP/1.1\r\nX-Slow: " if number % 2 else head)
        unread = [stack.enter_context(connected(daemon, receive=4096)) for _ in range(30)]
        for line in unread:
            line.sendall(large * 20)
        began = time.monotonic()
        ledger.change_directory()
        run = ledger.run(daemon)
        while not all_closed([*dripping, *unread]):
            assert time.monotonic() - began < 60
            for line in [*dripping, *unread]:
                with suppress(OSError):
                    line.send(b"a" if line in dripping else b"\r\n")
            assert answered_in(daemon, ledger) < BESIDE
            assert count_of(daemon, "task") <= threads + 45  # as many as answer at once, whoever they are
            time.sleep(0.3)
        assert ledger.end_of(daemon, run)["state"] == "succeeded"
        ledger.assert_returns(daemon)


def answered(daemon: Running, ledger: Ledger) -> bool:
    """Tell whether a lookup is answered rightly within a second, on a connection of its own."""
    try:
        return httpx.get(daemon.url + ADA, headers=ledger.header, timeout=1, verify=IN_THE_CLEAR).status_code == 200
    except httpx.HTTPError:
        return False


def answered_in(daemon: Running, ledger: Ledger) -> float:
    """Return the seconds that a lookup takes, on a connection of its own."""
    with httpx.Client(base_url=daemon.url, headers=ledger.header, timeout=30, verify=IN_THE_CLEAR) as line:
        began = time.monotonic()
        assert line.get(ADA).status_code == 200
        return time.monotonic() - began


@contextmanager
def connected(daemon: Running, receive: int = 0) -> Iterator[socket.socket]:
    """Yield a connection to the daemon that never waits; `receive` = octets that it takes before it is read."""
    with socket.socket() as line:
        if receive:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        line.settimeout(20)
        line.connect(("127.0.0.1", int(daemon.url.rpartition(":")[2])))
        line.setblocking(False)
        yield line


@contextmanager
def idle(daemon: Running, count: int) -> Iterator[list[socket.socket]]:
    """Hold so many connections on which nothing is asked."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(daemon)) for _ in range(count)]


@contextmanager
def room_for_files(count: int) -> Iterator[None]:
    """Let this process open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def all_closed(lines: list[socket.socket]) -> bool:
    """Tell whether the other side has closed all of them."""
    return all(is_closed(line) for line in lines)


def is_closed(line: socket.socket) -> bool:
    """Tell whether the other side has closed a connection, once what it said before has been looked past."""
    info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] not in (1, 4, 5)  # ESTABLISHED, FIN_WAIT1, FIN_WAIT2 of linux/tcp_states.h


def count_of(daemon: Running, what: str) -> int:
    """Return how many open files ("fd") or threads ("task") the daemon has."""
    return sum(1 for _ in Path(f"/proc/{daemon.process.pid}/{what}").iterdir())


def processor_seconds(daemon: Running) -> float:
    """Return how long the daemon has computed."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(daemon: Running) -> int:
    """Return the daemon's memory in MB."""
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000
