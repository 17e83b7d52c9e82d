"""Runs migrations on the connection that Database.migrate hands over."""

from __future__ import annotations

from alembic import context

from quire.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
context.run_migrations()
