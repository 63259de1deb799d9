"""Text from outside can only be read."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.printing import print_table, safe, safe_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ann O'Hara", "Ann O'Hara"),
        ("Jörg Größe 王", "Jörg Größe 王"),
        ("[/foo] [red]", "[/foo] [red]"),
        ("a\x1b[31mb", "a\\u{1b}[31mb"),
        ("moc.elpmaxe\u202e", "moc.elpmaxe\\u{202e}"),
        ("two\nlines", "two\\u{a}lines"),
        ("no\u00a0break", "no\\u{a0}break"),
        ("line\u2028separator", "line\\u{2028}separator"),
        ("zero\u200bwidth", "zero\\u{200b}width"),
        ("half \udc80", "half \\u{dc80}"),
        (None, "None"),
    ],
)
def test_what_is_unseen_is_shown(text: object, shown: str) -> None:
    """Controls, formats and separators are spelt out; everything that can be read stays as it is."""
    assert safe(text) == shown


@given(st.text())
def test_nothing_unseen_survives(text: str) -> None:
    """Whatever the text, no character that a terminal obeys is left, and it can be encoded."""
    shown = safe(text)
    shown.encode()
    assert all(
        character == " " or unicodedata.category(character)[0] not in "CZ" or unicodedata.category(character) in ("Cn", "Co") for character in shown
    )


def test_lines_of_ours_stay_lines() -> None:
    """A message of several lines keeps its line ends and nothing else."""
    assert safe_lines("one\n  two\r\x07") == "one\n  two\\u{d}\\u{7}"


def test_a_table_takes_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """A directory's text that rich would take for markup or emoji is printed as it stands, in one line a row."""
    print_table(["name", "count"], [["[/foo]", 1], [":smile: [bold]", 22], ["x" * 500, None]], right=["count"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "[/foo]", ":smile:", "x" * 500]
    assert lines[2].endswith("[bold]" + lines[2].partition("[bold]")[2])
    assert lines[1].endswith(" 1")
