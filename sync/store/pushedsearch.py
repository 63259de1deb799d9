"""Searching what a provider has pushed: conditions as values, which become SQL with bound values only."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, text

from sync.store.pushedkeeping import Kept, kept

Value = str | float | bool | None
Kind = Literal["user", "group"]


class Compare(msgspec.Struct, frozen=True):
    """A column against a value, by an operator of RFC 7644 section 3.4.2.2. Texts are given in the form the column is kept in; times in ms."""

    column: str
    op: Literal["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
    value: Value


class Present(msgspec.Struct, frozen=True):
    """The column has a value, and not an empty one."""

    column: str


class Among(msgspec.Struct, frozen=True):
    """At least one address ("emails"), or one of a group ("members"), fulfils the condition."""

    rows: Literal["emails", "members"]
    condition: Condition


class Every(msgspec.Struct, frozen=True):
    """All of the conditions; everything fulfils none."""

    conditions: tuple[Condition, ...] = ()


class Either(msgspec.Struct, frozen=True):
    """At least one of the conditions; nothing fulfils none."""

    conditions: tuple[Condition, ...] = ()


class Opposite(msgspec.Struct, frozen=True):
    """Not the condition."""

    condition: Condition


Condition = Compare | Present | Among | Every | Either | Opposite

_TABLES = {"user": "pushed_user", "group": "pushed_group"}
_COLUMNS = {
    "user": {
        "id", "external_id", "user_name_key", "display_name_key", "given_name_key", "family_name_key", "active", "created_at", "modified_at",
    },
    "group": {"id", "external_id", "display_name_key", "created_at", "modified_at"},
    "emails": {"value_key", "type_key", "is_primary"},
    "members": {"value"},
}  # fmt: skip
_ROWS = {
    "emails": "select 1 from pushed_email i where i.source = r.source and i.user_id = r.id",
    "members": "select 1 from pushed_membership i where i.source = r.source and i.group_id = r.id",
}


def count(connection: Connection, source: str, kind: Kind, condition: Condition) -> int:
    """Return how many resources of a source fulfil a condition."""
    where, facts = _where(kind, condition)
    found = connection.execute(text(f"select count(*) from {_TABLES[kind]} r where {where}"), {**facts, "source": source})
    return int(found.scalar_one())


def search(connection: Connection, source: str, kind: Kind, condition: Condition, *, after: int, most: int | None) -> list[Kept]:
    """Return the resources of a source that fulfil a condition, oldest first: `after` so many, at most so many more."""
    where, facts = _where(kind, condition)
    columns = "r.id, r.external_id, r.resource, r.version, r.created_at, r.modified_at"
    limit = "limit :most" if most is not None else "limit 9223372036854775807"  # SQLite knows no offset without a limit
    query = text(f"select {columns} from {_TABLES[kind]} r where {where} order by r.id {limit} offset :after")
    bounds = {"after": after} if most is None else {"after": after, "most": most}
    return [kept(row) for row in connection.execute(query, {**facts, **bounds, "source": source})]


def _where(kind: Kind, condition: Condition) -> tuple[str, dict[str, Any]]:
    writer = _Writer(kind)
    stands = " and r.deleted_at is null" if kind == "user" else ""
    return f"r.source = :source{stands} and {writer.write(condition, 'r', kind)}", writer.facts


class _Writer:
    """Writes conditions as SQL whose truth is never unknown: a comparison with nothing is false, and its opposite true."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.facts: dict[str, Any] = {}

    def write(self, condition: Condition, row: str, rows: str) -> str:
        match condition:
            case Every(conditions):
                return f"({' and '.join(self.write(one, row, rows) for one in conditions)})" if conditions else "(1 = 1)"
            case Either(conditions):
                return f"({' or '.join(self.write(one, row, rows) for one in conditions)})" if conditions else "(1 = 0)"
            case Opposite(inner):
                return f"(not {self.write(inner, row, rows)})"
            case Among(name, inner):
                return f"(exists ({_ROWS[name]} and {self.write(inner, 'i', name)}))"
            case Present(column):
                return self._present(_column(column, row, rows))
            case Compare(column, op, value):
                return self._compare(_column(column, row, rows), op, value)

    def _present(self, column: str) -> str:
        textual = not column.endswith(("_at", "active", "is_primary"))
        return f"({column} is not null and {column} <> '')" if textual else f"({column} is not null)"

    def _compare(self, column: str, op: str, value: Value) -> str:
        if value is None:
            return {"eq": f"({column} is null)", "ne": f"({column} is not null)"}.get(op, "(1 = 0)")
        name = self._bind(value)
        if op == "ne":
            return f"({column} is null or {column} <> {name})"
        return f"({column} is not null and {self._test(column, op, value, name)})"

    def _test(self, column: str, op: str, value: Value, name: str) -> str:
        if op in _SIGNS:
            return f"{column} {_SIGNS[op]} {name}"
        if not isinstance(value, str):
            return "1 = 0"
        if not value:
            return "1 = 1"
        size = self._bind(len(value))
        # Not LIKE: to SQLite it is blind to case, and its wildcards would have to be escaped.
        return {
            "co": f"replace({column}, {name}, '') <> {column}",
            "sw": f"substr({column}, 1, {size}) = {name}",
            "ew": f"length({column}) >= {size} and substr({column}, length({column}) - {size} + 1) = {name}",
        }[op]

    def _bind(self, value: Value) -> str:
        name = f"v{len(self.facts)}"
        self.facts[name] = value
        return f":{name}"


_SIGNS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _column(name: str, row: str, rows: str) -> str:
    """Return a column as SQL; names come from our own tables of names, never from outside, and this keeps it so."""
    if name not in _COLUMNS[rows]:
        raise LookupError(f"{rows} have no column {name}")
    return f"{row}.{name}"
