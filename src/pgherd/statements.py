"""SQL put together from parts, for what is generated into a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from pgherd.naming import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg2.extensions import cursor

# The first object identifier that is not of the server's own making:
# FirstNormalObjectId in PostgreSQL's src/include/access/transam.h.
FIRST_OF_USER = 16384

THIS_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
"""The identifier of the database that a connection leads to."""


def formatted(statement: str, **parts: sql.Composable) -> sql.Composable:
    """Fill a statement in; `{schema}` is the one that pgherd keeps its own things in."""
    return sql.SQL(statement).format(schema=sql.Identifier(SCHEMA), **parts)


def joined(separator: str, parts: Iterable[sql.Composable]) -> sql.Composable:
    """Join parts of a statement."""
    return sql.SQL(separator).join(list(parts))


def rows(run: cursor, query: str | sql.Composable, *values: object) -> list[tuple[Any, ...]]:
    """Run a query, and give its rows."""
    run.execute(query, values or None)
    return run.fetchall()
