"""`make bench`: every budget beside its yardstick in the same run, several times over; `make bench-1m` for a million people.

Prints a table of ratios with their spread and writes bench/results/latest.json. A wrong count or a difference between store and directory fails, a
slow machine never does. BENCH_PEOPLE = how many people (100000), BENCH_REPEAT = how many rounds (3), BENCH_PARTS = which parts ("readers syncs
lookups rewrap scim django push", and "postgresql"), BENCH_LOOKUPS = how many lookups (20000), BENCH_PAGE = page size (1000), BENCH_SCIM = users of
a SCIM provider (10000), BENCH_PUSHED = users that are pushed (10000), BENCH_SMALL = people of the directory that incremental runs are compared
with (10000).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.budgets import table, verdicts
from bench.directory import alone
from bench.figures import RESULTS
from bench.measure import Failed
from bench.rounds import PAGE, REPEAT, Bench

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "100000"))
PARTS = os.environ.get("BENCH_PARTS", "readers syncs lookups rewrap scim django push").split()


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
