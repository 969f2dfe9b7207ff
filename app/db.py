"""The database: one connection for each request, and the command that migrates it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from peewee import PostgresqlDatabase
from peewee_migrate import Router

if TYPE_CHECKING:
    from flask import Flask

MIGRATIONS = Path(__file__).parent / "migrations"

# Peewee must not open connections by itself, because nothing would close them.
# Outside a request, open one with `with database.connection_context():`.
database = PostgresqlDatabase(None, autoconnect=False)


class DatabaseURLError(click.ClickException):
    """DATABASE_URL is missing or wrong. Flask's command line shows this without a traceback."""


def init_app(app: Flask) -> None:
    """Configure the database, and open one connection for each request."""
    url = app.config["DATABASE_URL"]
    if not url:
        msg = (
            "DATABASE_URL is not set, so the service cannot find its database. Set it in the "
            "environment or pass it to create_app, e.g. postgresql://user:password@host/name."
        )
        raise DatabaseURLError(msg)
    if not str(url).startswith("postgresql://"):
        # The URL may hold a password, so the message does not repeat it.
        msg = "DATABASE_URL is not a PostgreSQL URL. It must start with postgresql://."
        raise DatabaseURLError(msg)
    # Without a lock timeout, a request could wait for a lock, and keep its connection, for ever.
    database.init(url, options="-c TimeZone=UTC -c lock_timeout=10s")
    app.before_request(open_connection)
    app.teardown_request(close_connection)
    app.cli.add_command(migrate)


def open_connection() -> None:
    """Open the connection of the request."""
    database.connect()


def close_connection(_error: BaseException | None) -> None:
    """Close the connection of the request, if it is open."""
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
