"""`make bench`: every budget beside its yardstick in the same run, several times over; `make bench-1m` for a million people.

Prints a table of ratios with their spread and writes bench/results/latest.json. A wrong count or a difference between store and directory fails, a
slow machine never does. BENCH_PEOPLE = how many people (100000), BENCH_REPEAT = how many rounds (3), BENCH_PARTS = which parts ("readers syncs
lookups rewrap scim django push"), BENCH_LOOKUPS = how many lookups (20000), BENCH_PAGE = page size (1000), BENCH_SCIM = users of a SCIM
provider (10000), BENCH_PUSHED = users that are pushed (10000), BENCH_SMALL = the small directory that incremental runs are compared with (10000).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.budgets import table, verdicts
from bench.directory import alone, directory
from bench.figures import RESULTS, Figures, Part
from bench.lookups import measure_lookups, measure_rewrap
from bench.measure import Failed
from bench.push import measure_push
from bench.readers import measure_readers
from bench.scim import measure_scim
from bench.syncs import Followed, measure_round, small_one
from bench.yardstick import measure_yardstick
from tests.servers.slapd import Slapd

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "100000"))
REPEAT = int(os.environ.get("BENCH_REPEAT", "3"))
LOOKUPS = int(os.environ.get("BENCH_LOOKUPS", "20000"))
PAGE = int(os.environ.get("BENCH_PAGE", "1000"))
PARTS = os.environ.get("BENCH_PARTS", "readers syncs lookups rewrap scim django push").split()
OF_THE_DIRECTORY = ("readers", "syncs", "lookups", "rewrap", "django")


class Bench:
    """The parts for one number of people, measured into its figures; everything they make is below `folder`."""

    def __init__(self, people: int, folder: Path, repeat: int = REPEAT) -> None:
        self.figures, self._people, self._folder, self._repeat = Figures.of(people), people, folder, repeat
        self._followed: Followed | None = None
        self._count = 0

    def measure(self, parts: list[str]) -> None:
        """Measure these parts, each in rounds."""
        if any(part in OF_THE_DIRECTORY for part in parts):
            with directory(self._people) as slapd:
                for part in OF_THE_DIRECTORY:
                    if part in parts:
                        getattr(self, f"_{part}")(slapd)
        if "scim" in parts:
            with self._part("scim") as part:
                for number in range(self._repeat):
                    measure_scim(part, self._folder / f"scim-{number}")
        if "push" in parts:
            with self._part("push") as part:
                measure_push(part, self._folder / "push")

    def _readers(self, slapd: Slapd) -> None:
        with self._part("readers") as part:
            for _ in range(self._repeat):
                measure_readers(part, slapd, self._folder, self._people, PAGE)

    def _syncs(self, slapd: Slapd) -> None:
        with small_one(self._people, self._folder, PAGE) as small, self._part("syncs") as part:
            for _ in range(self._repeat):
                self._followed = self._begin(slapd)
                measure_round(part, self._followed, small, PAGE)

    def _lookups(self, slapd: Slapd) -> None:
        followed = self._following(slapd)
        with self._part("lookups") as part:
            for _ in range(self._repeat):
                measure_lookups(part, followed.installation, self._people, LOOKUPS)
                part.add(compared__after_lookups=followed.check())

    def _rewrap(self, slapd: Slapd) -> None:
        followed = self._following(slapd)
        with self._part("rewrap") as part:
            measure_rewrap(part, followed.installation, self._people)

    def _django(self, slapd: Slapd) -> None:
        (self._folder / "django").mkdir()
        with self._part("django") as part:
            measure_yardstick(part, self._begin(slapd), self._folder / "django")

    def _following(self, slapd: Slapd) -> Followed:
        """Return the installation of the last sync, or one that is synced for the purpose."""
        if self._followed is None:
            self._followed = self._begin(slapd)
            self._followed.first_sync()
        return self._followed

    def _begin(self, slapd: Slapd) -> Followed:
        self._count += 1
        return Followed.begin(self._folder / f"rosterd-{self._count}", slapd, self._people, PAGE)

    @contextmanager
    def _part(self, name: str) -> Iterator[Part]:
        with self.figures.part(name) as part:
            yield part


def main() -> None:
    """Measure the parts asked for, print the budgets, write them."""
    began = time.perf_counter()
    print(f"{PEOPLE:,} people with two addresses each, pages of {PAGE}, OpenLDAP on loopback, {REPEAT} rounds", flush=True)
    with alone(), tempfile.TemporaryDirectory(prefix="rosterd-bench-") as name:
        bench = Bench(PEOPLE, Path(name))
        bench.measure(PARTS)
    print(f"\n{table(bench.figures)}\n\n0 differences between store and directory. {(time.perf_counter() - began) / 60:.1f} minutes.")
    said = {"people": PEOPLE, "budgets": [verdict.as_json() for verdict in verdicts(bench.figures)], "figures": bench.figures.kept}
    (RESULTS / "latest.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"bench: {failure}")
