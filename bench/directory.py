"""Directories of so many generated people: loaded once, kept below bench/results for the next benchmark, changed in place."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import RESULTS
from bench.measure import Failed
from tests.servers import slapd_texts
from tests.servers.slapd import Slapd, person_ldif

CHANGES = 10


@contextmanager
def alone() -> Iterator[None]:
    """Keep two benchmarks apart, for they would measure each other. Raises Failed."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("another benchmark runs in this folder") from None
        yield


@contextmanager
def directory(people: int, kept: Path = RESULTS / "directories") -> Iterator[Slapd]:
    """Run an OpenLDAP with people 1 … `people`, two addresses each."""
    folder = kept / str(people)
    loaded, made_of = folder / "loaded", hashlib.sha256(repr((slapd_texts.CONFIG, slapd_texts.TREE, person_ldif(1, ""))).encode()).hexdigest()
    if not loaded.exists() or loaded.read_text() != made_of:
        _load(folder, people)
        loaded.write_text(made_of)
    with Slapd(folder) as slapd:
        slapd.start()
        slapd.modify(slapd.suffix, description="loaded")  # what slapadd loads moves no contextCSN: incremental reads start from here
        yield slapd


def change(slapd: Slapd, people: int) -> None:
    """Give ten people, evenly spread, a display name that they never had."""
    for number in range(1, CHANGES + 1):
        slapd.modify(f"uid=u{number * (people // (CHANGES + 1)):06d},{slapd.base}", displayName=f"Changed {time.time_ns()}")


def _load(folder: Path, people: int) -> None:
    print(f"loading {people:,} people into a directory …", end=" ", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began, slapd = time.perf_counter(), Slapd(folder).prepare()
    slapd.load(person_ldif(number, slapd.base) for number in range(1, people + 1))
    print(f"{time.perf_counter() - began:.0f} s", flush=True)
