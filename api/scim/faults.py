"""Answers of the SCIM server as octets, and errors in the form of RFC 7644 section 3.12. Without the SCIM libraries, which are heavy."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from api.errors import Refusal

_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
_TYPES = {"invalid_filter": "invalidFilter", "name_taken": "uniqueness"}


class Answer(NamedTuple):
    """What is sent: names of headers in lower case. `created` = the id of a new resource."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    created: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it (ASGI)."""
        headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in self.headers]
        headers.append((b"cache-control", b"no-store"))
        if self.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def scim_reply(refusal: Refusal, _: str) -> Answer:
    """Return the answer to a refused request; its event id is in X-Request-Id."""
    return answer_refusal(refusal)


def answer_refusal(refusal: Refusal) -> Answer:
    """Return a refusal as SCIM says it: the status as a text, one sentence, and for some a `scimType`."""
    said = {"schemas": [_ERROR], "status": str(refusal.status), "detail": refusal.message}
    if refusal.code in _TYPES:
        said["scimType"] = _TYPES[refusal.code]
    return Answer(refusal.status, (("content-type", "application/scim+json"), *refusal.headers), msgspec.json.encode(said))
