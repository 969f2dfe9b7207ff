"""SQL text that is put together from parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from pgherd.postgres.naming import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg2.extensions import cursor

FIRST_OF_USER = 16384
"""The first object identifier (OID) that PostgreSQL does not use for its own objects:
FirstNormalObjectId in its src/include/access/transam.h."""

THIS_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
"""The OID of the database that a connection is connected to."""


def formatted(statement: str, **parts: sql.Composable) -> sql.Composable:
    """Fill parts into a statement; `{schema}` stands for the schema of pgherd's own objects."""
    return sql.SQL(statement).format(schema=sql.Identifier(SCHEMA), **parts)


def joined(separator: str, parts: Iterable[sql.Composable]) -> sql.Composable:
    """Join parts of a statement with a separator."""
    return sql.SQL(separator).join(list(parts))


def rows(cursor: cursor, query: str | sql.Composable, *values: object) -> list[tuple[Any, ...]]:
    """Run a query and return its rows."""
    cursor.execute(query, values or None)
    return cursor.fetchall()
