"""Requests are taken as strictly as the description says: no member or parameter twice, no text where a number belongs, no endless nesting."""

from __future__ import annotations

import json
import re
from collections import Counter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from litestar.exceptions import InternalServerException
from litestar.handlers import HTTPRouteHandler
from litestar.typing import FieldDefinition

from api.desk import Call
from api.errors import Refusal

_NAME = re.compile(r"[a-z_]{1,32}")
_MEMBER = re.compile(r"field `([^`]+)`|at `\$\.([^`]+)`")


async def check_request(request: Call) -> None:
    """Refuse a query or a body that the route does not take. Runs after the bearer was let in. Raises Refusal."""
    handler = request.route_handler
    if not isinstance(handler, HTTPRouteHandler):
        return
    parameters = handler.parsed_fn_signature.parameters
    fields = {getattr(field.kwarg_definition, "name", None) or name: field for name, field in parameters.items()}
    _check_query(request.scope["query_string"], {name: fields[name] for name in fields.keys() - {"request", "data", *request.path_params}})
    try:
        body = await request.body()
    except InternalServerException:
        raise Refusal(400, "malformed_request", "The body ended before its end.") from None
    if "data" in parameters and (body or parameters["data"].is_required):
        _check_body(body, parameters["data"].annotation)


def without_none(annotation: Any) -> Any:
    """Return the X of an annotation X | None, and any other as it is."""
    kinds = [one for one in get_args(annotation) if one is not NoneType]
    return kinds[0] if get_origin(annotation) in (Union, UnionType) and len(kinds) == 1 else annotation


def _check_query(query: bytes, fields: dict[str, FieldDefinition]) -> None:
    """A query has no null: leaving a parameter out is how to say nothing. What is not a parameter of the route is not looked at."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    counts = Counter(name for name, _ in pairs)
    for name in [name for name, field in fields.items() if field.is_required and name not in counts]:
        raise Refusal(400, "invalid_parameter", "This parameter is missing.", param=name)
    for name, value in pairs:
        if name not in fields:
            continue
        if counts[name] > 1:
            raise Refusal(400, "invalid_parameter", "This parameter is there more than once.", param=name)
        try:
            msgspec.convert(value, without_none(fields[name].annotation), strict=False)
        except msgspec.ValidationError as error:
            raise Refusal(400, "invalid_parameter", _say(error), param=name) from None


def _check_body(body: bytes, shape: Any) -> None:
    try:
        msgspec.convert(json.loads(body.decode(), object_pairs_hook=_unique, parse_float=_number, parse_constant=_refuse), shape)
    except msgspec.ValidationError as error:
        member = _MEMBER.search(str(error))
        raise Refusal(400, "invalid_parameter", _say(error), param=_named(member[1] or member[2]) if member else "") from None
    except (ValueError, RecursionError):
        raise Refusal(400, "malformed_request", "The body is no JSON in UTF-8, or nested without end.") from None


def _say(error: msgspec.ValidationError) -> str:
    """Return what is wrong, without what was sent: it may be a secret in a wrong place."""
    message = str(error).partition(" - at ")[0]
    if message.startswith("Invalid enum value"):
        return "This is none of the values that are taken here."
    return "There is no such member." if "unknown field" in message else message


def _named(member: str) -> str:
    """Return the name of a member where it looks like one."""
    return member if _NAME.fullmatch(member) else ""


def _number(text: str) -> int | float:
    """Return a number: JSON knows one kind only, and 5.0 is the integer 5 (JSON Schema, section 6.1.1 of its validation part)."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _refuse(text: str) -> float:
    raise ValueError(text)  # Infinity and NaN, which Python reads and JSON does not know


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise Refusal(400, "duplicate_member", "This member is there more than once.", param=_named(twice))
    return found
