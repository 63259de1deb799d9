"""As much of SCIM's filters as a provider in tests needs (RFC 7644 section 3.4.2.2): comparisons, joined by and, or and parentheses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(r'\s*(\(|\)|"(?:[^"\\]|\\.)*"|[^\s()]+)')


def matches(resource: dict[str, Any], text: str) -> bool:
    """Tell whether a resource matches a filter; strings compare without case."""
    tokens = _TOKEN.findall(text)
    value = _either(resource, tokens)
    assert not tokens, f"{text} goes on after its end: {tokens}"
    return value


def _either(resource: dict[str, Any], tokens: list[str]) -> bool:
    value = _both(resource, tokens)
    while tokens and tokens[0].lower() == "or":
        tokens.pop(0)
        value = _both(resource, tokens) or value
    return value


def _both(resource: dict[str, Any], tokens: list[str]) -> bool:
    value = _one(resource, tokens)
    while tokens and tokens[0].lower() == "and":
        tokens.pop(0)
        value = _one(resource, tokens) and value
    return value


def _one(resource: dict[str, Any], tokens: list[str]) -> bool:
    if tokens[0] == "(":
        tokens.pop(0)
        value = _either(resource, tokens)
        assert tokens.pop(0) == ")"
        return value
    attribute, operator, wanted = tokens.pop(0), tokens.pop(0).lower(), json.loads(tokens.pop(0))
    return any(_holds(operator, value, wanted) for value in _values(resource, attribute.split(".")))


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for inner in value:
            yield from _values(inner, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        lowered = {name.lower(): inner for name, inner in value.items()}
        if path[0].lower() in lowered:
            yield from _values(lowered[path[0].lower()], path[1:])


def _holds(operator: str, value: Any, wanted: Any) -> bool:
    a, b = (one.lower() if isinstance(one, str) else one for one in (value, wanted))
    return bool({"eq": a == b, "ge": str(a) >= str(b), "gt": str(a) > str(b)}[operator])
