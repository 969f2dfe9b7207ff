"""Alembic's environment: it connects to the database that DATABASE_URL names."""

import os

from alembic import context

from shop import Base, make_engine

engine = make_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
