"""What every request passes before any route: a request id, the Host check, the rules for writes, the raw path; and the last net for a bug."""

from __future__ import annotations

import os
import re
from typing import Any

from api.desk import Desk
from api.errors import Refusal, refuse
from api.paths import route_path
from api.reply import error_reply
from api.routes.lookup import answer, which_lookup
from api.scim.faults import scim_reply
from api.scim.mount import is_scim

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{6,16}")
"""Ids of users, keys and tokens; of runs, or the beginning of one."""

_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
"""No browser takes an answer for what it is not, nor lets another site's page load it."""

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Front:
    """Wraps the Litestar app. Pure ASGI and short, because every lookup passes it."""

    def __init__(self, app: Any, desk: Desk, scim: Any) -> None:
        self._app = app
        self._desk = desk
        self._scim = scim

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        event_id = os.urandom(16).hex()
        scope["state"] = {**scope.get("state", {}), "event_id": event_id}
        scope["path"] = route_path(scope["raw_path"])
        status = 0

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_ALWAYS, (b"x-request-id", event_id.encode())]
            await send(message)

        pushed = is_scim(scope["path"])
        app, reply = (self._scim, scim_reply) if pushed else (self._app, error_reply)
        # A HEAD is answered like a GET; the server leaves the body out, by the scope it made itself.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            if refusal := self._refuse(scope, pushed):
                app = reply(refusal, event_id)
            elif inner["method"] == "GET" and (asked := which_lookup(scope["path"])):
                app = answer(self._desk, scope, asked.segment)
            await app(inner, receive, sending)
        except Exception as error:
            refusal = refuse(error, event_id)
            if status:
                raise
            await reply(refusal, event_id)(scope, receive, sending)
        if scope["method"] not in _READS:
            self._record_write(scope, event_id, status)

    def _refuse(self, scope: Any, pushed: bool) -> Refusal | None:
        """Return why a request goes no further, whoever sends it. What is `pushed` has its own rules for bodies."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._desk.hosts.accepts(hosts[0]):
            return Refusal(421, "unknown_host", "rosterd does not answer to this Host; [http] hosts lists the names it does.")
        if scope["method"] in _READS:
            return None
        sent = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        if any(name == b"origin" and not self._desk.hosts.is_own_origin(value, hosts[0]) for name, value in sent):
            return Refusal(403, "foreign_origin", "A page of another origin may not write here.")
        return None if pushed else self._refuse_body(sent)

    def _refuse_body(self, sent: list[tuple[bytes, bytes]]) -> Refusal | None:
        headers = dict(sent)
        length = headers.get(b"content-length", b"0")
        has_body = length.strip(b"0") != b"" or b"transfer-encoding" in headers
        kinds = [value for name, value in sent if name == b"content-type"] or ([b""] if has_body else [])
        if any(kind.partition(b";")[0].strip().lower() != b"application/json" for kind in kinds):
            return Refusal(400, "json_required", "A write needs Content-Type: application/json.", param="Content-Type")
        if length.isdigit() and int(length) > self._desk.context.settings.max_body:
            return Refusal(413, "body_too_large", "The body is larger than this route takes.")
        return None

    def _record_write(self, scope: Any, event_id: str, status: int) -> None:
        """Leave an audit record of a write that reached a route, done or refused."""
        template = scope.get("path_template")
        if not template:
            return
        state = scope["state"]
        caller, target = state.get("caller"), {**scope.get("path_params", {}), **state.get("target", {})}
        self._desk.context.audit.record(
            kind="write", event_id=event_id, role=caller.role if caller else None, caller=caller.id if caller else None,
            client=self._desk.client(scope), action=f"{scope['method']} {template}",
            target={name: self._known(name, value, status) for name, value in target.items()}, status=status,
        )  # fmt: skip

    def _known(self, name: str, value: Any, status: int) -> Any:
        """Return what a write was about. A name that led nowhere may be a secret in a wrong place: only its keyed digest is kept."""
        if status < 400 or status == 409 or name == "asked" or not isinstance(value, str) or _ID.fullmatch(value):
            return value
        return f"digest:{self._desk.context.vault.tag('asked', value.encode())[:32]}"
