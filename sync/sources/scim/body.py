"""Reading the body of an answer: as it is, of bounded size, in bounded time."""

from __future__ import annotations

import time

import httpx

from sync.errors import SourceRefused
from sync.sources.scim.translate import endless

PATIENCE = 10
"""One whole answer may take so many times read_timeout."""


def read_body(answer: httpx.Response, url: str, largest: int, read_timeout: float) -> bytes:
    """Return the body. Raises SourceError for one that is compressed, larger than `largest` octets, or slower than ten times `read_timeout`."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        why = f"{url} sent a compressed answer, which was not asked for."
        raise SourceRefused("malformed_answer", why, "Switch compression off for this path, in the provider or a proxy before it.")
    until = time.monotonic() + PATIENCE * read_timeout
    body = bytearray()
    for piece in answer.iter_raw():
        body += piece
        if len(body) > largest:
            why = f"{url} sent more than {largest // 1024:,} KiB in one answer."
            raise SourceRefused("answer_too_big", why, "Set a smaller page_size.")
        if time.monotonic() > until:
            raise endless(url)
    return bytes(body)
