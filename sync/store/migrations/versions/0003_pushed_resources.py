"""What identity providers push."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the users and groups that providers push, with addresses and memberships."""
    stands, gone = sa.text("deleted_at is null"), sa.text("deleted_at is not null")
    op.create_table(
        "pushed_user",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("user_name", sa.String(), nullable=False),
        sa.Column("user_name_key", sa.String(), nullable=False),
        sa.Column("display_name_key", sa.String(), nullable=True),
        sa.Column("given_name_key", sa.String(), nullable=True),
        sa.Column("family_name_key", sa.String(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("resource", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_pushed_user_source")),
        sa.PrimaryKeyConstraint("source", "id", name=op.f("pk_pushed_user")),
    )
    op.create_index("uq_pushed_user_name", "pushed_user", ["source", "user_name_key"], unique=True, sqlite_where=stands, postgresql_where=stands)
    op.create_index(op.f("ix_pushed_user_source_external_id"), "pushed_user", ["source", "external_id"])
    op.create_index(op.f("ix_pushed_user_deleted_at"), "pushed_user", ["deleted_at"], sqlite_where=gone, postgresql_where=gone)
    op.create_table(
        "pushed_email",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("value_key", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=True),
        sa.Column("type_key", sa.String(), nullable=True),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["source", "user_id"], ["pushed_user.source", "pushed_user.id"], name="fk_pushed_email_user"),
        sa.PrimaryKeyConstraint("source", "user_id", "position", name=op.f("pk_pushed_email")),
    )
    op.create_index(op.f("ix_pushed_email_source_value_key"), "pushed_email", ["source", "value_key"])
    op.create_table(
        "pushed_group",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("display_name_key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("resource", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_pushed_group_source")),
        sa.PrimaryKeyConstraint("source", "id", name=op.f("pk_pushed_group")),
        sa.UniqueConstraint("source", "display_name_key", name=op.f("uq_pushed_group_source_display_name_key")),
    )
    op.create_index(op.f("ix_pushed_group_source_external_id"), "pushed_group", ["source", "external_id"])
    op.create_table(
        "pushed_membership",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("rest", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["source", "group_id"], ["pushed_group.source", "pushed_group.id"], name="fk_pushed_membership_group"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pushed_membership")),
        sa.UniqueConstraint("source", "group_id", "value", name=op.f("uq_pushed_membership_source_group_id_value")),
    )
    op.create_index(op.f("ix_pushed_membership_source_value"), "pushed_membership", ["source", "value"])
