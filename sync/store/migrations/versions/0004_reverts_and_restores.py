"""What users were before a run changed them, which source waits to be read after a restore, and the name of the store itself."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add what `runs revert` and `store restore` need."""
    op.create_table(
        "user_before",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("image", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_user_before_run_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_user_before_user_id")),
        sa.PrimaryKeyConstraint("run_id", "user_id", name=op.f("pk_user_before")),
    )
    op.create_index(op.f("ix_user_before_user_id"), "user_before", ["user_id"])
    op.add_column("source", sa.Column("restored_at", sa.BigInteger(), nullable=True))
    # The audit file names the store it speaks of: only so can a store be older than its audit file, and not merely another one.
    op.execute(sa.text("insert into meta (name, value) values ('store', :name)").bindparams(name=uuid.uuid4().hex))
