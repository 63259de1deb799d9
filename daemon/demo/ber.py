"""As much of BER as an LDAP server needs (RFC 4511 section 5.1). On purpose not the reader's: two independent halves check each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
LARGEST = 16 * 1024 * 1024
"""Octets of a request that are taken."""


class BadMessage(ValueError):
    """The octets are no LDAP message."""


@dataclass(frozen=True, slots=True)
class Element:
    """One tag and its content."""

    tag: int
    content: bytes

    def parts(self) -> list[Element]:
        """Return the elements that the content consists of. Raises BadMessage."""
        return list(elements(self.content))

    def number(self) -> int:
        """Return the content as an integer."""
        return int.from_bytes(self.content, "big", signed=True)

    def text(self) -> str:
        """Return the content as text; octets that are not UTF-8 become U+FFFD."""
        return self.content.decode("utf-8", "replace")


def elements(data: bytes) -> Iterator[Element]:
    """Yield the elements that stand one after the other in `data`. Raises BadMessage."""
    at = 0
    while at < len(data):
        found = _header(data, at)
        if found is None or found[2] > len(data):
            raise BadMessage("an element is cut off")
        tag, start, at = found
        yield Element(tag, data[start:at])


def take_message(buffer: bytearray) -> Element | None:
    """Take the first whole message out of `buffer`; None while it is not all there. Raises BadMessage."""
    found = _header(bytes(buffer[:6]), 0)
    if found is None:
        return None
    tag, start, end = found
    if tag != SEQUENCE or end > LARGEST:
        raise BadMessage("no LDAP message")
    if end > len(buffer):
        return None
    message = Element(tag, bytes(buffer[start:end]))
    del buffer[:end]
    return message


def _header(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return (tag, start of content, end of content) of the element at `at`; None if its header is not all there."""
    if at + 2 > len(data):
        return None
    tag, length = data[at], data[at + 1]
    at += 2
    if length > 0x7F:
        octets = length & 0x7F
        if not 1 <= octets <= 4:
            raise BadMessage("a length of indefinite or absurd form")
        if at + octets > len(data):
            return None
        length = int.from_bytes(data[at : at + octets], "big")
        at += octets
    return tag, at, at + length


def encode(tag: int, *contents: bytes) -> bytes:
    """Return one element around the contents, with a definite length."""
    content = b"".join(contents)
    size = len(content)
    if size <= 0x7F:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Return an INTEGER (or, with its tag, an ENUMERATED)."""
    return encode(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(value: bytes | str, tag: int = OCTETS) -> bytes:
    """Return an OCTET STRING; text goes as UTF-8."""
    return encode(tag, value.encode() if isinstance(value, str) else value)
