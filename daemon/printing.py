"""What the commands print: text from outside made harmless, tables, and JSON in the shapes of the API."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})


def safe(text: object) -> str:
    """Return text from outside so that it can only be read: control, format and separator characters but the space as `\\u{…}`.

    Markup has no meaning wherever we print (see `console`), so brackets stay. U+202E would turn a line around, U+001B colour it.
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(_shown(character) for character in plain)


def safe_lines(text: object) -> str:
    """Return text of ours that holds text from outside: as `safe`, line by line."""
    return "\n".join(safe(line) for line in str(text).split("\n"))


def say(text: str = "") -> None:
    """Print a line of ours on stdout; what it holds from outside has been through `safe`."""
    click.echo(text)


def warn(text: str) -> None:
    """Print a line of ours on stderr."""
    click.echo(text, err=True)


def is_terminal(stream: IO[str]) -> bool:
    """Tell whether a human reads this stream."""
    return bool(stream.isatty())


def console(stream: IO[str] | None = None) -> Console:
    """Return a console on `stream` (stdout) that takes no text for markup; piped, it neither colours nor wraps."""
    from rich.console import Console

    target = stream or sys.stdout
    width = None if is_terminal(target) else 100_000
    return Console(file=target, markup=False, emoji=False, highlight=False, width=width, soft_wrap=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """Print rows under their columns' names; every cell goes through `safe`. Columns named in `right` hold numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold" if is_terminal(sys.stdout) else "")
    numbers = set(right)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(safe("" if cell is None else cell) for cell in row))
    painter = console()
    with painter.capture() as captured:
        painter.print(table)
    for line in captured.get().splitlines():
        say(line.rstrip())


def print_json(**members: Any) -> None:
    """Print one JSON object as the API sends it: an object in its noun, a list in its plural; members that are None are left out."""
    say(msgspec.json.encode({name: value for name, value in members.items() if value is not None}).decode())


def print_json_line(record: Mapping[str, Any]) -> None:
    """Print one record as a line of JSON, for output without an end known beforehand."""
    say(msgspec.json.encode(record).decode())


def plural(number: int, noun: str, several: str = "") -> str:
    """Return "1 person", "2 people" … with thousands set apart."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def _shown(character: str) -> str:
    if character != " " and unicodedata.category(character) in _UNSEEN:
        return f"\\u{{{ord(character):x}}}"
    return character
