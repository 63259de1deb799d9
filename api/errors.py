"""Every error under /api in one shape, and which of our failures becomes which status (docs/errors.md lists the codes)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from litestar.exceptions import HTTPException

from sync.errors import Conflict, InvalidRequest, NotFound, RosterError, StoreUnavailable

_log = logging.getLogger(__name__)

RETRY_SECONDS = 5
"""What a 503 asks a caller to wait."""

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


_NOT_THERE = {
    "run_not_found": "There is no such run, or several begin so.",
    "source_not_found": "There is no such source.",
    "token_not_found": "There is no such token.",
    "user_not_found": "There is no such user.",
    "virtual_key_not_found": "There is no such key.",
}
"""What was asked for is not repeated: it may be a secret in a wrong place, and errors are kept in many logs."""


class Refusal(Exception):
    """A request that is answered with an error. `headers` are sent with it; `param` names the one parameter at fault."""

    def __init__(self, status: int, code: str, message: str, *, param: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = tuple(headers)


class Fault(msgspec.Struct, kw_only=True, omit_defaults=True):
    type: str
    code: str
    message: str
    param: str | None = None
    event_id: str


class ErrorBody(msgspec.Struct, kw_only=True):
    """The one error body (contract of the gateway's management API)."""

    event_id: str
    type: str
    is_bifrost_error: bool
    status_code: int
    error: Fault
    extra_fields: dict[str, str]


def error_body(refusal: Refusal, event_id: str) -> bytes:
    """Return the JSON of an error."""
    kind = _TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
    fault = Fault(type=kind, code=refusal.code, message=refusal.message, param=refusal.param or None, event_id=event_id)
    body = ErrorBody(event_id=event_id, type="error", is_bifrost_error=True, status_code=refusal.status, error=fault, extra_fields={})
    return msgspec.json.encode(body)


def unauthenticated() -> Refusal:
    """The one answer to every credential that is missing, malformed, unknown, expired, revoked or forged: no detail to the caller."""
    return Refusal(401, "not_authenticated", "This needs a valid bearer token.", headers=(("WWW-Authenticate", "Bearer"),))


def not_permitted() -> Refusal:
    """The answer to a valid bearer whose role does not reach this route."""
    return Refusal(403, "role_not_permitted", "This bearer's role does not permit this.")


def refuse(error: Exception, event_id: str) -> Refusal:
    """Return how any exception is answered; what the caller must not see goes to the log under the event id."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NotFound):
        return Refusal(404, error.code, _NOT_THERE.get(error.code, "There is no such thing."))
    if isinstance(error, Conflict):
        return Refusal(409, error.code, str(error))
    if isinstance(error, InvalidRequest):
        return Refusal(400, error.code, str(error), param=error.param)
    if isinstance(error, StoreUnavailable):
        _log.error("the store did not answer", extra={"event_id": event_id, "code": error.code, "why": str(error)})
        retry = (("Retry-After", str(RETRY_SECONDS)),)
        return Refusal(503, "store_unavailable", "The store cannot answer now; the log of rosterd says why.", headers=retry)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _refuse_http(error)
    facts = {"event_id": event_id, "code": error.code} if isinstance(error, RosterError) else {"event_id": event_id}
    _log.error("unexpected error", extra=facts, exc_info=error)
    return Refusal(500, "internal_error", "Something went wrong inside rosterd; its log has the details under this event id.")


def _refuse_http(error: HTTPException) -> Refusal:
    """Translate what Litestar found wrong with a request."""
    status = error.status_code
    if status == 404:
        return Refusal(404, "route_not_found", "There is no such route.")
    if status == 405:
        headers = [("Allow", value) for name, value in (error.headers or {}).items() if name.lower() == "allow"]
        return Refusal(405, "method_not_allowed", "This route does not know this method.", headers=headers)
    if status == 413:
        return Refusal(413, "body_too_large", "The body is larger than this route takes.")
    if status != 400:
        return Refusal(status, "request_refused", HTTPStatus(status).phrase)
    return _refuse_input(error)


def _refuse_input(error: HTTPException) -> Refusal:
    mistakes = error.extra if isinstance(error.extra, list) else []
    if not mistakes:
        return Refusal(400, "malformed_request", "The request cannot be read: malformed JSON, or not the shape this route takes.")
    first = mistakes[0]
    param = str(first.get("key") or "")
    return Refusal(400, "invalid_parameter", str(first.get("message") or "This value is not accepted."), param=param)
