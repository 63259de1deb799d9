"""The description of this API, for programs and for people: to this machine, or an administrator. The page loads nothing from anywhere."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.types import ASGIApp

from api.auth.admitting import admit_local
from api.description.document import describe
from api.description.page import POLICY, render
from api.desk import Call, context_of
from api.reply import JSON, Reply


@get("/openapi.json", guards=[admit_local], operation_id="show_openapi", tags=["description"], sync_to_thread=True)
def show_openapi(request: Call) -> ASGIApp:
    """OpenAPI 3.1."""
    return _send(msgspec.json.encode(describe(request.app, context_of(request).version)), JSON)


@get("/docs", guards=[admit_local], operation_id="show_docs", tags=["description"], sync_to_thread=True)
def show_docs(request: Call) -> ASGIApp:
    """One page of HTML without scripts, fonts or pictures: it works where nothing else can be reached."""
    return _send(render(describe(request.app, context_of(request).version)), b"text/html; charset=utf-8")


def _send(body: bytes, kind: bytes) -> Reply:
    headers = [
        (b"cache-control", b"no-store"), (b"content-security-policy", POLICY), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    ]  # fmt: skip
    return Reply(200, headers, body, kind)
