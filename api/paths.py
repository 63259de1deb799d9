"""From the raw path to one decoded segment: each segment is percent-decoded exactly once, and only by who uses it.

Litestar matches `scope["path"]`, where a server has already turned `%2F` into `/`; so it is given the raw path instead.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from api.errors import Refusal

_SAFE = "".join(chr(code) for code in range(0x21, 0x7F))
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


def route_path(raw_path: bytes) -> str:
    """Return the path to route by: still percent-encoded, ASCII; octets that should have been encoded are."""
    try:
        return raw_path.decode("ascii")
    except UnicodeDecodeError:
        return quote(raw_path, safe=_SAFE)


def decode_segment(segment: str, param: str) -> str:
    """Return one segment percent-decoded once. Raises a 400 naming `param` for a broken escape or what is no UTF-8."""
    if "%" not in segment:
        return segment
    try:
        if _BROKEN.search(segment):
            raise ValueError
        return unquote_to_bytes(segment).decode("utf-8")
    except ValueError:
        raise Refusal(400, "malformed_path", "This part of the path is not percent-encoded UTF-8.", param=param) from None
