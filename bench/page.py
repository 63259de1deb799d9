"""`python -m bench.page`: docs/performance.md and its charts, every number taken from what was measured.

Gathers bench/results/people-*.json (where there are any) into docs/performance/measured.json, and fills bench/performance.template and the charts
from that file alone; a test compares. Write sentences in the template, never in the page.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import charts
from bench.arithmetic import arithmetic
from bench.budgets import verdicts
from bench.figures import RESULTS, Figures

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "docs/performance/measured.json"
TEMPLATE = ROOT / "bench/performance.template"
CURVES = {
    "first sync, a key for each": "first.seconds", "full, nothing new": "unchanged.seconds", "incremental, 10 changes": "incremental.seconds",
    "ldapsearch": "ldapsearch.seconds",
}  # fmt: skip
MEMORY = {
    "first sync": "first.peak_mb", "full, nothing new": "unchanged.peak_mb", "incremental": "incremental.peak_mb", "idle daemon": "daemon.idle_mb",
    "store on disk": "store.mb",
}  # fmt: skip
LATENCY = {"half are answered within": "lookup_alone.p50_ms", "99 % within": "lookup_alone.p99_ms", "99 %, while a sync runs": "lookup_during.p99_ms"}
COLUMNS = {
    "ldapsearch": "ldapsearch.seconds", "first sync": "first.seconds", "nothing new": "unchanged.seconds", "10 changes": "incremental.seconds",
    "first, MB": "first.peak_mb", "nothing new, MB": "unchanged.peak_mb", "store, MB": "store.mb", "lookups/s": "lookup.rate",
}  # fmt: skip


def gather(results: Path = RESULTS) -> list[Figures]:
    """Return what the benchmarks left behind, the fewest people first; a part that did not come to its end is left out."""
    found = [json.loads(path.read_text()) for path in results.glob("people-*.json")]
    for kept in found:
        kept["parts"] = {name: part for name, part in kept["parts"].items() if part["finished"]}
    return sorted((Figures(kept) for kept in found), key=lambda one: one.people)


def read(path: Path = MEASURED) -> list[Figures]:
    """Return what the page was made of."""
    return [Figures(kept) for kept in json.loads(path.read_text())]


def written(sizes: list[Figures]) -> str:
    """Return the text of measured.json: a line for each part, so that a diff can be read."""
    return re.sub(r"\n {4,}", " ", json.dumps([one.kept for one in sizes], indent=1)) + "\n"


def pages(sizes: list[Figures]) -> dict[Path, str]:
    """Return the page and its charts: path from the root of the project → text."""
    folder = Path("docs/performance")
    fuller = largest(sizes, "lookups", most=100_000)
    shown = {"idle": fuller.histogram("lookup_alone"), "while a sync finds nothing new": fuller.histogram("lookup_during")}
    if changing := fuller.histogram("lookup_during_upheaval"):
        shown["while one changes everybody"] = changing
    return {
        Path("docs/performance.md"): fill(TEMPLATE.read_text(), sizes),
        folder / "time.svg": charts.curves("How long a sync takes", ("people in the directory", "seconds"), lines(sizes, CURVES), ("", " s")),
        folder / "memory.svg": charts.curves("Memory and disk", ("people in the directory", "megabytes"), lines(sizes, MEMORY), ("", " MB")),
        folder / "lookups.svg": charts.curves("How long a lookup takes", ("people in the store", "milliseconds"), lines(sizes, LATENCY), ("", " ms")),
        folder / "isolation.svg": charts.histogram(f"Lookups, with and without a sync of {fuller.people:,} people",
                                                   ("time of an answer", "share of the answers"), shown),
    }  # fmt: skip


def largest(sizes: list[Figures], part: str, most: int = 10**9) -> Figures:
    """Return the figures of the most people, up to `most`, for whom a part was measured."""
    return [one for one in sizes if one.has(part) and one.people <= most][-1]


def lines(sizes: list[Figures], series: dict[str, str]) -> dict[str, charts.Points]:
    """Return the points of each series: people → median."""
    found = {name: [(one.people, value) for one in sizes if (value := one.median(key))] for name, key in series.items()}
    return {name: points for name, points in found.items() if points}


def fill(template: str, sizes: list[Figures]) -> str:
    """Return the template with a table or a number in the place of each `{{name}}`."""
    tables: dict[str, Callable[[list[Figures]], str]] = {
        "machine": machine, "budgets": budgets, "missed": missed, "growth": growth, "phases": phases, "isolation": isolation,
    }  # fmt: skip
    numbers = arithmetic(sizes)
    return re.sub(r"\{\{(\w+)\}\}", lambda found: tables[found[1]](sizes) if found[1] in tables else numbers[found[1]], template)


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a table in Markdown; all columns but the first are numbers."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, ["---", *["---:"] * (len(head) - 1)], *rows])


def machine(sizes: list[Figures]) -> str:
    """Return on what all of it was measured, one line for each machine, commit and day, and how busy it was already when a part began."""
    found: dict[str, list[float]] = {}
    for part in (part for one in sizes for part in one.kept["parts"].values()):
        what = f"{part['at'][:10]}, commit {part['commit']}: {part['cores']} cores ({part['processor']}), Python {part['python']}"
        found.setdefault(what, []).append(part["load_before"])
    return "\n".join(f"- {what}, load average before each part {min(loads):.1f} to {max(loads):.1f}" for what, loads in sorted(found.items()))


def judged(sizes: list[Figures]) -> list[Figures]:
    """Return the sizes that the budgets are about: from a hundred thousand people on, or else the largest."""
    return [one for one in sizes if one.people >= 100_000] or sizes[-1:]


def budgets(sizes: list[Figures]) -> str:
    """Return what came of the budgets, and the medians of the run before the latest."""
    tables = []
    for one in judged(sizes):
        before = {verdict.budget: verdict.text(verdict.median) for verdict in verdicts(one.before())}
        rows = [
            [verdict.budget.what, verdict.limit_text, verdict.text(verdict.median), verdict.spread_text or "one round",
             before.get(verdict.budget, ""), "met" if verdict.met else "**missed**"]
            for verdict in verdicts(one)
        ]  # fmt: skip
        head = ["", "budget", "median", "min–max", "run before", ""]
        tables.append(f"With {one.people:,} people:\n\n{table(head, rows)}")
    return "\n\n".join(tables)


def missed(sizes: list[Figures]) -> str:
    """Return which budgets are missed, by how much."""
    found = [f"- {verdict.budget.what}, {one.people:,} people: {verdict.text(verdict.median)} {verdict.budget.unit} instead of {verdict.limit_text}."
             for one in judged(sizes) for verdict in verdicts(one) if not verdict.met]  # fmt: skip
    return "\n".join(found) or "None."


def growth(sizes: list[Figures]) -> str:
    """Return the medians of what grows, a row for each size."""
    rows = [[f"{one.people:,}", *(plain(one.median(name)) for name in COLUMNS.values())] for one in sizes if one.has("syncs")]
    return table(["people", *COLUMNS], rows)


def phases(sizes: list[Figures]) -> str:
    """Return where the time of a sync goes: its phases, and the rest, which is the start and the end of its process."""
    rows = []
    for one in sizes:
        for what, name in (("first", "first"), ("nothing new", "unchanged"), ("10 changes", "incremental")):
            parts = [one.median(f"{name}.{phase}") or 0.0 for phase in ("read", "plan", "apply")]
            if whole := one.median(f"{name}.seconds"):
                rows.append([f"{one.people:,}, {what}", plain(whole), *map(plain, parts), plain(whole - sum(parts))])
    return table(["sync", "seconds", "read", "plan", "apply", "the rest"], rows)


def isolation(sizes: list[Figures]) -> str:
    """Return what lookups take with and without a sync beside them."""
    asked = {
        "idle": "lookup_alone", "a sync that finds nothing new": "lookup_during", "one that changes everybody": "lookup_during_upheaval",
        "after a first sync, while the audit file is told of each key": "lookup_telling",
    }  # fmt: skip
    keys = ("rate", "p50_ms", "p99_ms", "longest_ms")
    rows = [
        [f"{one.people:,}, {what}", *(plain(one.median(f"{name}.{key}")) for key in keys)]
        for one in sizes for what, name in asked.items() if one.has("lookups") and one.series(f"{name}.rate")
    ]  # fmt: skip
    return table(["people", "a second", "half, ms", "99 %, ms", "longest, ms"], rows)


def plain(value: float | None) -> str:
    """Return a number with the digits that mean something; nothing for what was not measured."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def main() -> None:
    """Write the page, its charts, and what they are made of."""
    sizes = gather()
    if sum(one.has("syncs", "lookups") for one in sizes) == 1:
        sys.exit("bench: growth takes two sizes; make bench-growth measures the others")
    if sizes:
        MEASURED.parent.mkdir(exist_ok=True)
        MEASURED.write_text(written(sizes))
    for path, text in pages(read()).items():
        (ROOT / path).write_text(text)
        print(path)


if __name__ == "__main__":
    main()
