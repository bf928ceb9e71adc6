"""What alembic runs: the steps, on the connection and in the transaction that ``schema.migrate`` hands over."""

from alembic import context

from federator.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, compare_server_default=True
)
with context.begin_transaction():
    context.run_migrations()
