"""The names of `pgherd` in annotations and calls, as a typed project uses them.

mypy reads this file and nothing runs it. An unused `type: ignore` is an error, so each of them
states a call that mypy has to refuse.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pgherd

if TYPE_CHECKING:
    from psycopg2.extensions import connection


class OwnMigrations:
    """Migrations that a project wrote itself: any object with these two methods will do."""

    def fingerprint(self) -> str:
        """Return the version of the schema."""
        return "1"

    def apply(self, url: str) -> None:
        """Migrate the database at this URL."""


class WithoutFingerprint:
    """No migrations, because a method is missing."""

    def apply(self, url: str) -> None:
        """Migrate the database at this URL."""


def migrations_of_each_kind(kind: str) -> pgherd.Migrations:
    """Return migrations: the functions of pgherd make them, and a project may write its own."""
    if kind == "sql":
        return pgherd.sql_files("schema.sql", Path("seeds"))
    if kind == "command":
        return pgherd.command("alembic upgrade head", inputs=["migrations", Path("alembic.ini")])
    if kind == "variable":
        return pgherd.command("./migrate", inputs=[], variable="PG_URL")
    if kind == "broken":
        return WithoutFingerprint()  # type: ignore[return-value]
    return OwnMigrations()


def refused_calls() -> None:
    """Call the functions in ways that mypy has to refuse."""
    pgherd.sql_files(["schema.sql", "seeds.sql"])  # type: ignore[arg-type]
    pgherd.command("alembic upgrade head")  # type: ignore[call-arg]
    pgherd.command("alembic upgrade head", ["migrations"])  # type: ignore[call-arg]
    pgherd.command(["alembic", "upgrade", "head"], inputs=[])  # type: ignore[arg-type]


def parts_of_a_database(database: pgherd.Database) -> tuple[str, str, str, str, int]:
    """Read every attribute of a database that the README lists."""
    return database.url, database.dsn, database.name, database.host, database.port


def connection_to(database: pgherd.Database) -> connection:
    """Open a connection of psycopg2."""
    return database.connect()


def parts_of_a_server(server: pgherd.Address) -> tuple[str, int, str, str, str]:
    """Read every attribute of an address."""
    return server.host, server.port, server.user, server.password, server.maintenance


def server_from_a_url(url: str) -> pgherd.Database:
    """Read a URL, and name a database of that server."""
    server: pgherd.Address = pgherd.Address.from_url(url)
    return server.database("postgres")


def values_stay_as_they_are(server: pgherd.Address, database: pgherd.Database) -> None:
    """Assign to an address and to a database, which are frozen."""
    server.host = "elsewhere"  # type: ignore[misc]
    database.name = "other"  # type: ignore[misc]
    database.url = "postgresql://other"  # type: ignore[misc]


def errors_have_one_base(error: pgherd.PgherdError) -> str:
    """Tell the errors of pgherd apart."""
    if isinstance(error, pgherd.UsageError):
        return "usage"
    if isinstance(error, pgherd.ServerError):
        return "server"
    if isinstance(error, pgherd.MigrationError):
        return "migration"
    return str(error)


def bases() -> list[type[pgherd.PgherdError]]:
    """List the errors under their base; a warning is not one of them."""
    return [
        pgherd.UsageError,
        pgherd.ServerError,
        pgherd.MigrationError,
        pgherd.LeftBehindWarning,  # type: ignore[list-item]
    ]


def filters() -> None:
    """Turn what a test left behind into an error, as a project may do in its conftest.py."""
    warnings.simplefilter("error", pgherd.LeftBehindWarning)
