"""An audit trail, written by triggers of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peewee import Database
    from peewee_migrate import Migrator


def migrate(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Create the table audit_entry and the triggers that write to it."""
    # No foreign key to "user": an entry stays when its user is deleted.
    migrator.sql("""
        CREATE TABLE audit_entry (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT now(),
            actor_id bigint,
            table_name text NOT NULL,
            row_id bigint NOT NULL,
            operation text NOT NULL CHECK (operation IN ('insert', 'update', 'delete')),
            before jsonb,
            after jsonb,
            CHECK ((before IS NULL) = (operation = 'insert')),
            CHECK ((after IS NULL) = (operation = 'delete'))
        )
    """)
    # Leave out the search vector: it only repeats the title and the body.
    migrator.sql("""
        CREATE FUNCTION write_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO audit_entry (actor_id, table_name, row_id, operation, before, after)
            VALUES (
                nullif(current_setting('app.actor_id', true), '')::bigint,
                TG_TABLE_NAME,
                coalesce(NEW.id, OLD.id),
                lower(TG_OP),
                to_jsonb(OLD) - 'search',
                to_jsonb(NEW) - 'search'
            );
            RETURN NULL;
        END $$
    """)
    for table in ('"user"', "team", "task"):
        migrator.sql(f"""
            CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION write_audit_entry()
        """)


def rollback(migrator: Migrator, _database: Database, **_options: object) -> None:
    """Drop the triggers, their function and the table."""
    migrator.sql("DROP FUNCTION write_audit_entry() CASCADE")
    migrator.sql("DROP TABLE audit_entry")
