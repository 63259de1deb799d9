"""`make bench`: rosterd beside ldapsearch on the same directory, and lookups beside a route that answers a constant.

Prints a table and writes bench/results/latest.json. Ratios count; seconds depend on the machine. A wrong count fails, a slow one never does.
BENCH_PEOPLE = how many people (100000), BENCH_LOOKUPS = how many lookups (20000), BENCH_PAGE = page size (1000), BENCH_SCIM = how many users of a
SCIM provider (10000), BENCH_PARTS = which parts ("readers syncs lookups scim push"; lookups need syncs).
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.installation import Installation
from bench.load import Load, ask
from bench.measure import Failed, Measured, measure, peak_of
from bench.push import measure_push
from bench.readers import ATTRIBUTES, FILTER, LDAP3_READER, OUR_READER, PYTHON_LDAP, PYTHON_LDAP_READER, ldapsearch, reader
from bench.scim import measure_scim
from tests.servers.slapd import Slapd

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "100000"))
LOOKUPS = int(os.environ.get("BENCH_LOOKUPS", "20000"))
PAGE = int(os.environ.get("BENCH_PAGE", "1000"))
PARTS = set(os.environ.get("BENCH_PARTS", "readers syncs lookups scim push").split())
RESULTS = Path(__file__).parent / "results"


class Table:
    """The rows, printed as they come and kept for the JSON."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        print(f"\n{'':<54}{'seconds':>9}{'MiB':>8}{'ratio':>8}", flush=True)

    def add(self, what: str, seconds: float, peak: float, ratio: float | None = None) -> None:
        """Add a program that ran to its end."""
        self.rows.append({"what": what, "seconds": round(seconds, 3), "peak_mib": round(peak, 1), "ratio": ratio and round(ratio, 2)})
        print(f"{what:<54}{seconds:>9.2f}{peak:>8.0f}{f'{ratio:8.2f}' if ratio else '':>8}", flush=True)

    def add_load(self, what: str, load: Load, ratio: float | None = None, p99_ratio: float | None = None, cores: float | None = None) -> None:
        """Add answers of a server; `cores` = how many of them it kept busy meanwhile."""
        more = {name: value for name, value in (("ratio", ratio), ("p99_ratio", p99_ratio), ("cores", cores)) if value}
        self.rows.append({"what": what, "per_second": round(load.rate), "p50_ms": round(load.p50, 3), "p99_ms": round(load.p99, 3)}
                         | {name: round(value, 2) for name, value in more.items()})  # fmt: skip
        ratios = "".join(f"  {name.replace('_', ' ')} {value:.2f}" for name, value in more.items())
        print(f"{what:<44}{load.rate:>8.0f}/s  p50 {load.p50:6.2f} ms  p99 {load.p99:6.2f} ms{ratios}", flush=True)


def main() -> None:
    """Measure everything, print it, write it."""
    with tempfile.TemporaryDirectory(prefix="rosterd-bench-") as name:
        folder, table = Path(name), Table()
        if PARTS & {"readers", "syncs", "lookups"}:
            measure_directory(table, folder)
        if "scim" in PARTS:
            (folder / "scim").mkdir()
            for what, done in measure_scim(folder / "scim"):
                table.add(what, done.seconds, done.peak)
        if "push" in PARTS:
            (folder / "push").mkdir()
            measure_push(folder / "push", table.add_load)
    RESULTS.mkdir(exist_ok=True)
    facts = {"people": PEOPLE, "lookups": LOOKUPS, "page": PAGE, "python": platform.python_version(), "cores": os.cpu_count(), "rows": table.rows}
    (RESULTS / "latest.json").write_text(json.dumps(facts, indent=1) + "\n")


