"""`make bench-changes`: what a run costs that reads only what has changed, in a small and in a large directory, side by side.

BENCH_SIZES = how many people ("10000 300000"). Ten changes each time; a wrong count fails, a slow one never does.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.installation import Installation
from bench.measure import Failed
from tests.servers.slapd import Slapd

SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "10000 300000").split())
CHANGES, ROUNDS = 10, 5


def main() -> None:
    """Measure each size, and say how the largest compares with the smallest."""
    print(f"{'people':>10}{'way':>16}{'full s':>10}{'incremental s':>15}{'of that read':>14}{'plan':>8}{'apply':>8}{'peak MiB':>10}", flush=True)
    found = [measure_size(size) for size in SIZES]
    print(f"{SIZES[-1]:,} people: {found[-1] / found[0]:.2f} × the time of {SIZES[0]:,}")


def measure_size(people: int) -> float:
    """Return the seconds (median) of a run that reads ten changes among so many people; the whole process, from its start."""
    with tempfile.TemporaryDirectory(prefix="rosterd-bench-") as name:
        folder = Path(name)
        for room in ("slapd", "rosterd"):
            (folder / room).mkdir()
        with Slapd(folder / "slapd").prepare() as slapd:
            slapd.add_people(people)
            slapd.start()
            slapd.modify(slapd.suffix, description="loaded")
            installation = Installation.of_slapd(folder / "rosterd", slapd, 1000)
            installation.sync("--full")
            full, _ = installation.sync("--full")
            runs = [_round(slapd, installation, people, number) for number in range(ROUNDS)]
    seconds = statistics.median(done.seconds for done, _ in runs)
    parts = {phase: statistics.median(run["seconds"].get(phase, 0) for _, run in runs) for phase in ("read", "plan", "apply")}
    way = runs[0][1]["mode_reason"].split(" (")[0]
    times = f"{full.seconds:>10.2f}{seconds:>15.2f}{parts['read']:>14.3f}{parts['plan']:>8.3f}{parts['apply']:>8.3f}"
    print(f"{people:>10,}{way:>16}{times}{max(done.peak for done, _ in runs):>10.0f}", flush=True)
    return seconds


def _round(slapd: Slapd, installation: Installation, people: int, number: int) -> Any:
    for change in range(1, CHANGES + 1):
        slapd.modify(f"uid=u{change * (people // (CHANGES + 1)):06d},{slapd.base}", displayName=f"Changed {number}.{change}")
    done, run = installation.sync()
    if (run["mode"], run["counts"]["changed"]) != ("incremental", CHANGES):
        raise Failed(f"{run['mode']}: {run['counts']['changed']} changed instead of {CHANGES}: {run.get('mode_reason')}")
    return done, run


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"bench: {failure}")
