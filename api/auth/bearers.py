"""The one credential of a request, wherever it is carried."""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from api.auth.passes import LONGEST_TOKEN
from api.clients import Headers
from api.errors import Refusal, unauthenticated

_KEY_HEADERS = frozenset({b"x-bf-vk", b"x-api-key", b"x-goog-api-key"})
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)
"""RFC 6750 section 2.1."""

_KEY = re.compile(rb"[A-Za-z0-9._~+/=-]+")


class Credential(NamedTuple):
    """What the caller shows. `is_key` = it came in a header that carries virtual keys only."""

    text: str
    is_key: bool


def read_credential(headers: Headers) -> Credential:
    """Return the credential of a request.

    Raises a 400 for two different ones, the 401 for none and for a malformed one. An empty key header is none: some clients always send it.
    """
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
            raise Refusal(400, "two_credentials", "The request carries two different credentials; send one.")
        found = text
    if found is None or len(found) > LONGEST_TOKEN or not _KEY.fullmatch(found):
        raise unauthenticated()
    return Credential(found.decode("ascii"), is_key)


def _read_bearer(value: bytes) -> bytes:
    """Return the token, or the whole value when it is no bearer: no token looks like that, so it is refused after all headers are read."""
    match = _BEARER.fullmatch(value.strip()) if len(value) <= LONGEST_TOKEN + 64 else None
    return match.group(1) if match else b"\0" + value
