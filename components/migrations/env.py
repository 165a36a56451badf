"""Where Alembic finds the connection: it is given by `store_schema`, never opened here."""

from __future__ import annotations

from alembic import context

from components.store_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