def measure_directory(table: Table, folder: Path) -> None:
    """Measure whatever needs a directory: reading it, syncs of it, lookups of its people."""
    print(f"{PEOPLE} people with two addresses each, pages of {PAGE}, OpenLDAP on loopback; loading …", flush=True)
    (folder / "slapd").mkdir()
    with Slapd(folder / "slapd").prepare() as slapd:
        slapd.add_people(PEOPLE)
        slapd.start()
        (folder / "rosterd").mkdir()
        installation = Installation.of_slapd(folder / "rosterd", slapd, PAGE)
        floor = measure_floor(table, slapd, folder)
        if "readers" in PARTS:
            measure_readers(table, slapd, folder, floor)
        if "syncs" in PARTS:
            measure_syncs(table, slapd, installation, floor)
        if "lookups" in PARTS:
            measure_lookups(table, installation)


def measure_floor(table: Table, slapd: Slapd, folder: Path) -> Measured:
    """Measure the read by ldapsearch, which everything else is compared with."""
    floor = measure(ldapsearch(slapd, folder / "password", PAGE), folder / "ldapsearch.ldif", best_of=3)
    expect("entries of ldapsearch", floor.output.count("\ndn: ") + floor.output.startswith("dn: "), PEOPLE)
    table.add("ldapsearch, printing them (C)", floor.seconds, floor.peak, 1)
    return floor


def measure_syncs(table: Table, slapd: Slapd, installation: Installation, floor: Measured) -> None:
    """Measure rosterd's first sync (a key for each person), one that finds nothing new, and incremental ones."""
    done, run = installation.sync("--full")
    expect("people added", run["counts"]["added"], PEOPLE)
    expect("keys issued", run["counts"]["keys_issued"], PEOPLE)
    add_sync(table, "rosterd, first sync: people, addresses, sealed keys", done, run, floor)
    done, run = installation.sync("--full")
    expect("unchanged people", run["counts"]["unchanged"], PEOPLE)
    expect("other counts", sum(run["counts"].values()), PEOPLE)
    add_sync(table, "rosterd, second sync: nothing new", done, run, floor)
    measure_changes(table, slapd, installation, floor)


def measure_readers(table: Table, slapd: Slapd, folder: Path, floor: Measured) -> None:
    """Measure how long it takes to have every entry in Python: by python-ldap (C), by ldap3, by our decoder, and as persons."""
    password, ours = folder / "password", [FILTER, *ATTRIBUTES]
    yardsticks = {
        "python-ldap (C), paged": reader(slapd, PYTHON_LDAP_READER, password, PAGE, python=PYTHON_LDAP),
        "ldap3's own paged_search": reader(slapd, LDAP3_READER, password, PAGE),
        "rosterd's reader: every entry decoded": reader(slapd, OUR_READER, password, PAGE, "entries", *ours),
        "rosterd's reader: every entry as a person": reader(slapd, OUR_READER, password, PAGE, "persons", *ours),
    }
    took = {what: measure(command, folder / "reader", best_of=3 if what != "ldap3's own paged_search" else 1) for what, command in yardsticks.items()}
    reading: list[float] = []
    for what, done in took.items():
        count, seconds = done.output.split()
        expect(f"entries of {what}", int(count), PEOPLE)
        reading.append(float(seconds))
        table.add(what, done.seconds, done.peak, done.seconds / floor.seconds)
        table.add("    of that: reading", float(seconds), 0, float(seconds) / floor.seconds)
    c, ldap3, decoded, _ = reading
    print(f"    rosterd's reader has {c / decoded:.2f} × the rate of python-ldap, {ldap3 / decoded:.1f} × that of ldap3", flush=True)


def measure_changes(table: Table, slapd: Slapd, installation: Installation, floor: Measured) -> None:
    """Measure incremental runs: after nothing, and after ten changes."""
    slapd.modify(slapd.suffix, description="loaded")  # what slapadd loads moves no contextCSN: the next full read starts from here
    installation.sync("--full")
    for changes in (0, 10):
        for number in range(1, changes + 1):
            slapd.modify(f"uid=u{number * (PEOPLE // 11):06d},{slapd.base}", displayName=f"Changed {number}")
        done, run = installation.sync()
        expect("incremental", run["mode"] == "incremental", True)
        expect("changed people", run["counts"]["changed"], changes)
        add_sync(table, f"rosterd, incremental: {changes} changes", done, run, floor)


