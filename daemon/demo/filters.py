"""Which entries a search filter means (RFC 4511 section 4.5.1.7), in its three-valued logic: true, false, undefined (None)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.demo.ber import BadMessage, Element

AND, OR, NOT, EQUAL, SUBSTRINGS, AT_LEAST, AT_MOST, PRESENT, APPROXIMATE = 0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0x87, 0xA8
INITIAL, ANY, FINAL = 0x80, 0x81, 0x82

Attributes = Mapping[str, Sequence[str]]
"""An entry's values by lower-case attribute name."""


def matches(asked: Element, attributes: Attributes, known: frozenset[str]) -> bool | None:
    """Tell whether an entry matches. An attribute the directory does not know (or hides) makes an assertion undefined.

    Values compare without regard to case and to spaces after commas, which is right for everything the demo holds.
    Raises BadMessage.
    """
    if asked.tag in (AND, OR):
        return _together(asked, [matches(part, attributes, known) for part in asked.parts()])
    if asked.tag == NOT:
        inner = matches(asked.parts()[0], attributes, known)
        return None if inner is None else not inner
    if asked.tag == PRESENT:
        name = _name(asked)
        return bool(attributes.get(name)) if name in known else None
    return _assertion(asked, attributes, known)


def _together(asked: Element, answers: list[bool | None]) -> bool | None:
    decisive = asked.tag == OR
    if decisive in answers:
        return decisive
    return None if None in answers else not decisive


def _assertion(asked: Element, attributes: Attributes, known: frozenset[str]) -> bool | None:
    if asked.tag not in (EQUAL, SUBSTRINGS, AT_LEAST, AT_MOST, APPROXIMATE):
        return None
    parts = asked.parts()
    if len(parts) != 2:
        raise BadMessage("a malformed filter")
    name = _name(parts[0])
    if name not in known:
        return None
    values = [fold(value) for value in attributes.get(name, ())]
    if asked.tag == SUBSTRINGS:
        return any(_holds(value, parts[1].parts()) for value in values)
    wanted = fold(parts[1].text())
    if asked.tag == AT_LEAST:
        return any(value >= wanted for value in values)
    if asked.tag == AT_MOST:
        return any(value <= wanted for value in values)
    return wanted in values


def _holds(value: str, pieces: list[Element]) -> bool:
    """Tell whether the pieces stand in `value` one after the other: the first at its start, the last at its end."""
    for piece in pieces:
        text = piece.text().lower()
        at = value.find(text)
        if at < 0 or (piece.tag == INITIAL and at) or (piece.tag == FINAL and not value.endswith(text)):
            return False
        value = value[at + len(text) :]
    return True


def _name(element: Element) -> str:
    return element.text().partition(";")[0].strip().lower()


def fold(value: str) -> str:
    """Return the form in which values, and DNs, are compared."""
    return ",".join(part.strip() for part in value.lower().split(","))
