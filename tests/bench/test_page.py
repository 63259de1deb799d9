"""docs/performance.md and its charts say what was measured, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bench import charts
from bench.load import end_of
from bench.page import pages, read, written

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
parse = ElementTree.fromstring
POSITIVE = st.floats(1e-3, 1e7)


def test_the_page_is_what_the_figures_say() -> None:
    """The page and each chart are, octet for octet, what bench.page makes of docs/performance/measured.json."""
    made = pages(read())
    assert {str(path): (ROOT / path).read_text() == text for path, text in made.items()} == dict.fromkeys(map(str, made), True)
    assert written(read()) == (ROOT / "docs/performance/measured.json").read_text()
    assert "{{" not in made[Path("docs/performance.md")]


def test_every_chart_is_shown_on_the_page() -> None:
    """No chart is written that the page does not show."""
    shown = set(re.findall(r"!\[[^\]]+\]\(performance/(\w+\.svg)\)", (ROOT / "docs/performance.md").read_text()))
    assert (
        shown == {path.name for path in (ROOT / "docs/performance").glob("*.svg")} == {path.name for path in pages(read()) if path.suffix == ".svg"}
    )


@given(st.lists(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1), min_size=1, max_size=5))
def test_every_point_is_drawn_in_its_place(lines: list[list[tuple[float, float]]]) -> None:
    """Whatever the numbers, each point has a dot within the frame, farther right and higher the larger they are."""
    text = charts.curves("A <title>", ("x & more", "y"), {f"line {place}": points for place, points in enumerate(lines)})
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in parse(text).iter(f"{SVG}circle")]
    points = [point for line in lines for point in line]
    assert len(dots) == len(points)
    assert all(charts.LEFT <= x <= charts.WIDTH - charts.RIGHT and charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM for x, y in dots)
    for axis, sign in ((0, 1), (1, -1)):
        placed = [sign * dot[axis] for _, dot in sorted(zip(points, dots, strict=True), key=lambda pair: pair[0][axis])]
        assert placed == sorted(placed)


@given(st.dictionaries(st.integers(0, 90), st.integers(1, 10_000), min_size=1))
def test_a_histogram_is_as_high_as_the_share_of_its_buckets(counted: dict[int, int]) -> None:
    """Between the ends of each bucket the line stands at its share of all answers, and on the ground where there is none."""
    text = charts.histogram("Title", ("time", "share"), {"idle": counted})
    line = next(parse(text).iter(f"{SVG}polyline"))
    corners = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    whole = sum(counted.values())
    y = charts.Axis.over([100 * count / whole for count in counted.values()], charts.HEIGHT - charts.BOTTOM, charts.TOP, "")
    x = charts.Axis.over([end_of(place - step) for place in counted for step in (0, 1)], charts.LEFT, charts.WIDTH - charts.RIGHT, "")
    expected = []
    for place in range(min(counted), max(counted) + 1):
        height = y.at(100 * counted[place] / whole) if place in counted else y.start
        expected += [(x.at(end_of(place - 1)), height), (x.at(end_of(place)), height)]
    assert len(corners) == len(expected) + 2
    assert all(abs(a - c) < 0.06 and abs(b - d) < 0.06 for (a, b), (c, d) in zip(corners[1:-1], expected, strict=True))