def add_sync(table: Table, what: str, done: Measured, run: dict[str, Any], floor: Measured) -> None:
    """Add a sync, and its phases below it."""
    table.add(what, done.seconds, done.peak, done.seconds / floor.seconds)
    for phase, seconds in run["seconds"].items():
        table.add(f"    of that: {phase}", seconds, 0, seconds / floor.seconds)


def measure_lookups(table: Table, installation: Installation) -> None:
    """Measure the daemon: ready, idle, answering a constant, answering lookups, and lookups while a sync runs."""
    lookup, admin = installation.token("lookup"), installation.token("admin")

    def constant(number: int) -> bytes:
        return b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def find(number: int) -> bytes:
        path = f"/api/users/email/person.{number * 7919 % PEOPLE + 1}@example.com/virtual-keys"
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {lookup}\r\n\r\n".encode()

    with installation.serving() as (pid, ready):
        time.sleep(1)
        table.add("rosterd serve: ready, idle memory", ready, peak_of(pid))
        for request, expected in ((constant, b"live"), (find, b"sk-bf-")):  # warm
            ask(installation.port, request, expected, count=500)
        base = ask(installation.port, constant, b"live", count=LOOKUPS)
        table.add_load("constant JSON, same server", base)
        idle = ask(installation.port, find, b"sk-bf-", count=LOOKUPS)
        table.add_load("lookups, 8 connections", idle, idle.rate / base.rate, idle.p99 / base.p99)
        one = ask(installation.port, find, b"sk-bf-", count=LOOKUPS // 4, connections=1)
        table.add_load("lookups, 1 connection", one)
        busy = lookups_during_sync(installation, find, admin)
        table.add_load("lookups while a sync runs, 1 connection", busy, busy.rate / one.rate, busy.p99 / one.p99)
        measure_rewrap(table, installation, pid, find)


def measure_rewrap(table: Table, installation: Installation, pid: int, find: Any) -> None:
    """Seal every key anew while 500 lookups a second go on, none of which may fail; then with the new encryption key alone."""
    installation.put_key_on_top(pid)
    ended, done = threading.Event(), list[Measured]()

    def rewrap() -> None:
        try:
            done.append(measure(installation.command("store", "rewrap", "--json"), installation.folder / "rewrap.json"))
        finally:
            ended.set()

    worker = threading.Thread(target=rewrap)
    worker.start()
    meanwhile = ask(installation.port, find, b"sk-bf-", count=10_000_000, pace=500, stop=ended.is_set)
    worker.join()
    expect("keys sealed anew", json.loads(done[0].output)["rewrap"]["sealed"] if done else -1, PEOPLE)
    table.add("rewrap of every key", done[0].seconds, done[0].peak)
    table.add_load("lookups meanwhile, 500 a second asked, 0 failed", meanwhile)
    installation.drop_older_keys(pid)
    ask(installation.port, find, b"sk-bf-", count=2000)


def lookups_during_sync(installation: Installation, find: Any, admin: str) -> Load:
    """Ask for as long as a requested run takes."""
    run = installation.post("/api/sync/runs", {"source": "corp", "mode": "full"}, admin)["run"]
    ended = threading.Event()
    watcher = threading.Thread(target=wait_for, args=(installation, run["id"], admin, ended))
    watcher.start()
    try:
        return ask(installation.port, find, b"sk-bf-", count=10_000_000, connections=1, stop=ended.is_set)
    finally:
        watcher.join()


def wait_for(installation: Installation, run: str, admin: str, ended: threading.Event) -> None:
    """Set `ended` when the run is over."""
    state = "waiting"
    while state in ("waiting", "running"):
        time.sleep(0.2)
        state = installation.get(f"/api/sync/runs/{run}", admin)["run"]["state"]
    ended.set()


def expect(what: str, found: int, wanted: int) -> None:
    """Raise Failed for a wrong count."""
    if found != wanted:
        raise Failed(f"{what}: {found} instead of {wanted}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"bench: {failure}")
