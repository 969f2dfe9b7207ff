"""The only SQL that creates, clones, freezes, renames, comments on, lists and drops databases."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import sql

from pgherd.postgres import connections, naming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection

    from pgherd.postgres.address import Database

log = logging.getLogger("pgherd")

_STRATEGY_SINCE = 150000
_COLLATION_VERSION_SINCE = 150000

_FROZEN_BEFORE_15 = "SELECT datistemplate AND NOT datallowconn FROM pg_database WHERE datname = %s"
_FROZEN = """
SELECT datistemplate AND NOT datallowconn AND (
  datcollversion IS NULL
  OR datcollversion IS NOT DISTINCT FROM pg_database_collation_actual_version(oid)
)
FROM pg_database WHERE datname = %s
"""

_COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"

# The settings whose value is a list of quoted names, as far as a database can have them: those with
# GUC_LIST_QUOTE in PostgreSQL's src/backend/utils/misc/guc_tables.c.
_LISTS = {
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "local_preload_libraries",
}


def create(
    connection: connection, name: str, template: str | None = None, *, closed: bool = False
) -> None:
    """Create an empty database, or clone a template.

    pgherd creates an empty database from template0, not template1. Nobody can add objects to
    template0, because it refuses connections. So only the migrations decide what the new database
    contains, and their fingerprint covers all of it. STRATEGY FILE_COPY
    copies the template's files. It is the fastest way where durability is off. It was the only way
    before PostgreSQL 15, which introduced the clause and another default. CREATE DATABASE does not
    copy the settings that ALTER DATABASE gave the template, so they are set again:
    https://www.postgresql.org/docs/current/manage-ag-templatedbs.html

    Args:
        connection: one to the maintenance database.
        name: the new database's name.
        template: the template to clone; None for an empty database.
        closed: whether to refuse connections until `connections.allow`.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template0")
    )
    if template and connection.server_version >= _STRATEGY_SINCE:
        statement += sql.SQL(" STRATEGY FILE_COPY")
    if closed:
        statement += sql.SQL(" ALLOW_CONNECTIONS false")
    _execute(connection, statement)
    for setting in _settings(connection, template) if template else ():
        alter = sql.SQL("ALTER DATABASE {} SET ").format(sql.Identifier(name))
        _execute(connection, alter + setting)
    log.info("created database %s%s", name, f" from {template}" if template else "")


def _settings(connection: connection, name: str) -> Iterator[sql.Composable]:
    """Yield a database's own settings as SQL: lists unchanged, other values quoted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database AS base"
            " ON base.oid = setdatabase WHERE datname = %s AND setrole = 0",
            [name],
        )
        for (setting,) in cursor.fetchall():
            key, _, value = setting.partition("=")
            written = sql.SQL(value) if key in _LISTS else sql.Literal(value)
            yield sql.SQL("{} TO {}").format(sql.Identifier(*key.split(".")), written)


def freeze(connection: connection, name: str) -> None:
    """Turn a database into a template that nobody can connect to, in one statement."""
    statement = sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
    _execute(connection, statement.format(sql.Identifier(name)))
    log.info("froze template %s", name)


def thaw(connection: connection, name: str) -> None:
    """Turn a template back into an ordinary database, which can be dropped.

    An ordinary database is left alone. If its drop was interrupted, any ALTER DATABASE on it would
    end the connection.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s AND datistemplate", [name])
        if cursor.rowcount:
            statement = sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false")
            cursor.execute(statement.format(sql.Identifier(name)))


def is_frozen(connection: connection, name: str) -> bool:
    """Whether a template exists, is finished and can be cloned.

    A template cannot be cloned if the machine's collations have changed since it was built: its
    indexes may be in the wrong order. https://www.postgresql.org/docs/current/sql-altercollation.html
    """
    has_version = connection.server_version >= _COLLATION_VERSION_SINCE
    with connection.cursor() as cursor:
        cursor.execute(_FROZEN if has_version else _FROZEN_BEFORE_15, [name])
        return cursor.fetchall() == [(True,)]


def exists(connection: connection, name: str) -> bool:
    """Whether a database of this name exists."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        return bool(cursor.rowcount)


def drop(connection: connection, name: str) -> None:
    """Drop a database if it exists, and end the connections to it.

    A database marked as a template cannot be dropped; `thaw` it first:
    https://www.postgresql.org/docs/current/sql-dropdatabase.html
    """
    if not exists(connection, name):
        return
    statement = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
    try:
        _execute(connection, statement + sql.SQL(" WITH (FORCE)"))
    except psycopg2.errors.InsufficientPrivilege:
        # With FORCE, PostgreSQL refuses an ordinary role while an autovacuum worker is connected.
        # Without FORCE, PostgreSQL ends that worker and waits.
        _execute(connection, statement)
    log.info("dropped database %s", name)


def rename(connection: connection, name: str, new: str) -> None:
    """Rename a database. Nobody may be connected to it."""
    statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    _execute(connection, statement.format(sql.Identifier(name), sql.Identifier(new)))
    log.info("renamed database %s to %s", name, new)


def comment(connection: connection, name: str, text: str) -> None:
    """Write the comment on a database, as its owner or a superuser. A clone does not get it."""
    statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
    _execute(connection, statement.format(sql.Identifier(name), sql.Literal(text)))


def comment_of(connection: connection, name: str) -> str:
    """Return the comment on a database; empty if it has none."""
    with connection.cursor() as cursor:
        cursor.execute(_COMMENT, [name])
        return "".join(text or "" for (text,) in cursor.fetchall())


def roll_back_prepared(connection: connection, database: Database) -> None:
    """Roll back the transactions prepared in a database: they would prevent its drop.

    This needs a connection to that database, and the role that prepared the transactions or a
    superuser:
    https://www.postgresql.org/docs/current/sql-rollback-prepared.html
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [database.name])
        found = [gid for (gid,) in cursor.fetchall()]
    if found:
        connections.allow(connection, database.name)
        with closing(database.connect()) as inside:
            inside.autocommit = True
            for gid in found:
                inside.cursor().execute("ROLLBACK PREPARED %s", [gid])


def names(connection: connection, beginning: str) -> list[str]:
    """List the databases whose names begin with a text."""
    statement = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1"
    with connection.cursor() as cursor:
        cursor.execute(statement, [beginning])
        return [name for (name,) in cursor.fetchall()]


def own_templates(connection: connection) -> dict[str, bool]:
    """Return this role's templates: each name, and whether the template is frozen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname, datistemplate AND NOT datallowconn FROM pg_database"
            " WHERE starts_with(datname, %s) AND pg_get_userbyid(datdba) = current_user"
            " ORDER BY 1",
            [naming.PREFIX],
        )
        return {name: frozen for name, frozen in cursor.fetchall() if naming.is_template(name)}


def _execute(connection: connection, statement: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
