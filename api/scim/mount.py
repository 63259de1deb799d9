"""Where providers push to: /scim/v2/{source}/…. Who asks, how much they send and where the work runs; the protocol itself is in answering, imported
when the first provider comes, for it is heavy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from anyio import CapacityLimiter, Semaphore, fail_after, to_thread

from api.auth.admitting import Caller, admit_source
from api.desk import Desk
from api.errors import Refusal, refuse
from api.scim.faults import Answer, answer_refusal
from api.scim.limits import LARGEST_BODY, LARGEST_GROUP, PATIENCE_MS
from sync.errors import StoreUnavailable

if TYPE_CHECKING:
    from scim2_server.requests import ScimRequest

PREFIX = "/scim/v2"
_OPEN = "ServiceProviderConfig"
"""What needs no token (RFC 7644 section 4)."""
_ENDPOINTS = {name.lower(): name for name in ("Users", "Groups", _OPEN, "ResourceTypes", "Schemas", "Bulk", "Me")}
_PARAMETERS = {name.lower(): name for name in ("attributes", "excludedAttributes", "filter", "startIndex", "count")}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def is_scim(path: str) -> bool:
    """Tell whether a path leads here."""
    return path == PREFIX or path.startswith(PREFIX + "/")


class ScimMount:
    """The ASGI app under PREFIX. Threads of its own: two that read and two that write, of which one waits for the other in the store."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reads, self._writes = Semaphore(2), Semaphore(2)
        self._threads = CapacityLimiter(4)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        event_id = scope["state"]["event_id"]
        try:
            answer = await self._answer(scope, receive, event_id)
        except Refusal as refusal:
            answer = answer_refusal(refusal)
        except Exception as error:
            answer = answer_refusal(refuse(error, event_id))
        await answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, event_id: str) -> Answer:
        source, _, rest = scope["path"].removeprefix(PREFIX).lstrip("/").partition("/")
        source, rest = unquote(source), _spelt(unquote(rest))
        known = source in self._desk.context.settings.pushed
        if not (known and rest == _OPEN and scope["method"] == "GET"):
            scope["state"]["caller"] = await self._admit(scope, source)
        if not known:
            raise Refusal(404, "source_not_found", "No provider pushes to a source of this name.")
        if scope["method"] not in _METHODS:
            raise Refusal(405, "method_not_allowed", "SCIM does not know this method.", headers=(("Allow", ", ".join(sorted(_METHODS))),))
        body = await _read_body(scope, receive, LARGEST_GROUP if rest.partition("/")[0] == "Groups" else LARGEST_BODY)
        reads = scope["method"] == "GET" or rest.endswith(".search")
        if not reads:
            _note_write(scope, source, rest)
        async with _turn(self._reads if reads else self._writes) as left_ms:
            answer = await to_thread.run_sync(self._work, scope, source, rest, body, reads, event_id, left_ms, limiter=self._threads)
        if answer.created:
            scope["state"]["target"] = {"id": answer.created}
        return answer

    async def _admit(self, scope: Any, source: str) -> Caller:
        try:
            return await admit_source(self._desk, scope["headers"], source)
        except Refusal as refusal:
            raise self._desk.slow_down(refusal, self._desk.client(scope)) from None

    def _work(self, scope: Any, source: str, rest: str, body: bytes, reads: bool, event_id: str, left_ms: int) -> Answer:
        """Runs on a thread."""
        from api.scim.answering import answer
        from api.scim.storage import PushStorage

        context = self._desk.context
        storage = PushStorage(context.store, source, context.applied, reads=reads, patience_ms=left_ms)
        return answer(storage, _request(scope, f"{context.settings.public_url}{PREFIX}/{source}", rest, body), event_id)


@asynccontextmanager
async def _turn(turns: Semaphore) -> AsyncIterator[int]:
    """Wait for one's turn, and yield how long may still be waited for the store (ms), whoever queues before it. Raises StoreUnavailable."""
    began = monotonic()
    try:
        with fail_after(PATIENCE_MS / 1000):
            await turns.acquire()
    except TimeoutError:
        raise StoreUnavailable("store_unavailable", "Pushes wait for others that wait for the store.", "") from None
    try:
        yield max(1, PATIENCE_MS - int((monotonic() - began) * 1000))
    finally:
        turns.release()


def _spelt(path: str) -> str:
    """Return the path below a source as the RFC spells it: no slashes around it, no suffix, and the endpoint in its own upper and lower case."""
    head, slash, rest = path.strip("/").removesuffix(".scim").partition("/")
    return _ENDPOINTS.get(head.lower(), head) + slash + rest


async def _read_body(scope: Any, receive: Any, most: int) -> bytes:
    """Return the body, refused as soon as it is too large: what follows is thrown away by the server. Raises Refusal."""
    too_large = Refusal(413, "body_too_large", f"A body has at most {most} octets here.")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise too_large
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "malformed_request", "The request ended before its body did.")
        parts.append(part := message.get("body", b""))
        size, more = size + len(part), message.get("more_body", False)
        if size > most:
            raise too_large
    return b"".join(parts)


def _request(scope: Any, url: str, rest: str, body: bytes) -> ScimRequest:
    from scim2_server.requests import ScimRequest

    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    return ScimRequest(method=scope["method"], base_url=url, path="/" + rest, query=_query(scope), headers=headers, body=body)


def _query(scope: Any) -> dict[str, str]:
    """Return the parameters. Raises Refusal for what could be read in two ways: a filter that is left out would find everybody."""
    try:
        said = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refusal(400, "malformed_request", "A request has at most 100 parameters.") from None
    known = [(_PARAMETERS[name.lower()], value) for name, value in said if name.lower() in _PARAMETERS]
    if len(query := dict(known)) < len(known):
        raise Refusal(400, "malformed_request", "A parameter is said twice.")
    return {**dict(said), **query}


def _note_write(scope: Any, source: str, rest: str) -> None:
    """Say what the request is about, for the audit record that the front makes of every write."""
    kind, _, resource = rest.partition("/")
    shown = kind if kind in _ENDPOINTS.values() else "{endpoint}"  # whatever else stands there may be a secret in a wrong place
    scope["path_template"] = f"{PREFIX}/{{source}}/{shown}" + ("/{id}" if resource else "")
    scope["path_params"] = {"source": source, **({"id": resource} if resource else {})}
