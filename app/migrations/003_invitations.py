"""Invitations to teams, with tokens that expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peewee import Database
    from peewee_migrate import Migrator


def migrate(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Create the table invitation."""
    migrator.sql("""
        CREATE TABLE invitation (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            team_id bigint NOT NULL REFERENCES team ON DELETE CASCADE,
            email text NOT NULL CHECK (position('@' IN email) > 1),
            token text NOT NULL UNIQUE CHECK (length(token) >= 32),
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            accepted_at timestamptz,
            CHECK (expires_at > created_at)
        )
    """)
    # A team has one open invitation for each address. Accepted invitations stay as history.
    migrator.sql("""
        CREATE UNIQUE INDEX invitation_email_key ON invitation (team_id, lower(email))
        WHERE accepted_at IS NULL
    """)


def rollback(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Drop the table."""
    migrator.sql("DROP TABLE invitation")
