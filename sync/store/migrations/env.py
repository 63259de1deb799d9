"""Alembic's entry: runs the scripts on the connection it is given."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import sync.store.tables  # noqa: F401 – fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the caller's BEGIN IMMEDIATE holds everything together
)
context.run_migrations()
