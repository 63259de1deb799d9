"""What was measured with so many people, part by part: series of numbers, one for each round, written to a file as they come."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.load import Load

RESULTS = Path(__file__).parent / "results"


class Part:
    """One part while it is measured. Each figure is printed and written as it comes."""

    def __init__(self, figures: Figures, kept: dict[str, Any]) -> None:
        self._figures, self._kept = figures, kept

    def add(self, **found: float) -> None:
        """Append a value to each of these series; `first__seconds` is the series first.seconds."""
        for name, value in found.items():
            self._kept["series"].setdefault(name.replace("__", "."), []).append(round(value, 5))
        said = "  ".join(f"{name.replace('__', '.')} {value:,.3f}".rstrip("0").rstrip(".") for name, value in found.items())
        print(f"    {said}", flush=True)
        self._figures.write()

    def add_load(self, name: str, load: Load) -> None:
        """Append what a server answered: a second, after how many milliseconds, and how those spread."""
        counts = self._kept["histograms"].setdefault(name, {})
        for place, count in load.buckets.items():
            counts[str(place)] = counts.get(str(place), 0) + count
        said = {"rate": load.rate, "p50_ms": load.p50, "p99_ms": load.p99, "longest_ms": load.longest}
        self.add(**{f"{name}__{key}": value for key, value in said.items()})


class Figures:
    """All parts of one number of people. A part that is measured again keeps what it had before beside it."""

    def __init__(self, kept: dict[str, Any], path: Path | None = None) -> None:
        self._kept, self._path = kept, path

    @classmethod
    def of(cls, people: int, folder: Path = RESULTS) -> Figures:
        """Return what the file of this number of people holds, or none yet."""
        path = folder / f"people-{people}.json"
        kept = json.loads(path.read_text()) if path.exists() else {"people": people, "parts": {}, "before": {}}
        return cls(kept, path)

    @property
    def people(self) -> int:
        """How many there were."""
        return int(self._kept["people"])

    @property
    def kept(self) -> dict[str, Any]:
        """Everything, as it stands in the file."""
        return self._kept

    def before(self) -> Figures:
        """Return the figures of the runs before the latest ones."""
        return Figures({"people": self.people, "parts": self._kept["before"], "before": {}})

    def has(self, *parts: str) -> bool:
        """Return whether each of these was measured to its end."""
        return all(self._kept["parts"].get(part, {}).get("finished") for part in parts)

    def series(self, name: str) -> list[float]:
        """Return the values of a series, round by round; none when it was not measured."""
        return next((part["series"][name] for part in self._kept["parts"].values() if name in part["series"]), [])

    def median(self, name: str) -> float | None:
        """Return the median of a series, None when it was not measured."""
        values = self.series(name)
        return statistics.median(values) if values else None

    def histogram(self, name: str) -> dict[int, int]:
        """Return how many answers fell into each bucket (bench.load.bucket), of all rounds together."""
        found: dict[str, int] = next((part["histograms"][name] for part in self._kept["parts"].values() if name in part["histograms"]), {})
        return {int(place): count for place, count in found.items()}

    @contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """Begin a part anew; it is finished when the block ends without an exception."""
        if self.has(name):
            self._kept["before"][name] = self._kept["parts"][name] | {"histograms": {}}
        kept = self._kept["parts"][name] = {**facts(), "finished": False, "series": {}, "histograms": {}}
        print(f"{name}, {self.people:,} people", flush=True)
        began = time.perf_counter()
        yield Part(self, kept)
        kept |= {"finished": True, "took_seconds": round(time.perf_counter() - began, 1)}
        self.write()

    def write(self) -> None:
        """Write the file, whole or not at all."""
        if self._path is not None:
            self._path.parent.mkdir(exist_ok=True)
            beside = self._path.with_suffix(".new")
            beside.write_text(json.dumps(self._kept, indent=1) + "\n")
            beside.replace(self._path)


def facts() -> dict[str, Any]:
    """Return on what is measured: when, which commit, which machine."""
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": asked.stdout.strip(),
        "python": platform.python_version(),
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }
