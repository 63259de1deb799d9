"""What a provider's answers are made of: objects whose names compare without case, lists of resources, and error texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from sync.errors import SourceRefused
from sync.sources.scim.translate import cut

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_anything = msgspec.json.Decoder().decode
_T = TypeVar("_T")
LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:listresponse"


class Malformed(ValueError):
    """It is not what it should be; the message says how, in a few words."""


class Listing(msgspec.Struct):
    """One page of a list (RFC 7644 section 3.4.2). `total` None = the provider does not count (RFC 9865 allows it)."""

    resources: list[msgspec.Raw]
    total: int | None
    next_cursor: str


def read_object(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the attributes of a JSON object by their names in lower case (RFC 7643 section 2.1). Raises Malformed."""
    try:
        found = _object(raw)
    except msgspec.ValidationError:
        raise Malformed("is no JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"is no JSON: {cut(str(error))}") from None
    lowered = {name.lower(): value for name, value in found.items()}
    if len(lowered) < len(found):
        raise Malformed("says an attribute twice, in other letters")
    return lowered


def value_of(raw: msgspec.Raw | None) -> Any:
    """Return any JSON value, None for one that is absent. Raises Malformed."""
    if raw is None:
        return None
    try:
        return _anything(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"is no JSON: {cut(str(error))}") from None


def lowered(value: object) -> Mapping[str, Any]:
    """Return a decoded object by its names in lower case; nothing of what is no object."""
    return {str(name).lower(): inner for name, inner in value.items()} if isinstance(value, dict) else {}


def read_listing(body: bytes, url: str) -> Listing:
    """Return one page. Raises SourceRefused for everything that is none: a login page, an error with status 200, half an answer."""
    try:
        return _listing(read_object(body))
    except Malformed as malformed:
        if body.lstrip()[:1] == b"<":
            why = f"{url} answered with a page for people, not with SCIM."
            raise SourceRefused("not_scim", why, "Check `url`, and that nothing before the provider asks for a login.") from None
        raise SourceRefused("malformed_answer", f"{url}: the answer {malformed}.", "See the provider's own log, and any proxy before it.") from None


def _listing(told: dict[str, msgspec.Raw]) -> Listing:
    total = _whole(value_of(told.get("totalresults")))
    schemas = value_of(told.get("schemas"))
    is_list = isinstance(schemas, list) and any(isinstance(one, str) and one.lower() == LIST_RESPONSE for one in schemas)
    cursor = value_of(told.get("nextcursor"))
    if cursor is not None and not isinstance(cursor, str):
        raise Malformed("has a nextCursor that is no text")
    listed = told.get("resources")
    if listed is None or bytes(listed) == b"null":
        if total is None or not is_list:  # an error in disguise must never pass for an empty directory
            raise Malformed("has no Resources, and is no empty list either")
        return Listing([], total, cursor or "")
    try:
        return Listing(_list(listed), total, cursor or "")
    except msgspec.ValidationError:
        raise Malformed("has Resources that are no list") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"is no JSON: {cut(str(error))}") from None


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def detail_of(body: bytes) -> str:
    """Return the text of an error answer (RFC 7644 section 3.12), "" if it has none."""
    try:
        told = read_object(body)
        detail, kind = value_of(told.get("detail")), value_of(told.get("scimtype"))
    except Malformed:
        return ""
    return cut(" ".join(text for text in (kind, detail) if isinstance(text, str)))
