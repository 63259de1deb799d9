"""Ten thousand pushed users: what lookups take while their provider pushes, 25 requests a second or without pause, and what each push takes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import text

from bench.figures import Part
from bench.installation import Installation
from bench.load import Load, ask
from bench.measure import Failed, cpu_of
from bench.pushes import PATCH, Asked, Mix, Pusher
from sync.settings import StoreSettings
from sync.store.engine import open_store
from sync.store.pushedkeeping import Shelf

USERS = int(os.environ.get("BENCH_PUSHED", "10000"))
SECONDS = float(os.environ.get("BENCH_PUSH_SECONDS", "40"))
RATE, LOOKUPS = 25, 200
"""Pushes and lookups a second."""
SOURCE = "okta"
TABLES = """\
[[keys.issue]]
name = "group"
groups = ["Half of them"]
[[source]]
name = "okta"
kind = "scim-push"
[source.guard]
max_removed_total = 100000
max_removed_percent = 100
max_disabled = 100000
"""
TWO_DAYS = 2 * 86_400_000


def measure_push(part: Part, folder: Path) -> None:
    """Measure all of it once. Raises Failed for any wrong status or answer, of pushes and of lookups."""
    folder.mkdir()
    installation = Installation(folder, TABLES)
    facts = _lay(installation)
    lookup, admin = installation.token("lookup"), installation.token("admin")
    facts |= {"token": installation.token("scim", "--source", SOURCE, "--ttl", "1h"), "source": SOURCE}

    def find(number: int) -> bytes:
        path = f"/api/users/email/p{number * 7919 % (USERS // 2)}@example.com/virtual-keys"
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {lookup}\r\n\r\n".encode()

    other = installation.beside()
    with installation.serving() as (pid, _), other.serving() as (other_pid, _):
        installation.wait_until_quiet(admin)
        for port, turn in ((installation.port, 0), (other.port, 30)):  # the SCIM libraries are loaded by the first push
            _Provider(port, {**facts, "turn": turn}, 3, RATE).ended()
        ask(installation.port, find, b"sk-bf-", count=500)
        idle = ask(installation.port, find, b"sk-bf-", count=int(SECONDS / 4 * LOOKUPS), pace=LOOKUPS)
        part.add_load("push_none", idle)
        for phase in (
            Phase("push_paced", installation.port, pid, RATE, SECONDS, 100),
            Phase("push_beside", other.port, other_pid, RATE, SECONDS / 4, 400),
            Phase("push_unpaced", installation.port, pid, 0, SECONDS / 4, 600),
        ):
            used, provider = cpu_of(phase.pid), _Provider(phase.port, {**facts, "turn": phase.turn}, phase.seconds, phase.rate)
            busy = ask(installation.port, find, b"sk-bf-", count=int(phase.seconds * LOOKUPS), pace=LOOKUPS)
            said = provider.ended()
            part.add_load(phase.what, busy)
            part.add(**{f"{phase.what}__cores": (cpu_of(phase.pid) - used) / said["seconds"], f"{phase.what}__p99_of_none": busy.p99 / idle.p99})
            for kind, took in said["kinds"].items():
                part.add_load(f"{phase.what}_{_name(kind)}", Load.of(took, said["seconds"]))
            _check_keys(installation, admin, facts, phase.turn, len(said["kinds"]["DELETE"]))
        for asked in _group_requests(facts):
            part.add_load(f"push_alone_{_name(asked[0].kind)}", asyncio.run(_one_by_one(installation.port, facts, asked)))


def _name(kind: str) -> str:
    return kind.lower().replace(" ", "_")


class Phase(NamedTuple):
    """Who is pushed to (a port and the process behind it), how often a second (0 = without pause), for how long, from which turn on."""

    what: str
    port: int
    pid: int
    rate: int
    seconds: float
    turn: int


class _Provider:
    """`bench.pushes` in a process of its own."""

    def __init__(self, port: int, facts: dict[str, Any], seconds: float, rate: float) -> None:
        command = [sys.executable, "-m", "bench.pushes", str(port), str(seconds), str(rate)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(facts))
        self._process.stdin.close()
        self._process.stdin = None

    def ended(self) -> dict[str, Any]:
        """Wait for its end and return what it says. Raises Failed."""
        output, _ = self._process.communicate(timeout=SECONDS + 60)
        if self._process.returncode:
            raise Failed("the provider that pushes ended badly")
        said: dict[str, Any] = json.loads(output)
        if said["wrong"]:
            raise Failed(f"pushes were answered wrongly: {said['statuses']} {said['wrong']}")
        return said


def _lay(installation: Installation) -> dict[str, Any]:
    """Push users and a group of half of them straight into the store, two days ago; sync; return their ids."""
    installation.sync()  # a first run declares the source
    store = open_store(StoreSettings(f"sqlite:///{installation.folder / 'rosterd.db'}"))
    with store.write() as connection:
        shelf = Shelf(connection, SOURCE, store.now() - TWO_DAYS)
        ids = [shelf.add_user(f"x-{place}", _user(place)) for place in range(USERS)]
        group = shelf.add_group("x-half", {"displayName": "Half of them"}, [{"value": one} for one in ids[: USERS // 2]])
    _, run = installation.sync("--full")
    if (found := run["counts"]["keys_issued"]) != USERS + USERS // 2:
        raise Failed(f"{found} keys were issued for {USERS} pushed users and half of them once more")
    with store.write() as connection:  # whoever is new is not weighed
        connection.execute(text('update "user" set created_at = created_at - :long'), {"long": TWO_DAYS})
    store.close()
    return {"users": ids, "group": group}


def _user(place: int) -> dict[str, Any]:
    name = f"p{place}@example.com"
    emails = [{"value": name, "type": "work", "primary": True}, {"value": f"alias.{place}@example.com", "type": "other"}]
    return {"userName": name, "displayName": f"Person {place}", "name": {"givenName": "P", "familyName": f"Erson {place}"}, "emails": emails,
            "active": True, "title": "Engineer", "phoneNumbers": [{"value": "1", "type": "work"}]}  # fmt: skip


def _check_keys(installation: Installation, admin: str, facts: dict[str, Any], first: int, turns: int) -> None:
    """Every deleted user has lost their keys, whoever was made has one, and who comes next is as before."""
    mix = Mix(facts)
    for turn in (first, first + turns // 2, first + turns - 1):
        gone = mix.place_of_deleted(turn)
        for address, wanted in ((f"p{gone}@example.com", [False]), (f"new{turn}@example.com", [True])):
            found = installation.get(f"/api/users/email/{address}/virtual-keys", admin)["virtual_keys"]
            if [key["is_active"] for key in found] != wanted:
                raise Failed(f"{address} has the keys {[key['is_active'] for key in found]} after the pushes instead of {wanted}")


def _group_requests(facts: dict[str, Any]) -> list[list[Asked]]:
    """Return what concerns the large group: somebody leaves and comes back, and reading it without its people."""
    path, members, kind = f"/Groups/{facts['group']}", facts["users"][USERS // 2 - 100 : USERS // 2], f"group of {USERS // 2}"

    def patch(op: str, who: str) -> Asked:
        body = {"schemas": [PATCH], "Operations": [{"op": op, "path": "members", "value": [{"value": who}]}]}
        return Asked(f"PATCH one of a {kind}", "PATCH", path, 204, body)

    patches = [patch(op, who) for op in ("Remove", "Add") for who in members]
    read = Asked(f"GET {kind} without members", "GET", f"{path}?excludedAttributes=members", 200, None, lambda said: "members" not in said)
    return [patches, [read] * 100]


async def _one_by_one(port: int, facts: dict[str, Any], all_asked: list[Asked]) -> Load:
    pusher, began = Pusher(port, facts["token"], facts["source"]), time.perf_counter()
    for asked in all_asked:
        await pusher.send(asked, time.perf_counter())
    if pusher.wrong:
        raise Failed(f"pushes were answered wrongly: {pusher.wrong}")
    return Load.of(pusher.took[all_asked[0].kind], time.perf_counter() - began)
