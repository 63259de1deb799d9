"""One index of keys less: the unique one over user and policy finds the keys of a user as well."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Drop what every issued key had to be written into for nothing."""
    op.drop_index("ix_virtual_key_user_id", table_name="virtual_key")
