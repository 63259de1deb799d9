"""Search filters built from values that may be hostile (RFC 4515 section 3)."""

from __future__ import annotations

from collections.abc import Iterable

ANYTHING = "(objectClass=*)"
"""Matches every entry whose objectClass may be searched."""

_SPECIAL = frozenset(b"*()\\\0 ")


def escape(value: str | bytes) -> str:
    """Return `value` so that a filter takes every octet of it literally.

    Spaces and everything outside ASCII are escaped too: the parser in between strips the first and would encode the second its own way.
    """
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "".join(f"\\{octet:02x}" if octet in _SPECIAL or octet < 0x20 or octet > 0x7E else chr(octet) for octet in raw)


def equals(attribute: str, value: str | bytes) -> str:
    """Return the filter for entries that list `value` in `attribute`."""
    return f"({attribute}={escape(value)})"


def any_of(filters: Iterable[str]) -> str:
    """Return the filter for entries that match at least one."""
    several = list(filters)
    return several[0] if len(several) == 1 else f"(|{''.join(several)})"


def both(one: str, other: str) -> str:
    """Return the filter for entries that match both."""
    return f"(&{bracketed(one)}{bracketed(other)})"


def negation(of: str) -> str:
    """Return the filter for entries for which `of` is provably false.

    In LDAP's three-valued logic an assertion on an attribute that may not be searched is undefined, and so is its
    negation (RFC 4511 section 4.5.1.7): this matches nobody whose attributes are hidden.
    """
    return f"(!{bracketed(of)})"


def bracketed(text: str) -> str:
    """Return the filter with its outer brackets, which people leave out."""
    stripped = text.strip()
    return stripped if stripped.startswith("(") else f"({stripped})"
