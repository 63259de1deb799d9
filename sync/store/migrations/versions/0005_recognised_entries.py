"""By what the entry of a user is recognised when it says the same again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the digest; there is none before the next full read."""
    op.add_column("user", sa.Column("entry_digest", sa.LargeBinary(), nullable=True))
