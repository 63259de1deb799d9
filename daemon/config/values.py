"""How one value of the file is read: each reader turns what TOML says into what we use, or says in a few words why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from api.values import parse_duration
from sync.address import MalformedAddress, normalise_domain
from sync.errors import InvalidRequest

Read = Callable[[object], Any]
"""A reader of one value. Raises Wrong."""

CENTURY = 36_500 * 86_400
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PRINCIPAL = re.compile(r"[^\s@\\]+@[^\s@\\]+")
_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)(;[A-Za-z0-9-]+)*")
_VALUE = r'(?:\\.|"[^"]*"|[^\\",+;<>])*'
_PAIR = rf"\s*(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)\s*={_VALUE}"
_DN = re.compile(rf"{_PAIR}(?:[,+]{_PAIR})*", re.DOTALL)


class Wrong(ValueError):
    """The value cannot be used; the message goes behind the key's name. It never repeats what may be a secret."""


def text(value: object) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise Wrong(f"must be a text in quotes, not {_kind(value)}")
    if "\0" in value:
        raise Wrong("holds a NUL character")
    return value


def some(value: object) -> str:
    """Read a text that says something."""
    if not text(value).strip():
        raise Wrong("is empty")
    return text(value)


def principal(value: object) -> str:
    """Read a Kerberos principal with its realm, or nothing."""
    if text(value) and not _PRINCIPAL.fullmatch(text(value)):
        raise Wrong('must be written with its realm: "rosterd@CORP.EXAMPLE.COM"')
    return text(value)


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, without quotes, not {_kind(value)}")
    return value


def whole(low: int, high: int) -> Read:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(f"must be a whole number from {low} to {high}, not {_kind(value)}")
        if not low <= value <= high:
            raise Wrong(f"must be from {low} to {high}")
        return value

    return read


def percent(value: object) -> float:
    """Read a share: a number from 0 to 100."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Wrong(f"must be a number from 0 to 100 (5 means 5 %), not {_kind(value)}")
    if not 0 <= value <= 100:
        raise Wrong("must be from 0 to 100")
    return value


def percent_text(value: object) -> str:
    """Read a share that is written with its sign, "10%"; at most half."""
    match = re.fullmatch(r"([0-9]{1,2})%", text(value))
    if match is None or int(match[1]) > 50:
        raise Wrong('must be a percentage from "0%" to "50%"')
    return text(value)


def duration(value: object) -> int:
    """Read a duration longer than none ("5m"); return seconds."""
    try:
        seconds = parse_duration(text(value), "")
    except InvalidRequest:
        raise Wrong('must be a number and a unit: "90s", "5m", "24h", "90d"') from None
    if not 0 < seconds <= CENTURY:
        raise Wrong("must be longer than nothing and shorter than a century")
    return seconds


def any_duration(value: object) -> int:
    """Read a duration that may be none at all ("0s"); return seconds."""
    return 0 if re.fullmatch("0+[smhd]", text(value)) else duration(value)


def optional_duration(value: object) -> int | None:
    """Read a duration or "" for none; return seconds."""
    return duration(value) if text(value) else None


def choice(*values: str) -> Read:
    """Return a reader of one of `values`."""
    known = ", ".join(f'"{one}"' for one in values if one)

    def read(value: object) -> str:
        if text(value) not in values:
            raise Wrong(f"must be one of {known}" if known.count(",") else f"must be {known or 'empty'}")
        return text(value)

    return read


def texts(each: Read = some) -> Read:
    """Return a reader of a list of texts, each read by `each`, none twice."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Wrong(f'must be a list of texts like ["…", "…"], not {_kind(value)}')
        found = []
        for number, item in enumerate(value, 1):
            try:
                found.append(each(item))
            except Wrong as wrong:
                raise Wrong(f"item {number} {wrong}") from None
        if len(set(found)) < len(found):
            raise Wrong("names something twice")
        return tuple(found)

    return read


def name(value: object) -> str:
    """Read the name of a source or a policy."""
    if not _NAME.fullmatch(text(value)):
        raise Wrong("must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit")
    return text(value)


def optional_name(value: object) -> str:
    """Read a name or "" for none."""
    return name(value) if text(value) else ""


def domain(value: object) -> str:
    """Read a mail domain."""
    try:
        normalise_domain(text(value))
    except MalformedAddress:
        raise Wrong('is no domain; write it like "example.com", without @ and without *') from None
    return text(value)


def attribute(value: object) -> str:
    """Read the name of an LDAP attribute (RFC 4512 section 2.5)."""
    if not _ATTRIBUTE.fullmatch(text(value)):
        raise Wrong("is no name of an attribute")
    return text(value)


def optional_attribute(value: object) -> str:
    """Read the name of an attribute or "" for none."""
    return attribute(value) if text(value) else ""


def condition(value: object) -> str:
    """Read an `attribute=value`."""
    named, equals, wanted = text(value).partition("=")
    if not equals or not wanted.strip() or not _ATTRIBUTE.fullmatch(named.strip()):
        raise Wrong('must be "attribute=value", or "attribute=*" for any value')
    return text(value)


def is_dn(value: str) -> bool:
    """Tell whether a text looks like a distinguished name; the directory has the last word."""
    return _DN.fullmatch(value) is not None


def dn(value: object) -> str:
    """Read a distinguished name (RFC 4514)."""
    if not is_dn(text(value)):
        raise Wrong('is no DN; write it like "ou=people,dc=example,dc=com"')
    return text(value)


def optional_dn(value: object) -> str:
    """Read a DN or "" for none."""
    return dn(value) if text(value) else ""


def ldap_filter(value: object) -> str:
    """Read a search filter (RFC 4515): what can be said without a directory."""
    depth = 0
    plain = re.sub(r"\\[0-9A-Fa-f]{2}", "", some(value)).strip()
    if "\\" in plain:
        raise Wrong(r"holds a \ that no two hexadecimal digits follow; write ( ) * \ in a value as \28 \29 \2a \5c")
    for at, character in enumerate(plain):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            raise Wrong(f"closes a parenthesis that is not open, at character {at + 1}")
        if depth == 0 and plain.startswith("(") and at < len(plain) - 1:
            raise Wrong("is more than one filter; join them: (&(…)(…))")
    if depth:
        raise Wrong(f"leaves {depth} parenthes{'is' if depth == 1 else 'es'} open")
    if "=" not in plain:
        raise Wrong("holds no comparison like (objectClass=person)")
    return text(value)


def scim_filter(value: object) -> str:
    """Read a SCIM filter (RFC 7644 section 3.4.2.2) or "" for none: what can be said without a provider."""
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', "", text(value))
    if '"' in plain:
        raise Wrong("leaves a quotation mark open")
    if plain.count("(") != plain.count(")") or plain.count("[") != plain.count("]"):
        raise Wrong("leaves a parenthesis open")
    if plain.strip() and not re.search(r"\s(eq|ne|co|sw|ew|gt|ge|lt|le|pr)\b", plain, re.IGNORECASE):
        raise Wrong('holds no comparison like userType eq "Employee"')
    return text(value).strip()


def optional_filter(value: object) -> str:
    """Read a filter or "" for the default."""
    return ldap_filter(value) if text(value) else ""


def mapping(value: object) -> dict[str, str]:
    """Read a table of texts."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Wrong('must be a table of texts like { "…" = "…" }')
    return value


def _kind(value: object) -> str:
    kinds: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return kinds.get(type(value), "a date")
