"""Full-text search for tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peewee import Database
    from peewee_migrate import Migrator


def migrate(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Add the search vector to the table task, and an index on it."""
    # PostgreSQL updates a generated column, so the service cannot forget to.
    migrator.sql("""
        ALTER TABLE task ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
            setweight(to_tsvector('english', title), 'A')
            || setweight(to_tsvector('english', body), 'B')
        ) STORED
    """)
    migrator.sql("CREATE INDEX task_search ON task USING gin (search)")


def rollback(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Drop the column and its index."""
    migrator.sql("ALTER TABLE task DROP COLUMN search")
