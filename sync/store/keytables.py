"""The tables of keys and tokens, and of what happened to them; all others are in tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sync.store import columns as columns  # the naming convention comes before the first table


class VirtualKey(SQLModel, table=True):
    """A key of a user. The row outlives a deletion, so that a policy never issues twice; the sealed value does not.

    `origin` says where its value came from: made here, or brought along. `rotated_at` = when the value was last replaced.
    """

    __tablename__ = "virtual_key"
    __table_args__ = (
        UniqueConstraint("user_id", "policy"),
        CheckConstraint("origin in ('issued','imported')", name="origin"),
        CheckConstraint("deleted_at is not null or (sealed is not null and digest is not null)", name="value"),
    )
    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user.id")
    name: str
    policy: str | None = None
    origin: str = "issued"
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    digest: bytes | None = Field(default=None, sa_column=Column(LargeBinary, unique=True))
    enabled: bool = True
    disabled_by: str | None = None
    disabled_at: int | None = None
    expires_at: int | None = None
    created_at: int
    created_by: str
    rotated_at: int | None = None
    deleted_at: int | None = None
    deleted_by: str | None = None


class RetiredValue(SQLModel, table=True):
    """A value that was a key's before: it authenticates until `until`, and is known as dead for ever after.

    `sealed` is kept only that long, so that the digest can follow a change of encryption keys.
    """

    __tablename__ = "retired_value"
    __table_args__ = (Index(None, "until", sqlite_where=text("sealed is not null"), postgresql_where=text("sealed is not null")),)
    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    key_id: str = Field(foreign_key="virtual_key.id", index=True)
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    until: int
    retired_at: int


class Token(SQLModel, table=True):
    """A token rosterd issued: valid only while its row stands unrevoked."""

    __tablename__ = "token"
    __table_args__ = (CheckConstraint("role in ('admin','operator','lookup','device','scim')", name="role"),)
    jti: str = Field(primary_key=True)
    role: str
    user_id: str | None = Field(default=None, foreign_key="user.id", index=True)
    source: str | None = None
    label: str = ""
    domain: str | None = None
    cidr: str | None = None
    max_users: int | None = None
    issued_at: int
    issued_by: str
    expires_at: int
    revoked_at: int | None = None
    revoked_by: str | None = None
    last_used_at: int | None = None


class Event(SQLModel, table=True):
    """Something that happened to a key, a token or a user, in the order of commits. Each reader of this outbox (the audit file first)
    keeps its place in `meta`; what all have read is forgotten."""

    __tablename__ = "event"
    __table_args__ = {"sqlite_autoincrement": True}
    id: int | None = Field(default=None, primary_key=True)
    at: int
    kind: str
    by: str
    run_id: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    jti: str | None = None
    detail: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
