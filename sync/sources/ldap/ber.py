"""Reading LDAP messages as they come off the wire: BER with definite lengths (RFC 4511 section 5.1), nothing copied twice."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

import msgspec

ENTRY = 0x64
"""Tag of a SearchResultEntry (RFC 4511 section 4.5.2)."""
DONE = 0x65
"""Tag of a SearchResultDone."""
REFERENCE = 0x73
"""Tag of a SearchResultReference."""
INTERMEDIATE = 0x79
"""Tag of an IntermediateResponse (RFC 4511 section 4.13)."""

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
"""Tags of ASN.1 itself."""

_CONTROLS = 0xA0
_MOST_NAMES = 1000


class Garbled(ValueError):
    """The bytes are no LDAP message; the message says what is wrong with them."""


class Entry(msgspec.Struct, frozen=True):
    """One record as the directory speaks it: `attributes` by lower-case type without options, values as raw octets,
    those of the type itself before those with an option (mail;lang-en). `too_big` = only the DN could be had; `cut` = an
    attribute came in part (member;range=0-1499, as Active Directory sends what has many values), and `rest` = the number of the
    value with which its next part begins, 0 if this was the last."""

    dn: str
    attributes: dict[str, list[bytes]] = {}
    too_big: bool = False
    cut: bool = False
    rest: int = 0

    def texts(self, attribute: str) -> list[str]:
        """Return the values of a (lower-case) attribute that are UTF-8."""
        texts = []
        for value in self.attributes.get(attribute, ()):
            try:
                texts.append(value.decode())
            except UnicodeDecodeError:
                continue
        return texts


def _escape_octets(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(f"\\{octet:02x}" for octet in error.object[error.start : error.end]), error.end


codecs.register_error("rosterd-dn", _escape_octets)


def read_dn(raw: bytes) -> str:
    """Return a DN as text; octets that are not UTF-8 as RFC 4514 escapes, so that the text still names the entry."""
    return raw.decode("utf-8", "rosterd-dn")


def dn_of(octets: bytes) -> str:
    """Return the DN of a SearchResultEntry whose content these octets are. Raises Garbled."""
    start, end = content(octets, 0, len(octets), OCTETS)
    return read_dn(octets[start:end])


def header(data: bytes, at: int, limit: int) -> tuple[int, int, int]:
    """Return (tag, start of content, end of content) of the element at `at`, which must end before `limit`. Raises Garbled."""
    try:
        tag, length = data[at], data[at + 1]
    except IndexError:
        raise Garbled("an element is cut off") from None
    at += 2
    if length > 0x7F:
        octets = length & 0x7F
        if not 1 <= octets <= 4:
            raise Garbled("a length of indefinite or absurd form")
        length = int.from_bytes(data[at : at + octets], "big")
        at += octets
    end = at + length
    if end > limit:
        raise Garbled("an element is longer than what holds it")
    return tag, at, end


def content(data: bytes, at: int, limit: int, wanted: int) -> tuple[int, int]:
    """Return (start, end of the content) of the element at `at`, which must have the tag `wanted` and end before `limit`. Raises Garbled."""
    start = at + 2
    if start <= limit and data[at] == wanted and (end := start + data[at + 1]) <= limit and end - start < 0x80:
        return start, end  # as nearly always; in any other case it takes a second look
    tag, start, end = header(data, at, limit)
    if tag != wanted:
        raise Garbled(f"tag {tag:02x} where {wanted:02x} belongs")
    return start, end


def message_length(data: bytes, at: int) -> int:
    """Return the length in octets of the message that begins at `at`, 0 if too few octets are there to tell. Raises Garbled."""
    have = len(data) - at
    if have and data[at] != 0x30:
        raise Garbled(f"a message begins with {data[at : at + 4].hex()}")
    if have < 2:
        return 0
    length = data[at + 1]
    if length <= 0x7F:
        return length + 2
    octets = length & 0x7F
    if not 1 <= octets <= 4:
        raise Garbled("a message length of indefinite or absurd form")
    return int.from_bytes(data[at + 2 : at + 2 + octets], "big") + 2 + octets if have >= 2 + octets else 0


def open_message(data: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Return (message id, tag of the operation, start, end of its content) of the message between `at` and `end`, whose length
    `message_length` has told. Raises Garbled."""
    if at + 2 > end:
        raise Garbled("a message is cut off")
    at += 2 if data[at + 1] < 0x80 else 2 + (data[at + 1] & 0x7F)
    start, at = content(data, at, end, INTEGER)
    if not 1 <= at - start <= 5:
        raise Garbled("a message has no id")
    number = int.from_bytes(data[start:at], "big")
    return number, *header(data, at, end)


class EntryReader:
    """Decodes SearchResultEntries; remembers the attribute names it has met."""

    def __init__(self) -> None:
        self._names: dict[bytes, tuple[str, str]] = {}

    def read(self, data: bytes, at: int, end: int) -> Entry:
        """Return the entry whose content lies between `at` and `end`. Raises Garbled."""
        start, at = content(data, at, end, OCTETS)
        dn = read_dn(data[start:at])
        at, stop = content(data, at, end, SEQUENCE)
        if stop != end:
            raise Garbled("an entry holds more than its DN and its attributes")
        attributes: dict[str, list[bytes]] = {}
        ranges: list[str] = []
        while at < end:
            raw, values, at = read_attribute(data, at, end)
            name, option = self._names.get(raw) or self._learn(raw)
            if option:
                if option.startswith("range=") and option != "range=0-*":
                    ranges.append(option)
                attributes.setdefault(name, []).extend(values)
            else:
                attributes[name] = values + attributes[name] if name in attributes else values
        return Entry(dn, attributes, cut=True, rest=max(map(_rest, ranges))) if ranges else Entry(dn, attributes)

    def _learn(self, raw: bytes) -> tuple[str, str]:
        kind, semicolon, option = raw.decode("ascii", "backslashreplace").lower().partition(";")
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        known = self._names[raw] = (kind, option or semicolon)
        return known


