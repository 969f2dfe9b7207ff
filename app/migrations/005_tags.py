"""Tags on tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peewee import Database
    from peewee_migrate import Migrator


def migrate(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Create the tables tag and task_tag."""
    migrator.sql("""
        CREATE TABLE tag (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL UNIQUE CHECK (name <> '' AND name = lower(name))
        )
    """)
    migrator.sql("""
        CREATE TABLE task_tag (
            task_id bigint NOT NULL REFERENCES task ON DELETE CASCADE,
            tag_id bigint NOT NULL REFERENCES tag ON DELETE CASCADE,
            PRIMARY KEY (task_id, tag_id)
        )
    """)
    migrator.sql("CREATE INDEX task_tag_tag_id ON task_tag (tag_id)")


def rollback(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Drop the two tables."""
    migrator.sql("DROP TABLE task_tag, tag")
