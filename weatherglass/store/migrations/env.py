"""Alembic environment: runs on the connection passed by `weatherglass.store.migrate`."""

from alembic import context

from weatherglass.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
