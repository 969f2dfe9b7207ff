"""The only SQL that makes, freezes, lists and drops databases, and that locks a name."""

from __future__ import annotations

import logging
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from psycopg2 import sql

from pgherd import naming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection

    from pgherd.address import Address

log = logging.getLogger("pgherd")

_STRATEGY_SINCE = 150000
_GONE_WITHIN = 2.0


@contextmanager
def connected(server: Address) -> Iterator[connection]:
    """Lend a connection to the maintenance database; each statement commits by itself.

    CREATE DATABASE and DROP DATABASE cannot run inside a transaction block:
    https://www.postgresql.org/docs/current/sql-createdatabase.html
    """
    with closing(server.database(server.maintenance).connect()) as link:
        link.autocommit = True
        yield link


@contextmanager
def locked(link: connection, name: str) -> Iterator[None]:
    """Hold the lock of this name until the end, or until the connection's death."""
    with link.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [naming.lock_key(name)])
        try:
            yield
        finally:
            if not link.closed:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [naming.lock_key(name)])


def is_locked(link: connection, name: str) -> bool:
    """Say whether any connection to the server, in whatever database, holds the name's lock.

    A lock of one 64-bit key shows its high half as classid, its low half as objid, and objsubid 1:
    https://www.postgresql.org/docs/current/view-pg-locks.html
    """
    key = naming.lock_key(name) % 2**64
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND objsubid = 1 AND classid::bigint = %s AND objid::bigint = %s)",
            [key >> 32, key & 0xFFFFFFFF],
        )
        ((held,),) = cursor.fetchall()
        return bool(held)


def create(link: connection, name: str, template: str | None = None) -> None:
    """Create a database: an empty one, or a clone of a template.

    An empty one is made from template0, which nobody can have added anything to: the fingerprint of
    a template speaks for all that is in it. FILE_COPY copies the template's files. It is the
    fastest where durability is off, and was the only way before PostgreSQL 15, which added the
    clause and made WAL_LOG the default.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template0")
    )
    if template and link.server_version >= _STRATEGY_SINCE:
        statement += sql.SQL(" STRATEGY FILE_COPY")
    _execute(link, statement)
    log.info("created database %s%s", name, f" from {template}" if template else "")


def freeze(link: connection, name: str) -> None:
    """Make a database a template that nobody can connect to, in one statement."""
    _execute(
        link,
        sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false").format(
            sql.Identifier(name)
        ),
    )
    log.info("froze template %s", name)


def is_frozen(link: connection, name: str) -> bool | None:
    """Say whether a template is finished; None where there is no such database."""
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT datistemplate AND NOT datallowconn FROM pg_database WHERE datname = %s", [name]
        )
        row = cursor.fetchone()
        return None if row is None else row[0]


def exists(link: connection, name: str) -> bool:
    """Say whether there is a database of this name."""
    return is_frozen(link, name) is not None


def drop(link: connection, name: str) -> None:
    """Drop a database if it is there, with whatever is still connected to it.

    A database marked as a template cannot be dropped, so an unfinished one never is marked:
    https://www.postgresql.org/docs/current/sql-dropdatabase.html
    """
    if exists(link, name):
        _execute(
            link, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )
        log.info("dropped database %s", name)


def rename(link: connection, name: str, new: str) -> None:
    """Give a database another name. Nobody may be connected to it."""
    _execute(
        link,
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new)),
    )
    log.info("renamed database %s to %s", name, new)


def disconnect(link: connection, name: str) -> None:
    """End every connection to a database, and wait a moment until they are gone.

    A statement that finds one still there, on its way out, looks again only after 100 ms
    (`CountOtherDBBackends` in PostgreSQL's src/backend/storage/ipc/procarray.c).
    """
    until = time.monotonic() + _GONE_WITHIN
    with link.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            if not cursor.fetchall():
                return
            time.sleep(0.001)


def names(link: connection, beginning: str) -> list[str]:
    """List the databases whose names begin so."""
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1",
            [beginning],
        )
        return [name for (name,) in cursor.fetchall()]


def version(link: connection) -> str:
    """Give the server's version, such as `17.6`, without what its packager appended."""
    with link.cursor() as cursor:
        cursor.execute("SHOW server_version")
        ((text,),) = cursor.fetchall()
        return str(text).split(maxsplit=1)[0]


def _execute(link: connection, statement: sql.Composable) -> None:
    with link.cursor() as cursor:
        cursor.execute(statement)
