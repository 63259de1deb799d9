"""The parts of the benchmark for one number of people, in rounds."""

from __future__ import annotations

import os
from pathlib import Path

from bench.directory import directory
from bench.figures import Figures
from bench.lookups import measure_lookups, measure_rewrap, measure_upheaval
from bench.postgresql import measure_postgresql
from bench.push import measure_push
from bench.readers import measure_readers
from bench.scim import measure_scim
from bench.syncs import Followed, measure_round, small_one
from bench.yardstick import measure_yardstick
from tests.servers.slapd import Slapd

REPEAT = int(os.environ.get("BENCH_REPEAT", "3"))
LOOKUPS = int(os.environ.get("BENCH_LOOKUPS", "20000"))
PAGE = int(os.environ.get("BENCH_PAGE", "1000"))
LARGE = 100_000
"""Above so many people, what takes minutes each time is measured once or not at all."""
OF_THE_DIRECTORY = ("readers", "syncs", "lookups", "rewrap", "django", "postgresql")


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
            with self.figures.part("scim") as part:
                for number in range(self._repeat):
                    measure_scim(part, self._folder / f"scim-{number}")
        if "push" in parts:
            with self.figures.part("push") as part:
                measure_push(part, self._folder / "push")

    def _readers(self, slapd: Slapd) -> None:
        with self.figures.part("readers") as part:
            for _ in range(self._repeat):
                measure_readers(part, slapd, self._folder, self._people, PAGE)

    def _syncs(self, slapd: Slapd) -> None:
        with small_one(self._people, self._folder, PAGE) as small, self.figures.part("syncs") as part:
            for _ in range(self._repeat):
                self._followed = self._begin(slapd)
                measure_round(part, self._followed, small, PAGE)

    def _lookups(self, slapd: Slapd) -> None:
        followed = self._following(slapd)
        with self.figures.part("lookups") as part:
            for _ in range(self._repeat):
                measure_lookups(part, followed.installation, self._people, LOOKUPS)
            if self._people <= LARGE:
                measure_upheaval(part, followed.installation, self._people)
            part.add(compared__after_lookups=followed.check())

    def _rewrap(self, slapd: Slapd) -> None:
        followed = self._following(slapd)
        with self.figures.part("rewrap") as part:
            measure_rewrap(part, followed.installation, self._people)

    def _django(self, slapd: Slapd) -> None:
        (self._folder / "django").mkdir()
        with self.figures.part("django") as part:
            measure_yardstick(part, self._begin(slapd), self._folder / "django")

    def _postgresql(self, slapd: Slapd) -> None:
        with self.figures.part("postgresql") as part:
            measure_postgresql(part, slapd, self._folder / "postgresql", self._people, PAGE, LOOKUPS)

    def _following(self, slapd: Slapd) -> Followed:
        """Return the installation of the last sync, or one that is synced for the purpose."""
        if self._followed is None:
            self._followed = self._begin(slapd)
            self._followed.first_sync()
        return self._followed

    def _begin(self, slapd: Slapd) -> Followed:
        self._count += 1
        return Followed.begin(self._folder / f"rosterd-{self._count}", slapd, self._people, PAGE)
