"""Teams and their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peewee import Database
    from peewee_migrate import Migrator


def migrate(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Create the tables team and membership."""
    # No cascade: a user who owns a team cannot be deleted until the team has another owner.
    migrator.sql("""
        CREATE TABLE team (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL UNIQUE CHECK (name <> ''),
            owner_id bigint NOT NULL REFERENCES "user",
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    migrator.sql("CREATE INDEX team_owner_id ON team (owner_id)")
    migrator.sql("""
        CREATE TABLE membership (
            team_id bigint NOT NULL REFERENCES team ON DELETE CASCADE,
            user_id bigint NOT NULL REFERENCES "user" ON DELETE CASCADE,
            joined_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (team_id, user_id)
        )
    """)
    migrator.sql("CREATE INDEX membership_user_id ON membership (user_id)")


def rollback(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Drop both tables."""
    migrator.sql("DROP TABLE membership, team")
