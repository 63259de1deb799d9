"""PATCH before scim2-models reads it: no more of it than can be done, and in its words what providers write otherwise than RFC 7644 does."""

from __future__ import annotations

import json
from typing import Any

from scim2_models import InvalidPathException, InvalidValueException

from api.scim.limits import LONGEST_PATH, MOST_OPERATIONS


def check_size(body: bytes) -> None:
    """Refuse a PATCH of too many operations, or with a path too long, before anything costly is done with it.

    Raises InvalidValueException, InvalidPathException.
    """
    operations = [one for listed in _operations(_decoded(body)).values() for one in listed]
    if len(operations) > MOST_OPERATIONS:
        raise InvalidValueException(detail=f"A PATCH has at most {MOST_OPERATIONS} operations")
    if any(len(path) > LONGEST_PATH for one in operations if isinstance(one, dict) for path in _paths(one)):
        raise InvalidPathException(detail=f"A path has at most {LONGEST_PATH} characters")


def spread(body: bytes) -> bytes:
    """Return a PATCH in which a key like `emails[type eq "work"].value`, written into a value without a path (Entra ID), is the path of an
    operation of its own: as a key it would name nothing. Anything else is returned as it came, for others to judge."""
    if b"[type eq" not in body.lower():
        return body
    said = _decoded(body)
    operations = {name: [part for one in listed for part in _parts(one)] for name, listed in _operations(said).items()}
    return json.dumps({**said, **operations}).encode() if operations else body


def _decoded(body: bytes) -> dict[str, Any]:
    """Return what a body says, nothing where it cannot be read. Not by msgspec: scim2-models reads NaN too, and would be told nothing of it."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _operations(said: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the operations, by the name they stand under in whatever case."""
    return {name: value for name, value in said.items() if name.lower() == "operations" and isinstance(value, list)}


def _paths(operation: dict[str, Any]) -> list[str]:
    """Return what may be read as a path: `path`, and the keys of a value."""
    said = [value for name, value in operation.items() if name.lower() == "path" and isinstance(value, str)]
    keys = [list(value) for name, value in operation.items() if name.lower() == "value" and isinstance(value, dict)]
    return said + [key for one in keys for key in one]


def _parts(operation: Any) -> list[Any]:
    value = operation.get("value") if isinstance(operation, dict) else None
    if not isinstance(value, dict) or operation.get("path") is not None:
        return [operation]
    filtered = {key: one for key, one in value.items() if "[" in key}
    if not filtered:
        return [operation]
    plain = {key: one for key, one in value.items() if "[" not in key}
    parts = [{**operation, "path": key, "value": one} for key, one in filtered.items()]
    return [{**operation, "value": plain}, *parts] if plain else parts
