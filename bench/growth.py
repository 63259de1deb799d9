"""`make bench-growth`: syncs and lookups at each size that has not been measured yet, so that an interrupted or later run goes on where it ended.

BENCH_SIZES = how many people ("1000 10000 100000 1000000"). What `make bench` and `make bench-1m` measured counts; remove a
bench/results/people-….json to have its size measured anew. PostgreSQL is measured with the most people up to a hundred thousand.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from bench.directory import alone
from bench.figures import Figures
from bench.measure import Failed
from bench.rounds import LARGE, REPEAT, Bench

SIZES = sorted(int(size) for size in os.environ.get("BENCH_SIZES", "1000 10000 100000 1000000").split())


def missing(figures: Figures, sizes: list[int]) -> list[str]:
    """Return which parts of the growth over `sizes` have not been measured to their end with so many people."""
    small_enough = [size for size in sizes if size <= LARGE]
    wanted = ["syncs", "lookups", *(["postgresql"] if small_enough and figures.people == small_enough[-1] else [])]
    return [part for part in wanted if not figures.has(part)]


def main() -> None:
    """Measure what is missing."""
    for size in SIZES:
        if parts := missing(Figures.of(size), SIZES):
            with tempfile.TemporaryDirectory(prefix="rosterd-bench-") as name:
                Bench(size, Path(name), REPEAT if size <= LARGE else 1).measure(parts)


if __name__ == "__main__":
    try:
        with alone():
            main()
    except Failed as failure:
        sys.exit(f"bench: {failure}")
