"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of version 0001."""
    op.create_table(
        "meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "source",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("configured", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("server", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("stale_after_ms", sa.BigInteger(), nullable=True),
        sa.Column("fail_closed_after_ms", sa.BigInteger(), nullable=True),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.Column("succeeded_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("refused_binds", sa.Integer(), nullable=False),
        sa.Column("refused_secret", sa.String(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_run", sa.String(), nullable=True),
        sa.Column("lease_host", sa.String(), nullable=True),
        sa.Column("lease_boot", sa.String(), nullable=True),
        sa.Column("lease_pid", sa.Integer(), nullable=True),
        sa.Column("lease_started", sa.String(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_source")),
    )
    op.create_table(
        "directory_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_directory_group_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_directory_group")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_directory_group_source_external_id")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("mode_reason", sa.String(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("only", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decision_by", sa.String(), nullable=True),
        sa.Column("decision_at", sa.BigInteger(), nullable=True),
        sa.Column("decision_run", sa.String(), nullable=True),
        sa.Column("phase", sa.String(), nullable=True),
        sa.Column("complete", sa.Boolean(), nullable=True),
        sa.Column("server", sa.String(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("seconds", sa.JSON(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=True),
        sa.Column("cancel_requested_by", sa.String(), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('waiting','running','succeeded','held','failed','cancelled','discarded')", name=op.f("ck_run_state")),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_run_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_source_requested_at"), ["source", "requested_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_state"), ["state"], unique=False)
        batch_op.create_index(
            "uq_run_running", ["source"], unique=True, sqlite_where=sa.text("state = 'running'"), postgresql_where=sa.text("state = 'running'")
        )
        batch_op.create_index(
            "uq_run_waiting",
            ["source", "dry_run", "only"],
            unique=True,
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )

    op.create_table(
        "user",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("blocked_at", sa.BigInteger(), nullable=True),
        sa.Column("blocked_by", sa.String(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("dropped", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("unproven_since", sa.BigInteger(), nullable=True),
        sa.Column("missing_since", sa.BigInteger(), nullable=True),
        sa.Column("missing_reads", sa.Integer(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('active','disabled','missing','removed')", name=op.f("ck_user_state")),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_user_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_user_source_external_id")),
    )
    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_user_source_unproven_since"),
            ["source", "unproven_since"],
            unique=False,
            sqlite_where=sa.text("unproven_since is not null"),
            postgresql_where=sa.text("unproven_since is not null"),
        )
        batch_op.create_index(batch_op.f("ix_user_username"), ["username"], unique=False)

    op.create_table(
        "change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("evidence", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_change_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
    )
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_change_run_id"), ["run_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_change_user_id"), ["user_id"], unique=False)

    op.create_table(
        "claim",
        sa.Column("matched", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("spelt", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("marked", sa.Boolean(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("dropped_at", sa.BigInteger(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_claim_user_id")),
        sa.PrimaryKeyConstraint("matched", "user_id", name=op.f("pk_claim")),
    )
    with op.batch_alter_table("claim", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_claim_dropped_at"),
            ["dropped_at"],
            unique=False,
            sqlite_where=sa.text("dropped_at is not null"),
            postgresql_where=sa.text("dropped_at is not null"),
        )
        batch_op.create_index(batch_op.f("ix_claim_user_id"), ["user_id"], unique=False)
        batch_op.create_index("uq_claim_holder", ["matched"], unique=True, sqlite_where=sa.text("held"), postgresql_where=sa.text("held"))

    op.create_table(
        "hold",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('open','approved','discarded','superseded','released')", name=op.f("ck_hold_state")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_hold_run_id")),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_hold_source")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_hold")),
    )
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.create_index(
            "uq_hold_open", ["source"], unique=True, sqlite_where=sa.text("state = 'open'"), postgresql_where=sa.text("state = 'open'")
        )

    op.create_table(
        "loss",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_loss_run_id")),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_loss_source")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_loss_user_id")),
        sa.PrimaryKeyConstraint("run_id", "user_id", "what", name=op.f("pk_loss")),
    )
    with op.batch_alter_table("loss", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_loss_source_at"), ["source", "at"], unique=False)

    op.create_table(
        "membership",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["directory_group.id"], name=op.f("fk_membership_group_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_membership_user_id")),
        sa.PrimaryKeyConstraint("user_id", "group_id", name=op.f("pk_membership")),
    )
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_membership_group_id"), ["group_id"], unique=False)

    op.create_table(
        "token",
        sa.Column("jti", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=True),
        sa.Column("cidr", sa.String(), nullable=True),
        sa.Column("max_users", sa.Integer(), nullable=True),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.String(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("role in ('admin','operator','lookup','device','scim')", name=op.f("ck_token_role")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_token_user_id")),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_token")),
    )
    with op.batch_alter_table("token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_token_user_id"), ["user_id"], unique=False)

    op.create_table(
        "virtual_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_by", sa.String(), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("origin in ('issued','imported')", name=op.f("ck_virtual_key_origin")),
        sa.CheckConstraint("deleted_at is not null or (sealed is not null and digest is not null)", name=op.f("ck_virtual_key_value")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_virtual_key_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_virtual_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_virtual_key_digest")),
        sa.UniqueConstraint("user_id", "policy", name=op.f("uq_virtual_key_user_id_policy")),
    )
    with op.batch_alter_table("virtual_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_virtual_key_user_id"), ["user_id"], unique=False)

    op.create_table(
        "approval",
        sa.Column("hold_run_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("consumed_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["consumed_by"], ["run.id"], name=op.f("fk_approval_consumed_by")),
        sa.ForeignKeyConstraint(["hold_run_id"], ["hold.run_id"], name=op.f("fk_approval_hold_run_id")),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_approval_source")),
        sa.PrimaryKeyConstraint("hold_run_id", name=op.f("pk_approval")),
    )
    with op.batch_alter_table("approval", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_approval_source"), ["source"], unique=False)

    op.create_table(
        "hold_item",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["hold.run_id"], name=op.f("fk_hold_item_run_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_hold_item_user_id")),
        sa.PrimaryKeyConstraint("run_id", "user_id", "what", name=op.f("pk_hold_item")),
    )
