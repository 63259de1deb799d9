"""The tables. Times are milliseconds since the epoch, UTC (`*_at`); durations are milliseconds (`*_ms`).

Constraints hold the rules that must never break: one user per id and source, one holder per address, one key per
user and policy, one waiting run of a kind and one running per source.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sync.store.columns import json_column
from sync.store.keytables import Event, RetiredValue, Token, VirtualKey
from sync.store.pushedtables import PushedEmailRow, PushedGroupRow, PushedMembershipRow, PushedUserRow

__all__ = [
    "Approval", "ChangeRow", "Claim", "Event", "Group", "Hold", "HoldItem", "Loss", "Membership", "Meta",
    "PushedEmailRow", "PushedGroupRow", "PushedMembershipRow", "PushedUserRow", "RetiredValue", "RunRow", "SourceRow", "Token", "User", "UserBefore",
    "VirtualKey",
]  # fmt: skip


class Meta(SQLModel, table=True):
    """Facts about the store itself (the vault keys it was sealed with, the policies' digest …)."""

    __tablename__ = "meta"
    name: str = Field(primary_key=True)
    value: str


class SourceRow(SQLModel, table=True):
    """One directory: what we know of it, when it is due, who may sync it now. `restored_at` = its people are as a backup had them, and no read
    of everything has confirmed them since."""

    __tablename__ = "source"
    name: str = Field(primary_key=True)
    kind: str
    rank: int = 0
    configured: bool = True
    digest: str = ""
    parts: dict[str, str] = json_column(dict)
    vendor: str = ""
    server: str = ""
    cursor: str | None = None
    paused_by: str | None = None
    paused_at: int | None = None
    due_at: int | None = None
    stale_after_ms: int | None = None
    fail_closed_after_ms: int | None = None
    read_at: int | None = None
    succeeded_at: int | None = None
    failures: int = 0
    refused_binds: int = 0
    refused_secret: str = ""
    fence: int = 0
    lease_run: str | None = None
    lease_host: str | None = None
    lease_boot: str | None = None
    lease_pid: int | None = None
    lease_started: str | None = None
    lease_until: int | None = None
    restored_at: int | None = None


class User(SQLModel, table=True):
    """What we remember of a person. `last_seen_at` empty = seen by the source's last completed read. `entry_digest` = by what the entry that
    `fingerprint` was made of is recognised.

    No index on (source, state): SQLite would prefer it to the unique one in joins by external id, and turn them quadratic.
    """

    __tablename__ = "user"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        CheckConstraint("state in ('active','disabled','missing','removed')", name="state"),
        Index(None, "source", "unproven_since", sqlite_where=text("unproven_since is not null"), postgresql_where=text("unproven_since is not null")),
    )
    id: str = Field(primary_key=True)
    source: str = Field(foreign_key="source.name")
    external_id: str
    place: str = ""
    username: str = Field(default="", index=True)
    name: str = ""
    email: str = ""
    state: str
    blocked_at: int | None = None
    blocked_by: str | None = None
    expires_at: int | None = None
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    entry_digest: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    dropped: list[Any] = json_column(list)
    created_at: int
    updated_at: int
    last_seen_at: int | None = None
    unproven_since: int | None = None
    inactive_since: int | None = None
    missing_since: int | None = None
    missing_reads: int = 0
    removed_at: int | None = None


class Claim(SQLModel, table=True):
    """An address that an entry lists, or (`dropped_at`) listed until then. At most one claimant holds it."""

    __tablename__ = "claim"
    __table_args__ = (
        Index("uq_claim_holder", "matched", unique=True, sqlite_where=text("held"), postgresql_where=text("held")),
        Index(None, "dropped_at", sqlite_where=text("dropped_at is not null"), postgresql_where=text("dropped_at is not null")),
    )
    matched: str = Field(primary_key=True)
    user_id: str = Field(primary_key=True, foreign_key="user.id", index=True)
    spelt: str
    position: int
    marked: bool = False
    is_primary: bool = False
    since: int
    dropped_at: int | None = None
    held: bool = False


class Group(SQLModel, table=True):
    """A group some person of a source is in; `external_id` in the form groups are compared in."""

    __tablename__ = "directory_group"
    __table_args__ = (UniqueConstraint("source", "external_id"),)
    id: int | None = Field(default=None, primary_key=True)
    source: str = Field(foreign_key="source.name")
    external_id: str


