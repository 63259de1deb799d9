"""Reading LDAP messages as they come off the wire: BER with definite lengths (RFC 4511 section 5.1), nothing copied twice."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

ENTRY = 0x64
"""Tag of a SearchResultEntry (RFC 4511 section 4.5.2)."""
DONE = 0x65
"""Tag of a SearchResultDone."""
REFERENCE = 0x73
"""Tag of a SearchResultReference."""
INTERMEDIATE = 0x79
"""Tag of an IntermediateResponse (RFC 4511 section 4.13)."""

_MOST_NAMES = 1000


class Garbled(ValueError):
    """The bytes are no LDAP message; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as the directory speaks it: `attributes` by lower-case type without options, values as raw octets,
    those of the type itself before those with an option (mail;lang-en). `too_big` = only the DN could be had; `cut` = an
    attribute came in part (member;range=0-1499, as Active Directory sends what has many values), and `rest` = the number of the
    value with which its next part begins, 0 if this was the last."""

    dn: str
    attributes: dict[str, list[bytes]] = field(default_factory=dict)
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


def open_message(data: bytes, at: int, limit: int) -> tuple[int, int, int, int]:
    """Return (message id, tag of the operation, start, end of its content) of the message at `at`, which ends by `limit`. Raises Garbled."""
    _, at, stop = header(data, at, limit)
    tag, at, end = header(data, at, stop)
    if tag != 0x02 or not 1 <= end - at <= 5:
        raise Garbled("a message has no id")
    number = int.from_bytes(data[at:end], "big")
    tag, at, end = header(data, end, stop)
    return number, tag, at, end


class EntryReader:
    """Decodes SearchResultEntries; remembers the attribute names it has met."""

    def __init__(self) -> None:
        self._names: dict[bytes, tuple[str, str]] = {}

    def read(self, data: bytes, at: int, end: int) -> Entry:
        """Return the entry whose content lies between `at` and `end`. Raises Garbled."""
        tag, start, at = header(data, at, end)
        if tag != 0x04:
            raise Garbled("an entry has no DN")
        _, first, end = header(data, at, end)
        try:
            attributes, ranges = self._attributes(data, first, end)
            dn = read_dn(data[start:at])
            return Entry(dn, attributes, cut=True, rest=max(map(_rest, ranges))) if ranges else Entry(dn, attributes)
        except IndexError:
            raise Garbled("an attribute is cut off") from None

    def _attributes(self, data: bytes, at: int, end: int) -> tuple[dict[str, list[bytes]], list[str]]:
        """Return the attributes between `at` and `end`, and the ranges of those that came in part: three nested sequences, walked in
        place, since every read spends its time here."""
        attributes: dict[str, list[bytes]] = {}
        names, ranges = self._names, list[str]()
        while at < end:
            at, stop = (at + 2, at + 2 + data[at + 1]) if data[at + 1] < 0x80 else header(data, at, end)[1:]
            start, at = (at + 2, at + 2 + data[at + 1]) if data[at + 1] < 0x80 else header(data, at, stop)[1:]
            name, option = names.get(data[start:at]) or self._learn(data[start:at])
            at += 2 if data[at + 1] < 0x80 else 2 + (data[at + 1] & 0x7F)
            values = []
            while at < stop:
                start, at = (at + 2, at + 2 + data[at + 1]) if data[at + 1] < 0x80 else header(data, at, stop)[1:]
                values.append(data[start:at])
            if at != stop or stop > end:
                raise Garbled("a value is longer than what holds it")
            if option:
                if option.startswith("range=") and option != "range=0-*":
                    ranges.append(option)
                attributes.setdefault(name, []).extend(values)
            else:
                attributes[name] = values + attributes.get(name, []) if name in attributes else values
        return attributes, ranges

    def _learn(self, raw: bytes) -> tuple[str, str]:
        kind, semicolon, option = raw.decode("ascii", "backslashreplace").lower().partition(";")
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        known = self._names[raw] = (kind, option or semicolon)
        return known


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
    for wanted in (0x0A, 0x04, 0x04):
        tag, start, cursor = header(data, cursor, end)
        if tag != wanted:
            raise Garbled("a result is malformed")
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
    tag, at, end = header(data, at, limit)
    while tag == 0xA0 and at < end:
        _, inner, at = header(data, at, end)
        _, start, inner = header(data, inner, at)
        oid, value = data[start:inner], b""
        while inner < at:  # the criticality, if any, then the value, if any
            kind, start, inner = header(data, inner, at)
            if kind == 0x04:
                value = data[start:inner]
        controls.setdefault(oid, value)
    return controls


def _cookie_of(value: bytes) -> bytes:
    _, start, stop = header(value, 0, len(value))
    _, _, size_end = header(value, start, stop)
    _, start, after = header(value, size_end, stop)
    return value[start:after]
