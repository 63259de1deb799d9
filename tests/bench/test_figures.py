"""What the benchmark measured survives its end, and becomes a verdict that can go either way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.budgets import table, verdicts
from bench.figures import Figures
from bench.growth import missing
from bench.load import Load, bucket, end_of


def measured(folder: Path, people: int, part: str, **series: list[float]) -> Figures:
    """Return figures with one finished part."""
    figures = Figures.of(people, folder)
    with figures.part(part) as kept:
        for name, values in series.items():
            for value in values:
                kept.add(**{name: value})
    return figures


def test_a_ratio_is_taken_round_by_round_and_its_median_counts(tmp_path: Path) -> None:
    """Each round is divided by its own yardstick, a yardstick measured once stands beside all, and the limit decides at its very edge."""
    figures = measured(tmp_path, 100_000, "syncs", unchanged__seconds=[3.0, 8.0, 10.0], ldapsearch__seconds=[1.0, 2.0, 2.0], first__peak_mb=[201.0])
    unchanged, memory = verdicts(figures)
    assert (unchanged.values, unchanged.median, unchanged.met, unchanged.spread_text) == ([3.0, 4.0, 5.0], 4.0, True, "3.00–5.00")
    assert (memory.limit, memory.met) == (200, False)
    assert [line.endswith("MISSED") for line in table(figures).splitlines()[1:]] == [False, True]
    django = measured(tmp_path, 1000, "django", django_unchanged__seconds=[50.0], beside_django_unchanged__seconds=[1.0, 2.5, 2.0])
    assert [(one.median, one.met) for one in verdicts(django)] == [(25.0, True)]


def test_more_people_may_take_more_memory(tmp_path: Path) -> None:
    """Above a hundred thousand people the limit of memory is that of a million."""
    (memory,) = verdicts(measured(tmp_path, 1_000_000, "syncs", first__peak_mb=[399.0]))
    assert (memory.limit, memory.met) == (400, True)


def test_figures_are_kept_as_they_come(tmp_path: Path) -> None:
    """What was measured before a failure is in the file, but its part is not finished; a finished part is kept when it is measured again."""
    measured(tmp_path, 7, "syncs", first__seconds=[1.0])
    with pytest.raises(ZeroDivisionError), Figures.of(7, tmp_path).part("lookups") as part:
        part.add_load("lookup", Load.of([0.001, 0.002], 1.0))
        raise ZeroDivisionError
    again = Figures.of(7, tmp_path)
    assert (again.has("syncs"), again.has("lookups"), again.has("syncs", "lookups")) == (True, False, False)
    assert (again.series("lookup.rate"), sum(again.histogram("lookup").values())) == ([2.0], 2)
    measured(tmp_path, 7, "syncs", first__seconds=[2.0])
    latest = Figures.of(7, tmp_path)
    assert (latest.median("first.seconds"), latest.before().median("first.seconds")) == (2.0, 1.0)
    assert not list(tmp_path.glob("*.new"))


def test_growth_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Only what was not measured to its end is measured; PostgreSQL with the most people up to a hundred thousand."""
    sizes = [10, 100_000, 1_000_000]
    measured(tmp_path, 10, "syncs", first__seconds=[1.0])
    measured(tmp_path, 100_000, "lookups", lookup__rate=[1.0])
    left = {size: missing(Figures.of(size, tmp_path), sizes) for size in sizes}
    assert left == {10: ["lookups"], 100_000: ["syncs", "postgresql"], 1_000_000: ["syncs", "lookups"]}


@given(st.lists(st.floats(1e-5, 60), min_size=1))
def test_every_answer_is_in_its_bucket(took: list[float]) -> None:
    """The buckets of a load hold each answer once, between the end of the one before and their own, as a plain search finds it."""
    load = Load.of(took, 1.0)
    plain = Counter(next(place for place in range(-8, 200) if seconds * 1000 <= end_of(place) * (1 + 1e-12)) for seconds in took)
    assert abs(sum(load.buckets.values()) - len(took)) == 0
    assert all(end_of(bucket(seconds) - 1) * (1 - 1e-9) <= seconds * 1000 <= end_of(bucket(seconds)) * (1 + 1e-9) for seconds in took)
    assert sum((plain - load.buckets).values()) == 0
    assert load.longest == max(took) * 1000
