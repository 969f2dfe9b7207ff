"""Tasks of teams, and comments on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peewee import Database
    from peewee_migrate import Migrator


def migrate(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Create the tables task and comment."""
    # No cascade: a team with tasks cannot be deleted, and no user who is an author or assignee.
    migrator.sql("""
        CREATE TABLE task (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            team_id bigint NOT NULL REFERENCES team,
            author_id bigint NOT NULL REFERENCES "user",
            assignee_id bigint REFERENCES "user",
            title text NOT NULL CHECK (title <> ''),
            body text NOT NULL DEFAULT '',
            priority smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
            status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'claimed', 'done')),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT task_assignee_check CHECK ((status = 'open') = (assignee_id IS NULL))
        )
    """)
    migrator.sql("CREATE INDEX task_page ON task (team_id, priority, id)")
    # A claim searches only open tasks, so this index leaves out all other tasks.
    migrator.sql("CREATE INDEX task_open ON task (priority, id) WHERE status = 'open'")
    migrator.sql("""
        CREATE TABLE comment (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            task_id bigint NOT NULL REFERENCES task ON DELETE CASCADE,
            author_id bigint NOT NULL REFERENCES "user",
            body text NOT NULL CHECK (body <> ''),
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    migrator.sql("CREATE INDEX comment_page ON comment (task_id, id)")


def rollback(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Drop the two tables."""
    migrator.sql("DROP TABLE comment, task")
