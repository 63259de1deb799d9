"""What providers write otherwise than RFC 7644 does and scim2-models does not know yet, put into its words."""

from __future__ import annotations

from typing import Any

import msgspec


def spread(body: bytes) -> bytes:
    """Return a PATCH in which a key like `emails[type eq "work"].value`, written into a value without a path (Entra ID), is the path of an
    operation of its own: as a key it would name nothing. Anything else is returned as it came, for others to judge."""
    if b"[type eq" not in body.lower():
        return body
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    name = next((name for name in said if name.lower() == "operations"), None) if isinstance(said, dict) else None
    if name is None or not isinstance(said[name], list):
        return body
    said[name] = [part for operation in said[name] for part in _parts(operation)]
    return msgspec.json.encode(said)


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