def read_attribute(data: bytes, at: int, end: int) -> tuple[bytes, list[bytes], int]:
    """Return (type, values, where the next one begins) of the PartialAttribute at `at`, which must end before `end`. Raises Garbled.

    Every read spends its time here. So one of less than 128 octets, whose lengths are one octet each, is walked without a call; whatever
    is not as expected is left to the plain reading.
    """
    try:
        value = at + 4 + data[at + 3]
        stop = at + 2 + data[at + 1]
        short = data[at] == SEQUENCE and data[at + 1] < 0x80 and stop <= end
        if short and data[at + 2] == OCTETS and data[value] == SET and value + 2 + data[value + 1] == stop:
            kind = data[at + 4 : value]
            if data[value + 2] == OCTETS and value + 4 + data[value + 3] == stop:
                return kind, [data[value + 4 : stop]], stop  # one value, as nearly always
            values, value = [], value + 2
            while value < stop and data[value] == OCTETS:
                start = value + 2
                value = start + data[value + 1]
                values.append(data[start:value])
            if value == stop:
                return kind, values, stop
    except IndexError:
        pass
    return read_attribute_plainly(data, at, end)


def read_attribute_plainly(data: bytes, at: int, end: int) -> tuple[bytes, list[bytes], int]:
    """Do as `read_attribute`, by the book: SEQUENCE { type OCTET STRING, vals SET OF OCTET STRING } (RFC 4511 section 4.1.7)."""
    at, stop = content(data, at, end, SEQUENCE)
    start, at = content(data, at, stop, OCTETS)
    kind, values = data[start:at], []
    at, last = content(data, at, stop, SET)
    if last != stop:
        raise Garbled("an attribute holds more than its type and its values")
    while at < stop:
        start, at = content(data, at, stop, OCTETS)
        values.append(data[start:at])
    return kind, values, stop


def _rest(option: str) -> int:
    """Return the number of the value that follows a range (range=0-1499, range=1500-*; MS-ADTS section 3.1.1.3.1.3.3), 0 for the last one."""
    last = option.rpartition("-")[2]
    return int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 10 else 0


@dataclass(frozen=True, slots=True)
class Done:
    """How a search ended. `cookie` is the paged results control's, None when the control is missing; `controls` all of them, by OID."""

    code: int
    matched: str
    text: str
    cookie: bytes | None
    controls: dict[bytes, bytes] = field(default_factory=dict, compare=False)


def read_done(data: bytes, at: int, end: int, stop: int) -> Done:
    """Return the result between `at` and `end`, and the paged results control between there and `stop`. Raises Garbled."""
    parts = []
    cursor = at
    for wanted in (ENUMERATED, OCTETS, OCTETS):
        start, cursor = content(data, cursor, end, wanted)
        parts.append(data[start:cursor])
    code, matched, text = parts
    if not 1 <= len(code) <= 4:
        raise Garbled("a result has no code")  # none at all would read as 0, success
    controls = read_controls(data, end, stop)
    paged = controls.get(PAGED_RESULTS)
    cookie = None if paged is None else _cookie_of(paged)
    return Done(int.from_bytes(code, "big"), read_dn(matched), text.decode("utf-8", "replace"), cookie, controls)


PAGED_RESULTS = b"1.2.840.113556.1.4.319"
"""The simple paged results control (RFC 2696)."""


def read_controls(data: bytes, at: int, limit: int) -> dict[bytes, bytes]:
    """Return the controls between `at` and `limit` (RFC 4511 section 4.1.11): OID → value, b"" where there is none. Raises Garbled."""
    controls: dict[bytes, bytes] = {}
    if at >= limit:
        return controls
    at, end = content(data, at, limit, _CONTROLS)
    while at < end:
        inner, at = content(data, at, end, SEQUENCE)
        start, inner = content(data, inner, at, OCTETS)
        oid, value = data[start:inner], b""
        if inner < at and data[inner] == BOOLEAN:  # the criticality, which says nothing in an answer
            _, inner = content(data, inner, at, BOOLEAN)
        if inner < at:
            start, inner = content(data, inner, at, OCTETS)
            value = data[start:inner]
        if inner != at:
            raise Garbled("a control holds more than it may")
        controls.setdefault(oid, value)
    return controls


def _cookie_of(value: bytes) -> bytes:
    """SEQUENCE { size INTEGER, cookie OCTET STRING }: read to the last octet, since an empty cookie says that a read is complete."""
    at, stop = content(value, 0, len(value), SEQUENCE)
    _, at = content(value, at, stop, INTEGER)
    start, after = content(value, at, stop, OCTETS)
    if not after == stop == len(value):
        raise Garbled("the paged results control is malformed")
    return value[start:after]
