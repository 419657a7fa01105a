"""Alembic's entry point. The connection comes from `ft_assets.storage.database`."""

from alembic import context

from ft_assets.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
