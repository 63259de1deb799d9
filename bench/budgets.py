"""The budgets, and what came of them: each is one series, or one divided by its yardstick of the same round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from bench.figures import Figures

DJANGO = "django-python3-ldap"


@dataclass(frozen=True, slots=True)
class Budget:
    """`found` divided by `yardstick` (series of bench.figures) is to be at most, or at least, `limit`. Without a yardstick it has a `unit`."""

    part: str
    what: str
    found: str
    yardstick: str
    limit: float
    at_least: bool = False
    unit: str = "×"
    large_limit: float | None = None  # above a hundred thousand people

    def limit_for(self, people: int) -> float:
        """Return the limit for so many people."""
        return self.large_limit if self.large_limit is not None and people > 100_000 else self.limit

    def values(self, figures: Figures) -> list[float]:
        """Return a value for each round; a yardstick that was measured once stands beside each of them."""
        found, beside = figures.series(self.found), figures.series(self.yardstick) if self.yardstick else [1.0]
        if not found or not beside:
            return []
        if len(beside) != len(found):
            beside = [statistics.median(beside)] * len(found)
        return [one / other for one, other in zip(found, beside, strict=True) if other]


def _most(part: str, what: str, found: str, yardstick: str, limit: float, unit: str = "×", large: float | None = None) -> Budget:
    return Budget(part, what, found, yardstick, limit, unit=unit, large_limit=large)


def _least(part: str, what: str, found: str, yardstick: str, limit: float) -> Budget:
    return Budget(part, what, found, yardstick, limit, at_least=True)


BUDGETS = (
    _least("readers", "LDAP read: rate, of python-ldap's", "read_python_ldap.seconds", "read_entries.seconds", 0.8),
    _least("readers", "LDAP read: rate, of ldap3 paged_search's", "read_ldap3.seconds", "read_entries.seconds", 5),
    _most("syncs", "full sync, nothing new: time, of ldapsearch's", "unchanged.seconds", "ldapsearch.seconds", 4),
    _least("django", f"full sync, nothing new: faster than {DJANGO}", "django_unchanged.seconds", "beside_django_unchanged.seconds", 25),
    _most("syncs", "full sync, nothing new: user rows written", "unchanged.rows_written", "", 0, "rows"),
    _most("syncs", "first sync, a key for each: time, of ldapsearch's", "first.seconds", "ldapsearch.seconds", 12),
    _least("django", f"first sync with keys: faster than {DJANGO} without", "django_first.seconds", "beside_django_first.seconds", 12),
    _most("syncs", "incremental, 10 changes: time, of a small directory's", "incremental.seconds", "small_incremental.seconds", 1.5),
    _most("syncs", "first sync: memory", "first.peak_mb", "", 200, "MB", 400),
    _most("syncs", "full sync, nothing new: memory", "unchanged.peak_mb", "", 200, "MB", 400),
    _least("lookups", "lookups: rate, of a constant answer's", "lookup.rate", "constant.rate", 0.7),
    _most("lookups", "lookups: p99, of a constant answer's", "lookup.p99_ms", "constant.p99_ms", 3),
    _most("lookups", "lookups during a sync: p99, of idle", "lookup_during.p99_ms", "lookup_alone.p99_ms", 2),
    _most("lookups", "lookups while everybody changes: p99, of idle", "lookup_during_upheaval.p99_ms", "lookup_alone.p99_ms", 2),
    _most("scim", "SCIM, 10,000 users pulled: a whole process", "scim_pull.seconds", "", 2, "s"),
    _most("scim", "SCIM, 10,000 users pulled: extra memory", "scim_pull.extra_mb", "", 50, "MB"),
    _most("lookups", "daemon: ready", "daemon.ready_seconds", "", 2, "s"),
    _most("lookups", "daemon: idle memory", "daemon.idle_mb", "", 120, "MB"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one budget came to: the values of all rounds, and whether their median keeps within it. No values = not measured."""

    budget: Budget
    limit: float
    values: list[float]

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """Whether the median is within the budget."""
        return self.median >= self.limit if self.budget.at_least else self.median <= self.limit

    def text(self, value: float) -> str:
        """Return a value with the digits that mean something."""
        return f"{value:.0f}" if abs(value) >= 100 or value == 0 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

    @property
    def limit_text(self) -> str:
        """The limit, in words of the table."""
        return f"{'≥' if self.budget.at_least else '≤'} {self.limit:g} {self.budget.unit}"

    @property
    def spread_text(self) -> str:
        """The smallest and the largest value."""
        return f"{self.text(min(self.values))}–{self.text(max(self.values))}" if len(self.values) > 1 else ""

    def as_json(self) -> dict[str, Any]:
        """Return it for tracking."""
        said = {"what": self.budget.what, "limit": self.limit, "at_least": self.budget.at_least, "unit": self.budget.unit}
        return said | {"median": round(self.median, 3), "values": [round(value, 3) for value in self.values], "met": self.met}


def verdicts(figures: Figures) -> list[Verdict]:
    """Return what came of each budget that was measured."""
    all_of_them = [Verdict(budget, budget.limit_for(figures.people), budget.values(figures)) for budget in BUDGETS]
    return [verdict for verdict in all_of_them if verdict.values]


def table(figures: Figures) -> str:
    """Return the budgets for a terminal, a line each."""
    lines = [f"{'':<62}{'budget':>11}{'median':>9}{'min–max':>15}{'rounds':>8}"]
    for one in verdicts(figures):
        row = f"{one.budget.what:<62}{one.limit_text:>11}{one.text(one.median):>9}{one.spread_text:>15}{len(one.values):>8}"
        lines.append(f"{row}  {'met' if one.met else 'MISSED'}")
    return "\n".join(lines)
