"""From a SCIM filter (RFC 7644 section 3.4.2.2) to a condition of the store. What cannot be asked of the store is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from scim2_models import InvalidFilterException, Resource, ScimFilter
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
    coerce_value,
)
from scim2_models.path.expressions import STRING_OPERATORS
from scim2_server.utils import parametrize

from api.scim.texts import NO_TEXT, is_text
from sync.store import pushedsearch as store
from sync.store.folding import fold

Model = type[Resource[Any]]

_PLAIN = {
    "id": "id",
    "external_id": "external_id",
    "active": "active",
    "user_name": "user_name_key",
    "display_name": "display_name_key",
    "name.given_name": "given_name_key",
    "name.family_name": "family_name_key",
    "meta.created": "created_at",
    "meta.last_modified": "modified_at",
}
_INNER = {"emails": {"value": "value_key", "type": "type_key", "primary": "is_primary"}, "members": {"value": "value"}}
_NO_TEXTS = frozenset({"active", "is_primary", "created_at", "modified_at"})
_BOOLEANS = {"true": True, "false": False}


def compile_filter(asked: ScimFilter[Any] | None, model: Model) -> store.Condition:
    """Return the condition that a filter sets for resources of one model; an attribute of another model matches none of them.

    Raises InvalidFilterException for an attribute that cannot be searched by.
    """
    if asked is None:
        return store.Every()
    bound = parametrize(ScimFilter, model)(str(asked))
    return _Compiler(bound).visit(bound.ast)


class _Joining(FilterVisitor[store.Condition]):
    """What joins conditions, and means the same between brackets and outside."""

    def visit_logical_expr(self, node: LogicalExpr) -> store.Condition:
        terms = tuple(self.visit(term) for term in node.terms)
        return store.Every(terms) if node.op == LogicalOperator.and_ else store.Either(terms)

    def visit_not(self, node: Not) -> store.Condition:
        return store.Opposite(self.visit(node.expr))


class _Compiler(_Joining):
    def __init__(self, bound: ScimFilter[Any]) -> None:
        self._bound = bound

    def visit_present(self, node: Present) -> store.Condition:
        place = self._place(node.attr_path)
        if place is None:
            return store.Either()
        rows, column = place
        if rows is None:
            return store.Present(column)
        return store.Among(rows, store.Present(column) if node.attr_path.sub_attr else store.Every())

    def visit_comparison(self, node: Comparison) -> store.Condition:
        place = self._place(node.attr_path)
        binding = self._bound.resolve_comparison(node.attr_path, strict=False)
        if place is None or binding is None:
            return store.Either()
        rows, column = place
        value = binding.comparable(coerce_value(binding, node.value, node.op))
        return _compare(rows, column, node.op, _kept_form(value))

    def visit_value_path(self, node: ValuePath) -> store.Condition:
        binding = self._bound.resolve(node.attr_path, strict=False)
        if binding is None:
            return store.Either()
        if binding.field_name not in _INNER:
            raise _unsearchable(node.attr_path)
        return store.Among(binding.field_name, _InnerCompiler(binding.field_name).visit(node.val_filter))  # type: ignore[arg-type]

    def _place(self, path: AttrPath) -> tuple[Any, str] | None:
        """Return (rows or None, column) of an attribute, None for one that the model lacks."""
        binding = self._bound.resolve(path, strict=False)
        if binding is None:
            return None
        if binding.field_name in _INNER and binding.model is self._bound.model:
            column = _INNER[binding.field_name].get(binding.sub_field_name or "value")
            rows: str | None = binding.field_name
        else:
            name = f"{binding.field_name}.{binding.sub_field_name}" if binding.sub_field_name else binding.field_name
            column, rows = _PLAIN.get(name) if binding.model is self._bound.model else None, None
        if column is None:
            raise _unsearchable(path)
        return rows, column


class _InnerCompiler(_Joining):
    """What stands between the brackets of `emails[…]`."""

    def __init__(self, rows: str) -> None:
        self._rows = rows

    def visit_present(self, node: Present) -> store.Condition:
        return store.Present(self._column(node.attr_path))

    def visit_comparison(self, node: Comparison) -> store.Condition:
        column, value = self._column(node.attr_path), node.value
        if column == "is_primary":
            value = _BOOLEANS.get(value.lower(), value) if isinstance(value, str) else value
        elif isinstance(value, str) and self._rows == "emails":
            value = fold(value)
        return _plain(column, node.op, value)

    def visit_value_path(self, node: ValuePath) -> store.Condition:
        raise _unsearchable(node.attr_path)

    def _column(self, path: AttrPath) -> str:
        column = _INNER[self._rows].get(path.attr.lower()) if path.sub_attr is None else None
        if column is None:
            raise _unsearchable(path)
        return column


def _compare(rows: Any, column: str, op: CompareOperator, value: store.Value) -> store.Condition:
    if rows is None:
        return _plain(column, op, value)
    if op == CompareOperator.ne:  # none of the values equals it
        return store.Opposite(_compare(rows, column, CompareOperator.eq, value))
    found = store.Among(rows, _plain(column, op, value))
    return store.Either((found, store.Opposite(store.Among(rows, store.Every())))) if op == CompareOperator.eq and value is None else found


def _plain(column: str, op: CompareOperator, value: store.Value) -> store.Condition:
    """Return a comparison with one column, whose kind of value must be the given one: databases differ in what they make of others."""
    if op in STRING_OPERATORS and column in _NO_TEXTS:
        return store.Either()
    if value is not None and isinstance(value, str) == (column in _NO_TEXTS):
        raise InvalidFilterException(detail="An attribute is compared with a value of another type")
    if isinstance(value, str) and not is_text(value):
        raise InvalidFilterException(detail=NO_TEXT)
    return store.Compare(column, op.value, value)


def _kept_form(value: Any) -> store.Value:
    if isinstance(value, datetime):
        return value.timestamp() * 1000
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InvalidFilterException(detail="This value cannot be compared with anything")


def _unsearchable(path: AttrPath) -> InvalidFilterException:
    return InvalidFilterException(detail=f"Resources cannot be searched by {path}")
