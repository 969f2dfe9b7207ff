"""Connections: pgherd's own to the maintenance database, and all connections to a clone."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import sql

from pgherd import unpatched
from pgherd.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection

    from pgherd.postgres.address import Address

_ENDED_WITHIN = 2.0
"""How long `end` waits for connections to end, in seconds."""

_FOREIGN_CONNECTION = (
    "another role is connected to the database {name}, as monitoring programs are, and the role "
    "{role} may not end that connection. Keep such programs away from databases whose names begin "
    'with pgherd_, or have an administrator run: GRANT pg_signal_backend TO "{role}"'
)

# Each setting of a connection, and the version of PostgreSQL that introduced it. A role may have
# timeouts, but pgherd must wait for other runs without a limit. The keep-alives let the server
# notice a client that lost its power or its network. Without them it keeps the connection, and the
# locks that it holds, for two hours:
# https://www.postgresql.org/docs/current/runtime-config-connection.html
_SETTINGS = {
    "statement_timeout = 0": 0,
    "lock_timeout = 0": 0,
    "default_transaction_read_only = off": 0,
    "idle_session_timeout = 0": 140000,
    "transaction_timeout = 0": 170000,
    "tcp_keepalives_idle = 20": 0,
    "tcp_keepalives_interval = 10": 0,
    "tcp_keepalives_count = 4": 0,
}

_CLIENTS = """
FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
"""


@contextmanager
def maintenance(server: Address) -> Iterator[connection]:
    """Open a connection to the maintenance database in autocommit mode; close it at the end.

    CREATE DATABASE and DROP DATABASE cannot run inside a transaction block:
    https://www.postgresql.org/docs/current/sql-createdatabase.html
    """
    with closing(server.database(server.maintenance).connect()) as connection:
        connection.autocommit = True
        known = [text for text, since in _SETTINGS.items() if connection.server_version >= since]
        connection.cursor().execute("".join(f"SET {setting};" for setting in known))
        yield connection


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn an error of the driver into a ServerError.

    Raises:
        ServerError: the block raised `psycopg2.Error`.
    """
    try:
        yield
    except psycopg2.Error as error:
        raise ServerError(
            f"a query of pgherd failed: {str(error).strip()}. Check that the server still runs"
        ) from error


def server_version(connection: connection) -> str:
    """Return the server's version, such as `17.6`, without what its packager appended."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        ((text,),) = cursor.fetchall()
        return str(text).split(maxsplit=1)[0]


def refuse(connection: connection, name: str) -> None:
    """Let nobody connect to a database any more; existing connections stay."""
    _set_allowed(connection, name, allowed=False)


def allow(connection: connection, name: str) -> None:
    """Let everybody connect to a database."""
    _set_allowed(connection, name, allowed=True)


def _set_allowed(connection: connection, name: str, *, allowed: bool) -> None:
    statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    with connection.cursor() as cursor:
        cursor.execute(statement.format(sql.Identifier(name), sql.SQL(str(allowed).lower())))


def count(connection: connection, name: str) -> int:
    """Return how many connections clients have to a database."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_CLIENTS}", [name])
        ((number,),) = cursor.fetchall()
        return int(number)


def end(connection: connection, name: str) -> None:
    """End every connection to a database, and wait up to two seconds until they are gone.

    Wait here, because DROP DATABASE and RENAME look again only after 100 ms if they find a
    connection. They end autovacuum workers themselves, so skip processes without a user:
    `CountOtherDBBackends` in PostgreSQL's src/backend/storage/ipc/procarray.c.

    Raises:
        ServerError: a connection belongs to another role, and this role may not end it.
    """
    with connection.cursor() as cursor:
        for _ in unpatched.attempts(_ENDED_WITHIN, every=0.001):
            try:
                cursor.execute(f"SELECT pg_terminate_backend(pid) {_CLIENTS}", [name])
            except psycopg2.errors.InsufficientPrivilege as error:
                role = connection.info.user
                raise ServerError(_FOREIGN_CONNECTION.format(role=role, name=name)) from error
            if not cursor.fetchall():
                return
