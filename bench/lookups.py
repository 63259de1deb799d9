"""Lookups beside a constant answer of the same server, and lookups while a sync runs beside those of an idle daemon."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from bench.figures import Part
from bench.installation import Installation
from bench.load import Load, ask
from bench.measure import Measured, cpu_of, expect, measure, peak_of

Request = Callable[[int], bytes]
KEY = b"sk-bf-"
TURNS = 4
"""Times that a constant and lookups are asked for in turn, in each round: a machine is now quick, now slow, for both alike."""

LITTLE = 10_000
"""Events that are told before much can be measured beside it."""


def constant(number: int) -> bytes:
    """Return a request that is always answered with the same few octets."""
    return b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def finder(people: int, token: str, first: int = 0) -> Request:
    """Return what makes the lookup of a number: another person each time, all over the directory; `first` = how many were looked up before."""

    def find(number: int) -> bytes:
        path = f"/api/users/email/person.{(first + number) * 7919 % people + 1}@example.com/virtual-keys"
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    return find


def measure_lookups(part: Part, installation: Installation, people: int, count: int) -> None:
    """Measure one round with a daemon of its own: ready, idle, a constant, lookups, and lookups while a sync of everybody runs."""
    token, admin, block = installation.token("lookup"), installation.token("admin"), count // TURNS
    find = finder(people, token)
    with installation.serving() as (pid, ready):
        installation.wait_until_quiet(admin)
        part.add(daemon__ready_seconds=ready, daemon__idle_mb=peak_of(pid))
        measure_telling(part, installation, find)
        for request, expected in ((constant, b"live"), (find, KEY)):  # warm
            ask(installation.port, request, expected, count=500)
        for turn in range(TURNS):
            part.add_load("constant", ask(installation.port, constant, b"live", count=block))
            used = cpu_of(pid)
            part.add_load("lookup", ask(installation.port, finder(people, token, turn * block), KEY, count=block))
            part.add(lookup__processor_us=(cpu_of(pid) - used) / block * 1e6)
        part.add_load("lookup_alone", ask(installation.port, find, KEY, count=count // 2, connections=1))
        busy, seconds = lookups_during_sync(installation, find, admin)
        part.add_load("lookup_during", busy)
        part.add(lookup_during__sync_seconds=seconds, daemon__peak_mb=peak_of(pid))
    with (installation.folder / "audit.jsonl").open("rb") as audit:
        sizes = [len(line) for line in audit if b'"lookup"' in line]
    part.add(lookup__audit_octets=sum(sizes) / len(sizes))


def measure_telling(part: Part, installation: Installation, find: Request) -> None:
    """Measure lookups while the audit file is told of every key that a first sync has issued, if it is not already; return when it has been."""
    if installation.untold() > LITTLE:
        told = threading.Event()

        def watch() -> None:
            try:
                installation.wait_until_told()
            finally:
                told.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        part.add_load("lookup_telling", ask(installation.port, find, KEY, count=10_000_000, connections=1, stop=told.is_set))
        watcher.join()
    installation.wait_until_told()


def measure_upheaval(part: Part, installation: Installation, people: int) -> None:
    """Measure lookups while two syncs change the name of everybody, there and back: the largest commits there are."""
    find, admin = finder(people, installation.token("lookup")), installation.token("admin")
    with installation.serving() as (pid, _):
        for attribute in ("uid", "displayName"):
            installation.wait_until_quiet(admin)
            installation.take_names_from(attribute, pid)
            busy, seconds = lookups_during_sync(installation, find, admin)
            part.add_load("lookup_during_upheaval", busy)
            part.add(lookup_during_upheaval__sync_seconds=seconds)
            named = sum(count for (count,) in installation.select('select count(*) from "user" where name = username'))
            expect("people with another name", named, people if attribute == "uid" else 0)


def measure_rewrap(part: Part, installation: Installation, people: int) -> None:
    """Seal every key anew while 500 lookups a second go on, none of which may fail; then with the new encryption key alone."""
    find = finder(people, installation.token("lookup"))
    with installation.serving() as (pid, _):
        installation.put_key_on_top(pid)
        ended, done = threading.Event(), list[Measured]()

        def rewrap() -> None:
            try:
                done.append(measure(installation.command("store", "rewrap", "--json"), installation.folder / "rewrap.json"))
            finally:
                ended.set()

        worker = threading.Thread(target=rewrap)
        worker.start()
        meanwhile = ask(installation.port, find, KEY, count=10_000_000, pace=500, stop=ended.is_set)
        worker.join()
        expect("keys sealed anew", json.loads(done[0].output)["rewrap"]["sealed"] if done else -1, people)
        part.add(rewrap__seconds=done[0].seconds, rewrap__peak_mb=done[0].peak)
        part.add_load("lookup_during_rewrap", meanwhile)
        installation.drop_older_keys(pid)
        ask(installation.port, find, KEY, count=2000)


def lookups_during_sync(installation: Installation, find: Request, admin: str) -> tuple[Load, float]:
    """Ask over one connection for as long as a requested run takes; return what came of it, and the seconds of the run."""
    began = time.perf_counter()
    run = installation.post("/api/sync/runs", {"source": "corp", "mode": "full"}, admin)["run"]
    ended, ends = threading.Event(), list[dict[str, Any]]()

    def watch() -> None:
        try:
            while not ends or ends[-1]["state"] in ("waiting", "running"):
                time.sleep(0.2)
                ends.append(installation.get(f"/api/sync/runs/{run['id']}", admin)["run"])
        finally:
            ended.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        load = ask(installation.port, find, KEY, count=10_000_000, connections=1, stop=ended.is_set)
    finally:
        watcher.join()
    expect("runs that succeeded meanwhile", ends[-1]["state"] == "succeeded", True)
    return load, time.perf_counter() - began
