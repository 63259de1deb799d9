"""What all tables share: how constraints are named, and JSON columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, MetaData
from sqlmodel import Field, SQLModel

_NAMES = {kind: f"{kind}_%(table_name)s_%(column_0_N_name)s" for kind in ("ix", "uq", "fk")}
_NAMES |= {"ck": "ck_%(table_name)s_%(constraint_name)s", "pk": "pk_%(table_name)s"}
SQLModel.metadata.naming_convention = MetaData(naming_convention=_NAMES).naming_convention


def json_column(default: Any) -> Any:
    """Return a field kept as JSON, never null; `default` makes its first value."""
    return Field(default_factory=default, sa_column=Column(JSON, nullable=False))
