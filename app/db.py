"""The database: one connection a request, and the command that migrates it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from peewee import PostgresqlDatabase
from peewee_migrate import Router

if TYPE_CHECKING:
    from flask import Flask

MIGRATIONS = Path(__file__).parent / "migrations"

# Whoever uses it outside a request has to say so, with connection_context(): a connection that
# opened by itself would be nobody's to close.
database = PostgresqlDatabase(None, autoconnect=False)


class DatabaseURLError(click.ClickException):
    """DATABASE_URL is missing or wrong; Flask's command line shows it without a traceback."""


def init_app(app: Flask) -> None:
    """Bind the database to the application, and the connection to its requests."""
    url = app.config["DATABASE_URL"]
    if not url:
        msg = (
            "DATABASE_URL is not set: the service does not know its database. Set it in the "
            "environment, or give it to create_app, e.g. postgresql://user:password@host/name."
        )
        raise DatabaseURLError(msg)
    if not str(url).startswith("postgresql://"):
        # The URL may hold a password, so the message does not repeat it.
        msg = "DATABASE_URL is not PostgreSQL's: let it begin with postgresql://."
        raise DatabaseURLError(msg)
    # A request that waits for somebody's lock gives up, rather than keep its connection for ever.
    database.init(url, options="-c TimeZone=UTC -c lock_timeout=10s")
    app.before_request(open_connection)
    app.teardown_request(close_connection)
    app.cli.add_command(migrate)


def open_connection() -> None:
    """Open the request's connection."""
    database.connect()


def close_connection(_error: BaseException | None) -> None:
    """Close the request's connection, if it came to be opened."""
    if not database.is_closed():
        database.close()


@click.command("migrate")
def migrate() -> None:
    """Apply the migrations that the database does not have yet."""
    with database.connection_context():
        done = Router(database, migrate_dir=MIGRATIONS).run()
    for name in done:
        click.echo(f"applied {name}")
    if not done:
        click.echo("nothing to apply")
