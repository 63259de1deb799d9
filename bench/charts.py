"""Charts as SVG: curves over two logarithmic axes, and how answers spread over time. Legible on light and on dark paper, without any library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.load import end_of

WIDTH, HEIGHT = 760, 450
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 98, 54
STYLE = """\
<style>
 .paper{fill:#fff} text{font:13px system-ui,"Segoe UI",sans-serif;fill:#1f2328} .title{font-size:16px;font-weight:600} .soft{fill:#59636e}
 .grid{stroke:#d8dee4} .line{fill:none;stroke-width:2.2} .dot{stroke:none}
 .c0{stroke:#0072b2} .c1{stroke:#c8500a} .c2{stroke:#00845f} .c3{stroke:#a3458a} .c4{stroke:#59636e}
 .dot.c0{fill:#0072b2} .dot.c1{fill:#c8500a} .dot.c2{fill:#00845f} .dot.c3{fill:#a3458a} .dot.c4{fill:#59636e}
 @media (prefers-color-scheme:dark){
  .paper{fill:#0d1117} text{fill:#e6edf3} .soft{fill:#9da7b3} .grid{stroke:#2b323b}
  .c0{stroke:#56b4e9} .c1{stroke:#f0883e} .c2{stroke:#3fcf9b} .c3{stroke:#e59fc9} .c4{stroke:#9da7b3}
  .dot.c0{fill:#56b4e9} .dot.c1{fill:#f0883e} .dot.c2{fill:#3fcf9b} .dot.c3{fill:#e59fc9} .dot.c4{fill:#9da7b3}
 }
</style>
"""
DASHES = ("", "7 4", "2 4", "10 3 2 3", "1 3")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis of whole decades from `low` to `high`, drawn from pixel `start` to pixel `end`; its marks carry `unit`."""

    low: float
    high: float
    start: float
    end: float
    unit: str

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, unit: str) -> Axis:
        """Return an axis with room for all these values, which are above 0."""
        ordered = sorted(values)
        low, high = math.floor(math.log10(ordered[0]) + 1e-9), math.ceil(math.log10(ordered[-1]) - 1e-9)
        return cls(10.0**low, 10.0 ** max(high, low + 1), start, end, unit)

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (self.end - self.start) * math.log(value / self.low) / math.log(self.high / self.low)

    def marks(self) -> list[tuple[float, str]]:
        """Return the values to mark, and what stands beside them: decades, and 2 and 5 between them where there is room."""
        decades = round(math.log10(self.high / self.low))
        steps = (1, 2, 5) if decades <= 2 else (1,)
        values = [self.low * 10**decade * step for decade in range(decades + 1) for step in steps]
        return [(value, f"{value:,.7g}{self.unit}" if self.unit else number(value)) for value in values if value <= self.high * 1.0001]


def number(value: float) -> str:
    """Return a count as it stands at an axis: 50, 10 k, 1 M."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.6g}"


def curves(title: str, axes: tuple[str, str], lines: Mapping[str, Points], units: tuple[str, str] = ("", "")) -> str:
    """Return a chart of named lines, each with its points (x, y) marked; `axes` = what x and y are. All values are above 0."""
    x = Axis.over((x for points in lines.values() for x, _ in points), LEFT, WIDTH - RIGHT, units[0])
    y = Axis.over((y for points in lines.values() for _, y in points), HEIGHT - BOTTOM, TOP, units[1])
    drawn = []
    for place, points in enumerate(lines.values()):
        drawn.append(_line(place, [(x.at(one), y.at(other)) for one, other in points]))
        drawn += [f'<circle class="dot c{place}" cx="{x.at(one):.1f}" cy="{y.at(other):.1f}" r="4"/>' for one, other in points]
    return _chart(title, axes, x, y, list(lines), drawn)


def histogram(title: str, axes: tuple[str, str], counted: Mapping[str, Mapping[int, int]]) -> str:
    """Return a chart of named histograms (bench.load.bucket → answers): the share of all answers that each bucket holds, in percent."""
    shares = {name: {place: 100 * count / sum(found.values()) for place, count in found.items()} for name, found in counted.items()}
    edges = [end_of(place - step) for found in shares.values() for place in found for step in (0, 1)]
    x = Axis.over(edges, LEFT, WIDTH - RIGHT, " ms")
    y = Axis.over([share for found in shares.values() for share in found.values()], HEIGHT - BOTTOM, TOP, " %")
    drawn = []
    for index, found in enumerate(shares.values()):
        corners: list[tuple[float, float]] = []
        for place in range(min(found), max(found) + 1):
            height = y.at(found[place]) if place in found else y.start
            corners += [(x.at(end_of(place - 1)), height), (x.at(end_of(place)), height)]
        drawn.append(_line(index, [(corners[0][0], y.start), *corners, (corners[-1][0], y.start)]))
    return _chart(title, axes, x, y, list(shares), drawn)


def _line(place: int, points: Points) -> str:
    dashes = f' stroke-dasharray="{DASHES[place]}"' if DASHES[place] else ""
    return f'<polyline class="line c{place}"{dashes} points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _chart(title: str, axes: tuple[str, str], x: Axis, y: Axis, names: list[str], drawn: list[str]) -> str:
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">', STYLE.rstrip()]
    parts += [f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>', f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>']
    for value, said in x.marks():
        parts.append(f'<line class="grid" x1="{x.at(value):.1f}" x2="{x.at(value):.1f}" y1="{y.start}" y2="{y.end}"/>')
        parts.append(f'<text class="soft" x="{x.at(value):.1f}" y="{y.start + 19}" text-anchor="middle">{said}</text>')
    for value, said in y.marks():
        parts.append(f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y.at(value):.1f}" y2="{y.at(value):.1f}"/>')
        parts.append(f'<text class="soft" x="{x.start - 8}" y="{y.at(value) + 4:.1f}" text-anchor="end">{said}</text>')
    parts.append(f'<text class="soft" x="{(x.start + x.end) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(axes[0])}</text>')
    parts.append(f'<text class="soft" x="{x.end}" y="26" text-anchor="end">{escape(axes[1])}</text>')
    parts += drawn
    return "\n".join([*parts, *_legend(names), "</svg>", ""])


def _legend(names: list[str]) -> list[str]:
    """Return what each line is called, in two rows where one is too short."""
    parts, across, down = [], LEFT, 52
    for place, name in enumerate(names):
        width = 46 + int(6.9 * len(name))
        if across + width > WIDTH:
            across, down = LEFT, down + 22
        parts += [_line(place, [(across, down), (across + 26, down)]), f'<text x="{across + 32}" y="{down + 4}">{escape(name)}</text>']
        across += width
    return parts
