"""The OpenAPI document: the routes of the app, their types, and the facts that hold for many of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import NoneType
from typing import Any, get_args

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition

from api import shapes
from api.auth.admitting import admit_admin, admit_local, admit_monitoring, admit_operator
from api.checking import without_none
from api.description import facts
from api.description.examples import EXAMPLES
from api.errors import ErrorBody, Refusal, error_body
from sync.store.keys import KeyPage
from sync.store.views import UserPage

JSON, TEXT = "application/json", "text/plain"
_EVENT_ID = "7c1f0e5b9a3d4c2688e0f1a2b3c4d5e6"
_SHAPES = "#/components/schemas/{name}"
_ADMIN, _NOBODY = {"bearer": ["admin"]}, dict[str, list[str]]()
_ROLES: dict[Any, list[dict[str, list[str]]]] = {
    admit_admin: [_ADMIN],
    admit_operator: [{"bearer": ["operator"]}, _ADMIN],
    admit_local: [_NOBODY, _ADMIN],
    admit_monitoring: [_NOBODY, _ADMIN, {"bearer": ["metrics"]}],
}
"""Guard to who passes it, as security requirements; an empty one is nobody in particular, on this machine."""

_VERSIONED = {"look_up_by_email", "look_up_by_email_in_governance", "look_up_me", "show_key", "change_key"}
_CONDITIONAL = {"change_key", "rotate_key", "delete_key"}
_EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["progress", "done", "bye", "error"]}, "data": {"type": "string", "contentMediaType": JSON}},
    "required": ["event", "data"],
}
_STREAM = 'event: progress\r\ndata: {"state":"running","phase":"read","pages":3}\r\n\r\nevent: done\r\ndata: {"run":{}}\r\n\r\n'
_JWK = {"kty": "EC", "crv": "P-256", "kid": "8d0c1f", "use": "sig", "alg": "ES256", "x": "…", "y": "…"}
_OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "show_metrics": (TEXT, {"schema": {"type": "string"}}),
    "show_docs": ("text/html", {"schema": {"type": "string"}}),
    "show_openapi": (JSON, {"schema": {"type": "object"}}),
    "show_jwks": ("application/jwk-set+json", {"schema": {"type": "object", "required": ["keys"]}, "example": {"keys": [_JWK]}}),
    "watch_run": ("text/event-stream", {"schema": _EVENT, "example": _STREAM}),
}
"""What is answered in no shape of ours: its media type and what is said of it."""


@lru_cache(2)
def describe(app: Litestar, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the app's routes, ready for JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, handler in _handlers(route):
                paths.setdefault(route.path_format, {})[method.lower()] = _operation(route.path_format, method, handler)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rosterd", "version": version, "description": facts.ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "This one."}],
        "tags": [{"name": name, "description": text} for name, text in facts.TAGS.items()],
        "paths": dict(sorted(paths.items(), key=_place)),
        "components": {
            "securitySchemes": facts.SCHEMES,
            "schemas": _schemas(),
            "headers": {name: _header(name) for name in facts.HEADERS},
            "examples": {_example_name(code): _example(code) for code in facts.CODES},
        },
    }


def _handlers(route: HTTPRoute) -> Iterator[tuple[str, HTTPRouteHandler]]:
    for method, found in route.route_handler_map.items():
        handler = found[0] if isinstance(found, tuple) else found
        if handler.operation_id:
            yield str(method), handler


def _place(path: tuple[str, dict[str, Any]]) -> int:
    """Return where a path stands among all: as its first operation does in the table of operations."""
    return min(list(facts.OPERATIONS).index(operation["operationId"]) for operation in path[1].values())


def _operation(path: str, method: str, handler: HTTPRouteHandler) -> dict[str, Any]:
    name = str(handler.operation_id)
    summary, codes = facts.OPERATIONS[name]
    tags = handler.resolve_tags()
    security = _security(handler, tags)
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": tags,
        "summary": summary,
        "description": " ".join((handler.fn.__doc__ or "").split()),
        "security": security,
        "parameters": [*_parameters(name, path, handler), *_conditions(name)],
        "responses": _successes(name, handler) | _errors(_codes(path, method, handler, security) + codes),
    }
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is not None:
        shape = _shape(data.annotation)
        content = {JSON: {"schema": _schema(data.annotation), "example": EXAMPLES[shape]}}
        operation["requestBody"] = {"required": data.default is not None, "content": content}
    if name == "ready":
        operation["responses"]["503"] = _answer("It cannot, and `why` says why.", "Readiness", headers=("Retry-After",))
    return operation


def _security(handler: HTTPRouteHandler, tags: list[str]) -> list[dict[str, list[str]]]:
    guarded = [one for guard in handler.resolve_guards() for one in _ROLES[guard]]
    if "lookup" in tags:
        return [{name: []} for name in facts.SCHEMES]
    return guarded


def _codes(path: str, method: str, handler: HTTPRouteHandler, security: list[dict[str, list[str]]]) -> tuple[str, ...]:
    """Return the errors that follow from what kind of route it is."""
    parameters = handler.parsed_fn_signature.parameters
    codes = facts.EVERYWHERE + (facts.AUTHENTICATED if security else ())
    codes += facts.WRITES if method != "GET" else ()
    codes += facts.BODIES if "data" in parameters else ()
    codes += ("400 malformed_path",) if "{" in path else ()
    return codes + (("400 invalid_parameter",) if any(_is_query(path, field) for field in parameters.values()) else ())


def _is_query(path: str, field: FieldDefinition) -> bool:
    return field.name not in ("request", "scope", "data") and f"{{{field.name}}}" not in path


def _parameters(operation: str, path: str, handler: HTTPRouteHandler) -> Iterator[dict[str, Any]]:
    for field in handler.parsed_fn_signature.parameters.values():
        if field.name in ("request", "scope", "data"):
            continue
        wanted = field.kwarg_definition
        name = getattr(wanted, "name", None) or field.name
        said, query = facts.PARAMETERS[name], _is_query(path, field)
        schema = _schema(without_none(field.annotation)) | said.schema | facts.NARROWER.get((operation, name), {}) | _bounds(wanted)
        if query and isinstance(field.default, (str, int)):
            schema["default"] = field.default
        if not query:
            schema.setdefault("minLength", 1)
        required = not query or field.default is Ellipsis or field.is_required
        yield _parameter(name, "query" if query else "path", schema, required)


def _conditions(operation: str) -> Iterator[dict[str, Any]]:
    if operation.startswith("look_up"):
        yield _parameter("If-None-Match", "header", {"type": "string"}, False)
    if operation in _CONDITIONAL:
        yield _parameter("If-Match", "header", {"type": "string"}, False)


def _parameter(name: str, place: str, schema: dict[str, Any], required: bool) -> dict[str, Any]:
    said = facts.PARAMETERS[name]
    example = {} if said.example is None else {"example": said.example}
    return {"name": name, "in": place, "required": required, "description": said.description, "schema": schema, **example}


def _bounds(wanted: Any) -> dict[str, Any]:
    known = {"minimum": "ge", "maximum": "le", "maxLength": "max_length"}
    found = {keyword: getattr(wanted, name, None) for keyword, name in known.items()}
    return {keyword: value for keyword, value in found.items() if value is not None}


def _successes(name: str, handler: HTTPRouteHandler) -> dict[str, Any]:
    status = str(handler.status_code)
    headers: tuple[str, ...] = ("ETag",) if name in _VERSIONED else ()
    if name.startswith("look_up"):
        headers = ("ETag", "X-Roster-Synced-At")
        found = _answer("The user's keys, active first; as `text/plain` the first active value and a newline.", "LookupAnswer", headers=headers)
        found["content"][TEXT] = {"schema": {"type": "string"}, "example": f"{EXAMPLES['LookupAnswer']['virtual_keys'][0]['value']}\n"}
        none = {"204": _bare("`Accept: text/plain`, and no key is active.", headers), "304": _bare("It is what `If-None-Match` names.", headers)}
        return {status: found, **none}
    if name in _OTHERS:
        kind, content = _OTHERS[name]
        found = _bare(facts.OPERATIONS[name][0] + ".", ()) | {"content": {kind: content}}
        if name == "show_jwks":
            found["headers"]["Cache-Control"] = {"description": "How long a verifier may go on with what it has.", "schema": {"type": "string"}}
        return {status: found}
    text = "The run that will do it." if status == "202" else "Done." if "data" in handler.parsed_fn_signature.parameters else "As asked."
    return {status: _answer(text, _shape(handler.parsed_fn_signature.return_type.annotation), headers=headers)}


def _answer(text: str, shape: str, *, headers: Iterable[str]) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": _SHAPES.format(name=shape)}, "example": EXAMPLES[shape]}}
    return _bare(text, headers) | {"content": content}


def _bare(text: str, headers: Iterable[str]) -> dict[str, Any]:
    names = ("X-Request-Id", "Cache-Control", *headers)
    return {"description": text, "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def _errors(codes: Iterable[str]) -> dict[str, Any]:
    """Return the error answers of a route: one for each status, with an example for each code."""
    found: dict[str, Any] = {}
    for code in sorted(set(codes)):
        status = code[:3]
        if status not in found:
            content = {JSON: {"schema": {"$ref": _SHAPES.format(name="ErrorBody")}, "examples": {}}}
            found[status] = _bare(facts.STATUSES[int(status)], facts.WITH_STATUS.get(int(status), ())) | {"content": content}
        found[status]["content"][JSON]["examples"][code[4:]] = {"$ref": f"#/components/examples/{_example_name(code)}"}
    return found


def _example_name(code: str) -> str:
    return code.replace(" ", "_")


def _example(code: str) -> dict[str, Any]:
    message, param = facts.CODES[code]
    body = error_body(Refusal(int(code[:3]), code[4:], message, param=param), _EVENT_ID)
    return {"value": msgspec.json.decode(body)}


def _header(name: str) -> dict[str, Any]:
    said = dict(facts.HEADERS[name])
    return {"description": said.pop("description"), "required": name != "X-Roster-Synced-At", "schema": {"type": "string", **said}}


def _schemas() -> dict[str, Any]:
    """Return the schemas of all shapes. What may be left out of an answer is never null there; what may be null in a request may."""
    wanted = [one for one in vars(shapes).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    _, found = msgspec.json.schema_components([*wanted, UserPage, KeyPage, ErrorBody], ref_template=_SHAPES)
    for shape, schema in found.items():
        for name, member in schema.get("properties", {}).items():
            if schema.get("additionalProperties") is not False and {"type": "null"} in member.get("anyOf", ()):
                (schema["properties"][name],) = (one for one in member["anyOf"] if one != {"type": "null"})
        rule = dict(facts.RULES.get(shape, {}))
        schema["properties"] = schema.get("properties", {}) | rule.pop("properties", {})
        schema.update(rule)
    return dict(sorted(found.items()))


def _schema(annotation: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([annotation], ref_template=_SHAPES)
    return schema


def _shape(annotation: Any) -> str:
    """Return the name of the shape inside an annotation such as Response[KeyAnswer] or RotateRequest | None."""
    inner = [one for one in get_args(annotation) if one is not NoneType]
    return re.sub(r"\W", "", (inner[0] if inner else annotation).__name__)
