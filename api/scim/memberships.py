"""The changes that providers send most: somebody joins or leaves a group. They are done without reading the group, be it ever so large."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec
from scim2_models import NotFoundException
from scim2_server.conditions import Conditions
from scim2_server.responses import ScimResponse

from api.scim.limits import LONGEST_TEXT
from api.scim.storage import PushStorage, version_of
from sync.store.pushedkeeping import Shelf

_PATCH = "urn:ietf:params:scim:api:messages:2.0:patchop"
_ONE = re.compile(r'members\[value\s+eq\s+"([^"\\\x00]*)"\]', re.IGNORECASE)
_KNOWN = {"value": "value", "display": "display", "type": "type", "$ref": "$ref"}
"""What is kept of a member, by its name in lower case."""


class Step(msgspec.Struct, frozen=True):
    """One operation on the members of a group: `entries` None = all of them."""

    op: str
    entries: tuple[dict[str, Any], ...] | None


def read_steps(body: bytes) -> list[Step] | None:
    """Return the operations of a PATCH that concerns members only and says so plainly; None for any other, which takes the long way."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    said = _lower(said)
    if said is None or not isinstance(said.get("operations"), list) or not said["operations"]:
        return None
    schemas = said.get("schemas")
    if not isinstance(schemas, list) or [str(one).lower() for one in schemas] != [_PATCH]:
        return None
    steps = [_step(_lower(one)) for one in said["operations"]]
    return [step for step in steps if step is not None] if None not in steps else None


def apply_steps(storage: PushStorage, group_id: str, steps: list[Step], conditions: Conditions) -> ScimResponse:
    """Do the operations in one transaction. Raises NotFoundException, PreconditionFailedException."""
    with storage.shelf() as shelf:
        before = shelf.group(group_id)
        if before is None:
            raise NotFoundException(detail="There is no such resource")
        conditions.check(version_of(before), "PATCH")
        changed = [_apply(shelf, group_id, step) for step in steps]
        if any(changed):
            shelf.stamp_group(group_id)
        now = shelf.group(group_id) or before
        return ScimResponse(HTTPStatus.NO_CONTENT, None, {"ETag": version_of(now)})


def _apply(shelf: Shelf, group_id: str, step: Step) -> bool:
    if step.op == "add":
        return shelf.memberships.add(group_id, step.entries or ())
    if step.op == "remove" and step.entries is not None:
        return shelf.memberships.take(group_id, (entry["value"] for entry in step.entries))
    return shelf.memberships.replace(group_id, step.entries or ())


def _step(said: dict[str, Any] | None) -> Step | None:
    if said is None or not isinstance(op := said.get("op"), str) or (op := op.lower()) not in ("add", "remove", "replace"):
        return None
    path, value = said.get("path"), said.get("value")
    if path is None and op != "remove" and isinstance(value, dict) and [name.lower() for name in value] == ["members"]:
        path, value = "members", next(iter(value.values()))
    if not isinstance(path, str):
        return None
    if op == "remove" and value is None and (one := _ONE.fullmatch(path)):
        return Step(op, ({"value": one.group(1)},))
    if path.lower() != "members":
        return None
    if op == "remove" and value is None:
        return Step(op, None)
    entries = _entries(value)
    return None if entries is None else Step(op, entries)


def _entries(value: Any) -> tuple[dict[str, Any], ...] | None:
    listed = value if isinstance(value, list) else [value]
    entries = [_entry(_lower(one)) for one in listed]
    return None if None in entries else tuple(entry for entry in entries if entry is not None)


def _entry(said: dict[str, Any] | None) -> dict[str, Any] | None:
    if said is None or not isinstance(value := said.get("value"), str) or not 0 < len(value) <= LONGEST_TEXT:
        return None
    entry = {name: said[key] for key, name in _KNOWN.items() if said.get(key) is not None}
    return entry if all(isinstance(text, str) for text in entry.values()) else None


def _lower(said: Any) -> dict[str, Any] | None:
    """Return an object with its names in lower case (RFC 7643 section 2.1), None for what is no object or says something twice."""
    if not isinstance(said, dict):
        return None
    lowered = {name.lower(): value for name, value in said.items()}
    return lowered if len(lowered) == len(said) else None
