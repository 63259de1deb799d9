"""The one credential of a request, wherever it is carried."""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from api.auth.passes import LONGEST_TOKEN
from api.clients import Headers
from api.errors import Refusal, unauthenticated

_KEY_HEADERS = frozenset({b"x-bf-vk", b"x-api-key", b"x-goog-api-key"})
_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/=-]+) *")
"""RFC 6750 section 2.1. Only the scheme is read in either case: to do so with the token takes three times as long."""

_KEY = re.compile(rb"[A-Za-z0-9._~+/=-]+")


LONGEST_ASSERTION = 1024
"""Octets of what a proxy says of a user."""


class Credential(NamedTuple):
    """What the caller shows. `is_key` = it came in a header that carries virtual keys only; `is_asserted` = a trusted proxy says who asks."""

    text: str
    is_key: bool
    is_asserted: bool = False


def read_credential(headers: Headers, assertion: bytes | None = None) -> Credential:
    """Return the credential of a request. `assertion` = the header that asserts a user, None where its sender is not to be believed.

    Raises a 400 for two different ones, the 401 for none and for a malformed one. An empty key header is none: some clients always send it.
    """
    if assertion is not None and (asserted := _read_assertion(headers, assertion)) is not None:
        return asserted
    found: bytes | None = None
    is_key = True
    for name, value in headers:
        if name == b"authorization":
            text, is_key = _read_bearer(value), False
        elif name in _KEY_HEADERS and value.strip():
            text = value.strip()
        else:
            continue
        if found is not None and not hmac.compare_digest(found, text):
            raise _two_credentials()
        found = text
    if found is None or len(found) > LONGEST_TOKEN or not _KEY.fullmatch(found):
        raise unauthenticated()
    return Credential(found.decode("ascii"), is_key)


def _read_assertion(headers: Headers, assertion: bytes) -> Credential | None:
    """Return who is asserted, None when nobody is. A second line, or another credential beside it, could be the client's own: 400."""
    lines = [value for name, value in headers if name == assertion]
    if not any(lines):
        return None
    others = any(name == b"authorization" or (name in _KEY_HEADERS and value.strip()) for name, value in headers)
    if others or len(lines) > 1:
        raise _two_credentials()
    try:
        text = lines[0].decode()
    except UnicodeDecodeError:
        raise unauthenticated() from None
    if len(lines[0]) > LONGEST_ASSERTION or not text.isprintable() or text != text.strip():
        raise unauthenticated()
    return Credential(text, False, True)


def _two_credentials() -> Refusal:
    return Refusal(400, "two_credentials", "The request carries two different credentials; send one.")


def _read_bearer(value: bytes) -> bytes:
    """Return the token, or the whole value when it is no bearer: no token looks like that, so it is refused after all headers are read."""
    match = _BEARER.fullmatch(value.strip()) if len(value) <= LONGEST_TOKEN + 64 else None
    return match.group(1) if match else b"\0" + value
