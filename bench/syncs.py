"""Syncs of a directory beside ldapsearch: a first one, one that finds nothing new, and incremental ones beside those of a small directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.differences import check
from bench.directory import CHANGES, change, directory
from bench.figures import Part
from bench.installation import Installation
from bench.measure import Measured, expect, measure
from bench.readers import ldapsearch
from tests.servers.slapd import Slapd

SMALL = int(os.environ.get("BENCH_SMALL", "10000"))
"""How many people the directory has with which the incremental runs of a larger one are compared."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A directory, and the rosterd that follows it."""

    slapd: Slapd
    installation: Installation
    people: int

    @classmethod
    def begin(cls, folder: Path, slapd: Slapd, people: int, page: int) -> Followed:
        """Make the installation, with an empty store."""
        folder.mkdir(parents=True)
        return cls(slapd, Installation.of_slapd(folder, slapd, page), people)

    def first_sync(self) -> tuple[Measured, dict[str, Any]]:
        """Run the first sync: every person becomes a user with a key."""
        done, run = self.installation.sync("--full")
        expect("people added", run["counts"]["added"], self.people)
        expect("keys issued", run["counts"]["keys_issued"], self.people)
        return done, run

    def unchanged_sync(self) -> tuple[Measured, dict[str, Any], int]:
        """Run one that reads everybody and finds nothing new; the number is that of the user rows it wrote."""
        before = self.installation.user_rows()
        done, run = self.installation.sync("--full")
        expect("unchanged people", run["counts"]["unchanged"], self.people)
        expect("other counts", sum(run["counts"].values()), self.people)
        written = sum(one != other for one, other in zip(before, self.installation.user_rows(), strict=True))
        expect("user rows written when nothing is new", written, 0)
        return done, run, written

    def incremental_sync(self, changes: int = CHANGES) -> tuple[Measured, dict[str, Any]]:
        """Change ten people (or none), and run a sync that reads only those."""
        if changes:
            change(self.slapd, self.people)
        done, run = self.installation.sync()
        expect(f"incremental ({run.get('mode_reason')})", run["mode"] == "incremental", True)
        expect("changed people", run["counts"].get("changed", 0), changes)
        return done, run

    def check(self) -> int:
        """Compare the store with the directory; return how many people were compared. Raises Failed."""
        compared = check(self.slapd, self.installation.folder, self.installation.select)
        expect("people compared", compared, self.people)
        return compared


@contextmanager
def small_one(people: int, folder: Path, page: int) -> Iterator[Followed | None]:
    """Yield a small directory that is followed, beside a larger one; None when it would not be smaller."""
    with ExitStack() as stack:
        small = None
        if people > SMALL:
            small = Followed.begin(folder / "small", stack.enter_context(directory(SMALL)), SMALL, page)
            small.first_sync()
            small.unchanged_sync()
        yield small


def measure_round(part: Part, one: Followed, small: Followed | None, page: int, changes: int = 3) -> None:
    """Measure one round with an installation that is still empty; afterwards the store is compared with the directory."""
    folder = one.installation.folder
    floor = measure(ldapsearch(one.slapd, folder / "ldap.password", page), folder / "everybody.ldif", keep=False)
    part.add(ldapsearch__seconds=floor.seconds)
    done, run = one.first_sync()
    _add(part, "first", done, run)
    part.add(compared__after_first=one.check())
    done, run, written = one.unchanged_sync()
    _add(part, "unchanged", done, run, rows_written=written)
    done, run = one.incremental_sync(0)
    _add(part, "incremental_nothing", done, run)
    for _ in range(changes):
        done, run = one.incremental_sync()
        _add(part, "incremental", done, run)
        if small:
            done, run = small.incremental_sync()
            _add(part, "small_incremental", done, run)
    part.add(compared__after_changes=one.check())
    if small:
        part.add(compared__small=small.check())
    part.add(store__mb=one.installation.store.stat().st_size / 1e6)


def _add(part: Part, name: str, done: Measured, run: dict[str, Any], **more: float) -> None:
    part.add(**{f"{name}__{key}": value for key, value in {"seconds": done.seconds, "peak_mb": done.peak, **run["seconds"], **more}.items()})
