"""One SCIM request, answered on a thread: read, checked, kept and written as octets. Nothing of it runs on the event loop."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from functools import cache

import msgspec
from scim2_models import InvalidValueException, NotFoundException, SCIMException
from scim2_server.handler import ScimHandler
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse

from api.errors import Refusal, refuse
from api.scim.dialects import check_size
from api.scim.faults import Answer, answer_refusal
from api.scim.memberships import apply_steps, read_steps
from api.scim.provider import describe
from api.scim.rules import PushRules
from api.scim.storage import PushStorage
from sync.errors import RosterError

_log = logging.getLogger(__name__)

sys.setswitchinterval(0.0005)  # lookups share the interpreter with these threads: they wait for a tenth as long as usual (seconds)


@cache
def _service() -> PushRules:
    return PushRules(describe())


def answer(storage: PushStorage, request: ScimRequest, event_id: str) -> Answer:
    """Return the answer to a request; every failure is one, in the form of RFC 7644 section 3.12."""
    try:
        return _encoded(_handle(storage, request))
    except SCIMException as error:
        return _encoded(_service().error_response(error))
    except RosterError as error:
        return answer_refusal(refuse(error, event_id))
    except Exception as error:
        # Neither the error's text nor the values of its frames: they may hold what was sent, and providers send passwords.
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.error("unexpected error in a SCIM request", extra={"event_id": event_id, "error": type(error).__name__, "where": where})
        return answer_refusal(Refusal(500, "internal_error", "Something went wrong inside rosterd; its log has the details under this event id."))


def _handle(storage: PushStorage, request: ScimRequest) -> ScimResponse:
    if b"\0" in request.body or b"\\u0000" in request.body:
        raise InvalidValueException(detail="NUL is no character of any value")
    if "\0" in request.path:
        raise NotFoundException(detail="There is no such resource")
    if request.method == "PATCH":
        check_size(request.body)
    segments = request.path.strip("/").split("/")
    plain = not {"attributes", "excludedAttributes"} & request.query.keys()
    if request.method == "PATCH" and len(segments) == 2 and segments[0].lower() == "groups" and plain:
        _service().ensure_json(request.header("Content-Type"))
        steps = read_steps(request.body)
        if steps is not None:
            return apply_steps(storage, segments[1], steps, _service().read_conditions(request))
        storage.leaves_members = b"members" not in request.body.lower() and b"\\u" not in request.body
    return ScimHandler(_service(), storage).handle(request)


def _encoded(response: ScimResponse) -> Answer:
    body = b"" if response.body is None else msgspec.json.encode(response.body)
    return Answer(int(response.status), _headers(response.headers, body), body, _id(response))


def _headers(said: Mapping[str, str], body: bytes) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in said.items() if body or name.lower() != "content-type")


def _id(response: ScimResponse) -> str:
    """Return the id of what was created, for the audit."""
    return str(response.body.get("id", "")) if response.status == 201 and response.body else ""