class Membership(SQLModel, table=True):
    """Who is in which group."""

    __tablename__ = "membership"
    user_id: str = Field(primary_key=True, foreign_key="user.id")
    group_id: int = Field(primary_key=True, foreign_key="directory_group.id", index=True)


class RunRow(SQLModel, table=True):
    """One recorded sync: who asked, what it read, what it changed, how it ended."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint("state in ('waiting','running','succeeded','held','failed','cancelled','discarded')", name="state"),
        Index(
            "uq_run_waiting",
            "source",
            "dry_run",
            "only",
            unique=True,
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("uq_run_running", "source", unique=True, sqlite_where=text("state = 'running'"), postgresql_where=text("state = 'running'")),
        Index(None, "source", "requested_at"),
        Index(None, "state"),
    )
    id: str = Field(primary_key=True)
    source: str = Field(foreign_key="source.name")
    trigger: str
    requested_by: str
    mode: str = "full"
    mode_reason: str = ""
    dry_run: bool = False
    only: str = ""
    state: str = "waiting"
    decision_by: str | None = None
    decision_at: int | None = None
    decision_run: str | None = None
    phase: str | None = None
    complete: bool | None = None
    server: str | None = None
    pages: int = 0
    entries: int = 0
    counts: dict[str, int] = json_column(dict)
    error: dict[str, str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    seconds: dict[str, float] = json_column(dict)
    fence: int | None = None
    cancel_requested_by: str | None = None
    requested_at: int
    started_at: int | None = None
    finished_at: int | None = None


class ChangeRow(SQLModel, table=True):
    """One thing a run did, would have done (dry run) or withheld, with its evidence."""

    __tablename__ = "change"
    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id", index=True)
    kind: str
    user_id: str | None = Field(default=None, index=True)
    external_id: str | None = None
    email: str | None = None
    before: Any = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    after: Any = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    reason: str | None = None
    evidence: str | None = None


class UserBefore(SQLModel, table=True):
    """What a user was, whole, before a run changed them: what a revert goes back to. Whoever a run added was nobody before, and has none."""

    __tablename__ = "user_before"
    run_id: str = Field(primary_key=True, foreign_key="run.id")
    user_id: str = Field(primary_key=True, foreign_key="user.id", index=True)
    image: Any = Field(sa_column=Column(JSON, nullable=False))


class Hold(SQLModel, table=True):
    """The taking-away of one run that waits for a human. `why` is the sentence an admin reads."""

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint("state in ('open','approved','discarded','superseded','released')", name="state"),
        Index("uq_hold_open", "source", unique=True, sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'")),
    )
    run_id: str = Field(primary_key=True, foreign_key="run.id")
    source: str = Field(foreign_key="source.name")
    state: str = "open"
    why: str = ""
    opened_at: int
    closed_at: int | None = None


class HoldItem(SQLModel, table=True):
    """Who would lose what: `what` is missing, last_address, address, key or disabled."""

    __tablename__ = "hold_item"
    run_id: str = Field(primary_key=True, foreign_key="hold.run_id")
    user_id: str = Field(primary_key=True, foreign_key="user.id")
    what: str = Field(primary_key=True)


class Approval(SQLModel, table=True):
    """A human's yes to exactly the items of one hold, valid until `expires_at` or until a run has consumed it."""

    __tablename__ = "approval"
    hold_run_id: str = Field(primary_key=True, foreign_key="hold.run_id")
    source: str = Field(foreign_key="source.name", index=True)
    approved_by: str
    approved_at: int
    expires_at: int
    consumed_by: str | None = Field(default=None, foreign_key="run.id")


class Loss(SQLModel, table=True):
    """Something somebody lost without an approval: what the guard counts over 24 hours."""

    __tablename__ = "loss"
    __table_args__ = (Index(None, "source", "at"),)
    run_id: str = Field(primary_key=True, foreign_key="run.id")
    user_id: str = Field(primary_key=True, foreign_key="user.id")
    what: str = Field(primary_key=True)
    source: str = Field(foreign_key="source.name")
    at: int


for _table in SQLModel.metadata.tables.values():
    for _column in _table.columns:
        if _column.name.endswith(("_at", "_ms", "until", "since")) or _column.name == "at":
            _column.type = BigInteger()  # milliseconds do not fit PostgreSQL's 32-bit integer
