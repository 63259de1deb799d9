"""Distinguished names: one compared form for each, and what stands under what (RFC 4514, RFC 4518)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

Rdn = tuple[tuple[str, str], ...]
"""One level of a DN: its (type, value) pairs, compared form, sorted."""

_TYPES = {
    "2.5.4.3": "cn", "commonname": "cn", "2.5.4.7": "l", "localityname": "l", "2.5.4.8": "st", "stateorprovincename": "st",
    "2.5.4.10": "o", "organizationname": "o", "2.5.4.11": "ou", "organizationalunitname": "ou", "2.5.4.6": "c", "countryname": "c",
    "2.5.4.9": "street", "streetaddress": "street", "0.9.2342.19200300.100.1.25": "dc", "domaincomponent": "dc",
    "0.9.2342.19200300.100.1.1": "uid", "userid": "uid", "2.5.4.4": "sn", "surname": "sn", "2.5.4.5": "serialnumber",
}  # fmt: skip
"""Other spellings of the attribute types of RFC 4514 section 3 and its neighbours."""

_PLAIN = re.compile(r'[^\\",;+<>=#\x00-\x1f\x7f-\U0010ffff]+=[^\\",;+<>=#\x00-\x1f\x7f-\U0010ffff]+')
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)*")
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_FIRST_LEVEL = re.compile(r"(?:[^\\,]|\\.)*,\s*", re.DOTALL)
_SPACES = re.compile(r"\s+")


class MalformedDn(ValueError):
    """The text is no DN."""


@lru_cache(maxsize=16_384)
def parse_dn(text: str) -> tuple[Rdn, ...]:
    """Return the levels of a DN in compared form, the entry's own first; "" is the root and has none. Raises MalformedDn.

    Attribute types compare without case and by their short names; values unescaped, NFKC, lower case, spaces squeezed;
    the parts of a multi-valued RDN are sorted. `\\2C` and `\\,` are the same comma.
    """
    if not text.strip():
        return ()
    parts = text.split(",")
    if all(_PLAIN.fullmatch(part) for part in parts):
        return tuple((_plain_pair(part),) for part in parts)
    return _Parser(text).parse()


def normalise_dn(text: str) -> str:
    """Return the form in which DNs are compared: itself a valid DN, and the same again when normalised. Raises MalformedDn."""
    return _written(parse_dn(text))


def parent_of(text: str) -> str:
    """Return the compared form of the DN above, "" above the first level. Raises MalformedDn."""
    return _written(parse_dn(text)[1:])


def above(text: str) -> str:
    """Return the DN above as it was written, "" above the first level: to ask for it, where `parent_of` is to compare it."""
    return _FIRST_LEVEL.sub("", text, count=1) if _FIRST_LEVEL.match(text) else ""


def is_under(dn: str, base: str) -> bool:
    """Tell whether `dn` is `base` or stands somewhere below it; False when either is no DN."""
    try:
        inner, outer = parse_dn(dn), parse_dn(base)
    except MalformedDn:
        return False
    return len(inner) >= len(outer) and inner[len(inner) - len(outer) :] == outer


def same_dn(one: str, other: str) -> bool:
    """Tell whether two texts name the same entry."""
    return is_under(one, other) and is_under(other, one)


def distinct_bases(bases: Sequence[str]) -> list[str]:
    """Return the bases without those that stand under another, or are another in other words: nobody is to be read twice."""
    kept: list[str] = []
    for base in bases:
        if not any(is_under(base, other) for other in kept):
            kept = [other for other in kept if not is_under(other, base)] + [base]
    return kept


def _written(levels: Sequence[Rdn]) -> str:
    return ",".join("+".join(f"{kind}={_escape(value)}" for kind, value in rdn) for rdn in levels)


def _plain_pair(part: str) -> tuple[str, str]:
    kind, _, value = part.partition("=")
    return _type(kind), _compared(value)


def _type(text: str) -> str:
    kind = text.strip().lower().removeprefix("oid.")
    if not _TYPE.fullmatch(kind):
        raise MalformedDn("an attribute type is malformed")
    return _TYPES.get(kind, kind)


def _compared(value: str) -> str:
    if not value.isascii():
        # Lowering can undo NFKC and the other way round; this settles after the second time.
        value = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).lower()).lower()
    return _SPACES.sub(" ", value.lower()).strip()


def _escape(value: str) -> str:
    escaped = "".join(map(_escape_character, value))
    return f"\\{escaped}" if escaped.startswith("#") else escaped


def _escape_character(c: str) -> str:
    if c in '\\",;+<>=':
        return f"\\{c}"
    if c < " " or c == "\x7f":
        return f"\\{ord(c):02x}"
    return f"\\{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c


class _Parser:
    """A DN that needs more than splitting at commas."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def parse(self) -> tuple[Rdn, ...]:
        levels: list[Rdn] = []
        pairs = [self._pair()]
        while self._at < len(self._text):
            separator = self._text[self._at]
            self._at += 1
            if separator != "+":
                levels.append(tuple(sorted(pairs)))
                pairs = []
            pairs.append(self._pair())
        return (*levels, tuple(sorted(pairs)))

    def _pair(self) -> tuple[str, str]:
        equals = self._text.find("=", self._at)
        if equals < 0:
            raise MalformedDn("a part has no =")
        kind = _type(self._text[self._at : equals])
        self._at = equals + 1
        self._skip_spaces()
        if self._text.startswith("#", self._at):
            return kind, _compared(self._hex_value())
        return kind, _compared(self._quoted() if self._text.startswith('"', self._at) else self._unquoted())

    def _skip_spaces(self) -> None:
        while self._text.startswith(" ", self._at):
            self._at += 1

    def _hex_value(self) -> str:
        """Read `#` and hex digits: the BER encoding of the value, of which only the content is wanted."""
        digits = re.compile(r"#((?:[0-9A-Fa-f]{2})+) *(?=[,;+]|$)").match(self._text, self._at)
        if digits is None:
            raise MalformedDn("a value after # is not hexadecimal")
        self._at = digits.end()
        raw = bytes.fromhex(digits[1])
        if len(raw) >= 2 and raw[0] in (0x04, 0x0C, 0x13, 0x16) and raw[1] == len(raw) - 2 < 128:
            return _text_of(raw[2:])
        return f"#{digits[1].lower()}"

    def _quoted(self) -> str:
        """Read a "…" value as RFC 2253 section 4 still allows it."""
        self._at += 1
        value = bytearray()
        while self._at < len(self._text):
            if self._text[self._at] == '"':
                self._at += 1
                self._skip_spaces()
                if self._at < len(self._text) and self._text[self._at] not in ",;+":
                    raise MalformedDn("text follows a quoted value")
                return _text_of(bytes(value))
            value += self._next_character()
        raise MalformedDn("a quoted value does not end")

    def _unquoted(self) -> str:
        value = bytearray()
        while self._at < len(self._text) and self._text[self._at] not in ",;+":
            if self._text[self._at] in '"<>':
                raise MalformedDn("a character is not escaped")
            value += self._next_character()
        return _text_of(bytes(value))

    def _next_character(self) -> bytes:
        if self._text[self._at] != "\\":
            self._at += 1
            return self._text[self._at - 1].encode("utf-8", "surrogatepass")
        pair = self._text[self._at + 1 : self._at + 3]
        if _HEX.fullmatch(pair):
            self._at += 3
            return bytes.fromhex(pair)
        if not pair:
            raise MalformedDn("it ends in a backslash")
        self._at += 2
        return pair[0].encode("utf-8", "surrogatepass")


def _text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
