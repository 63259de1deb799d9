"""Attribute names as they are compared."""

from __future__ import annotations

_CANONICAL = {"rfc822mailbox": "mail", "userid": "uid", "commonname": "cn", "surname": "sn", "gn": "givenname"}
"""A server answers with an attribute's first name, whichever was asked for (RFC 4519, RFC 4524)."""


def attribute_key(name: str) -> str:
    """Return the name under which an entry keeps the attribute that the configuration calls `name`: no options, lower case."""
    key = name.partition(";")[0].strip().lower()
    return _CANONICAL.get(key, key)
