"""Keys that are rotated and deleted, what happened to them, and since when people are away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what rotation, deletion, `revive_within` and the outbox need."""
    op.add_column("user", sa.Column("inactive_since", sa.BigInteger(), nullable=True))
    op.execute("update \"user\" set inactive_since = coalesce(missing_since, updated_at) where state <> 'active'")
    op.add_column("virtual_key", sa.Column("rotated_at", sa.BigInteger(), nullable=True))
    op.add_column("virtual_key", sa.Column("deleted_by", sa.String(), nullable=True))
    op.create_table(
        "retired_value",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["virtual_key.id"], name=op.f("fk_retired_value_key_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_retired_value")),
    )
    sealed = sa.text("sealed is not null")
    op.create_index(op.f("ix_retired_value_key_id"), "retired_value", ["key_id"])
    op.create_index(op.f("ix_retired_value_until"), "retired_value", ["until"], sqlite_where=sealed, postgresql_where=sealed)
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("jti", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
