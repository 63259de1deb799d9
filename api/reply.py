"""A ready answer: status, headers, body. Leaner than a framework's response, for the route that is asked all day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import Refusal, error_body

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class Reply:
    """An ASGI answer of one piece. `kind` is its content type; a 204 and a 304 have no body and say no length."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes = b"", kind: bytes = JSON) -> None:
        self._status = status
        self._body = body
        self._headers = list(headers)
        if status not in (204, 304):
            self._headers += ((b"content-type", kind), (b"content-length", b"%d" % len(body)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def error_reply(refusal: Refusal, event_id: str) -> Reply:
    """Return the answer to a refused request."""
    headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers]
    return Reply(refusal.status, [(b"cache-control", b"no-store"), *headers], error_body(refusal, event_id))
