"""The tables of what identity providers push: users and groups as sent, each provider's for itself; all others are in tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sync.store.columns import json_column

_STANDS: dict[str, Any] = {"sqlite_where": text("deleted_at is null"), "postgresql_where": text("deleted_at is null")}
_GONE: dict[str, Any] = {"sqlite_where": text("deleted_at is not null"), "postgresql_where": text("deleted_at is not null")}


class PushedUserRow(SQLModel, table=True):
    """One user of one provider. `*_key` are folded for comparing; `version` counts the changes.

    After a deletion (`deleted_at`) ids and user name stay and prove the departure; everything else about the person is gone.
    """

    __tablename__ = "pushed_user"
    __table_args__ = (
        Index("uq_pushed_user_name", "source", "user_name_key", unique=True, **_STANDS),
        Index(None, "source", "external_id"),
        Index(None, "deleted_at", **_GONE),
    )
    source: str = Field(primary_key=True, foreign_key="source.name")
    id: str = Field(primary_key=True)
    external_id: str | None = None
    user_name: str
    user_name_key: str
    display_name_key: str | None = None
    given_name_key: str | None = None
    family_name_key: str | None = None
    active: bool = True
    version: int = 1
    resource: dict[str, Any] = json_column(dict)
    created_at: int
    modified_at: int
    deleted_at: int | None = None


class PushedEmailRow(SQLModel, table=True):
    """An address of a pushed user, in the order sent. `value_key` and `type_key` are folded for comparing."""

    __tablename__ = "pushed_email"
    __table_args__ = (
        ForeignKeyConstraint(["source", "user_id"], ["pushed_user.source", "pushed_user.id"], name="fk_pushed_email_user"),
        Index(None, "source", "value_key"),
    )
    source: str = Field(primary_key=True)
    user_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    value: str
    value_key: str
    type: str | None = None
    type_key: str | None = None
    is_primary: bool = False


class PushedGroupRow(SQLModel, table=True):
    """One group of one provider; `resource` is without its members."""

    __tablename__ = "pushed_group"
    __table_args__ = (UniqueConstraint("source", "display_name_key"), Index(None, "source", "external_id"))
    source: str = Field(primary_key=True, foreign_key="source.name")
    id: str = Field(primary_key=True)
    external_id: str | None = None
    display_name: str
    display_name_key: str
    version: int = 1
    resource: dict[str, Any] = json_column(dict)
    created_at: int
    modified_at: int


class PushedMembershipRow(SQLModel, table=True):
    """Somebody, or another group, in a group: `value` is the id that was sent, whether anybody has it or not; `rest` what was sent beside it."""

    __tablename__ = "pushed_membership"
    __table_args__ = (
        UniqueConstraint("source", "group_id", "value"),
        ForeignKeyConstraint(["source", "group_id"], ["pushed_group.source", "pushed_group.id"], name="fk_pushed_membership_group"),
        Index(None, "source", "value"),
    )
    id: int | None = Field(default=None, primary_key=True)
    source: str
    group_id: str
    value: str
    rest: dict[str, Any] = json_column(dict)
