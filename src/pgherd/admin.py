"""The only SQL that makes, freezes, lists and drops databases, and that locks a name."""

from __future__ import annotations

import logging
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import sql

from pgherd import naming
from pgherd.budget import Limit, LockTable
from pgherd.errors import ServerError
from pgherd.statements import THIS_DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection, cursor

    from pgherd.address import Address, Database

log = logging.getLogger("pgherd")

_STRATEGY_SINCE = 150000
_COLLATION_VERSION_SINCE = 150000
_STRANGER = (
    "another role is connected to the database {name}, as programs are that monitor a server, and "
    "the role {role} may not end that connection. Keep them away from databases whose names begin "
    'with pgherd_, or have an administrator run: GRANT pg_signal_backend TO "{role}"'
)
_GONE_WITHIN = 2.0
_LOOK_EVERY = 0.02

# What a connection is told first, and the version of PostgreSQL that brought the setting. What has
# to wait for another run is not to be given up, as a role may be set to do. And a machine that lost
# its power or its network says no goodbye: unless it asks, the server believes in it, and in its
# locks, for two hours: https://www.postgresql.org/docs/current/runtime-config-connection.html
_SETTINGS = {
    "statement_timeout = 0": 0,
    "lock_timeout = 0": 0,
    "idle_session_timeout = 0": 140000,
    "transaction_timeout = 0": 170000,
    "tcp_keepalives_idle = 20": 0,
    "tcp_keepalives_interval = 10": 0,
    "tcp_keepalives_count = 4": 0,
}

# A lock of one 64-bit key shows its high half as classid, its low half as objid, and objsubid 1:
# https://www.postgresql.org/docs/current/view-pg-locks.html
_HOLDERS = """
FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
 AND classid::bigint = %s AND objid::bigint = %s
"""
_FROZEN_BEFORE = "SELECT datistemplate AND NOT datallowconn FROM pg_database WHERE datname = %s"
_FROZEN = """
SELECT datistemplate AND NOT datallowconn AND (
  datcollversion IS NULL
  OR datcollversion IS NOT DISTINCT FROM pg_database_collation_actual_version(oid)
)
FROM pg_database WHERE datname = %s
"""
_LIMITS = """
WITH other AS (
  SELECT datid, usesysid FROM pg_stat_activity
  WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
    AND pid <> pg_backend_pid()
)
SELECT rolname, datname, current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
  + coalesce(current_setting('reserved_connections', true)::int, 0) + (SELECT count(*) FROM other),
  CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END,
  (SELECT count(*) FROM other WHERE usesysid = role.oid),
  CASE WHEN rolsuper THEN -1 ELSE datconnlimit END,
  (SELECT count(*) FROM other WHERE datid = base.oid)
FROM pg_roles AS role, pg_database AS base
WHERE rolname = session_user AND datname = current_database()
"""
_LOCK_TABLE = """
SELECT current_setting('max_locks_per_transaction')::int,
  current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int
"""
# GUC_LIST_QUOTE in PostgreSQL's src/backend/utils/misc/guc_tables.c, as far as a database has them.
_LISTS = {
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "local_preload_libraries",
}
_CLIENTS = """
FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
"""


@contextmanager
def connected(server: Address) -> Iterator[connection]:
    """Lend a connection to the maintenance database; each statement commits by itself.

    CREATE DATABASE and DROP DATABASE cannot run inside a transaction block:
    https://www.postgresql.org/docs/current/sql-createdatabase.html
    """
    with closing(server.database(server.maintenance).connect()) as link:
        link.autocommit = True
        known = [each for each, since in _SETTINGS.items() if link.server_version >= since]
        link.cursor().execute("".join(f"SET {each};" for each in known))
        yield link


@contextmanager
def locked(link: connection, name: str) -> Iterator[None]:
    """Hold the lock of this name, alone on the server, until the end or the connection's death.

    An advisory lock is one of a database, and two runs may have been told different ones. So who
    has the lock in its own looks for holders in the others, and is found by those that look later.
    Of two that find each other, the one in the database with the lower OID stays and waits, and the
    other gives way: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """
    with link.cursor() as cursor:
        _lock(cursor, naming.lock_key(name))
        try:
            yield
        finally:
            with suppress(psycopg2.OperationalError, psycopg2.InterfaceError):  # it is gone already
                cursor.execute("SELECT pg_advisory_unlock(%s)", [naming.lock_key(name)])


def _lock(cursor: cursor, key: int) -> None:
    while True:
        cursor.execute("SELECT pg_advisory_lock(%s)", [key])
        while (give_way := _elsewhere(cursor, key)) is False:
            time.sleep(_LOOK_EVERY)
        if give_way is None:
            return
        cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
        time.sleep(_LOOK_EVERY)


def _elsewhere(cursor: cursor, key: int) -> bool | None:
    """Say whether to give way to a holder in another database; None where there is none."""
    others = f"{_HOLDERS} AND database <> {THIS_DATABASE}"
    cursor.execute(f"SELECT bool_or(database < {THIS_DATABASE}) {others}", _halves(key))
    ((lower,),) = cursor.fetchall()
    return None if lower is None else bool(lower)


def share(link: connection, name: str) -> None:
    """Hold the lock of this name, maybe together with others, until the connection's end."""
    with link.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", [naming.lock_key(name)])


def is_locked(link: connection, name: str) -> bool:
    """Say whether any connection to the server, in whatever database, holds the name's lock."""
    with link.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT {_HOLDERS})", _halves(naming.lock_key(name)))
        ((held,),) = cursor.fetchall()
        return bool(held)


def _halves(key: int) -> list[int]:
    """Split a key as pg_locks shows it, which knows no sign."""
    return [key % 2**64 >> 32, key & 0xFFFFFFFF]


def create(
    link: connection, name: str, template: str | None = None, *, closed: bool = False
) -> None:
    """Create a database: an empty one, or a clone of a template; if closed, nobody can connect.

    An empty one is made from template0, which nobody can have added anything to: the fingerprint of
    a template speaks for all that is in it. FILE_COPY copies the template's files. It is the
    fastest where durability is off, and was the only way before PostgreSQL 15, which added the
    clause and made WAL_LOG the default. The settings that ALTER DATABASE gave the template it does
    not copy: https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template0")
    )
    if template and link.server_version >= _STRATEGY_SINCE:
        statement += sql.SQL(" STRATEGY FILE_COPY")
    if closed:
        statement += sql.SQL(" ALLOW_CONNECTIONS false")
    _execute(link, statement)
    for setting in _settings(link, template) if template else ():
        alter = sql.SQL("ALTER DATABASE {} SET ").format(sql.Identifier(name))
        _execute(link, alter + setting)
    log.info("created database %s%s", name, f" from {template}" if template else "")


def _settings(link: connection, name: str) -> Iterator[sql.Composable]:
    """Write a database's own settings as they were written; a list is one of quoted names."""
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database AS base"
            " ON base.oid = setdatabase WHERE datname = %s AND setrole = 0",
            [name],
        )
        for (setting,) in cursor.fetchall():
            key, _, value = setting.partition("=")
            written = sql.SQL(value) if key in _LISTS else sql.Literal(value)
            yield sql.SQL("{} TO {}").format(sql.Identifier(*key.split(".")), written)


def freeze(link: connection, name: str) -> None:
    """Make a database a template that nobody can connect to, in one statement."""
    _execute(
        link,
        sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false").format(
            sql.Identifier(name)
        ),
    )
    log.info("froze template %s", name)


def thaw(link: connection, name: str) -> None:
    """Make a template an ordinary database again, which can be dropped; leave another as it is.

    One whose drop was interrupted is a template no more, and a statement that alters it would end
    the connection.
    """
    with link.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s AND datistemplate", [name])
        if cursor.rowcount:
            cursor.execute(
                sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(name))
            )


def is_frozen(link: connection, name: str) -> bool:
    """Say whether a template is there and finished, and can be cloned.

    It can not where the machine has got another version of its collations since: its indexes may
    be out of order. https://www.postgresql.org/docs/current/sql-altercollation.html
    """
    known = link.server_version >= _COLLATION_VERSION_SINCE
    with link.cursor() as cursor:
        cursor.execute(_FROZEN if known else _FROZEN_BEFORE, [name])
        return cursor.fetchall() == [(True,)]


def exists(link: connection, name: str) -> bool:
    """Say whether there is a database of this name."""
    with link.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        return bool(cursor.rowcount)


def drop(link: connection, name: str) -> None:
    """Drop a database if it is there, with whatever is still connected to it.

    A database marked as a template cannot be dropped, so an unfinished one never is marked:
    https://www.postgresql.org/docs/current/sql-dropdatabase.html
    """
    if exists(link, name):
        statement = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
        try:
            _execute(link, statement + sql.SQL(" WITH (FORCE)"))
        except psycopg2.errors.InsufficientPrivilege:
            # So ordinary roles are told while autovacuum is at work there. It makes way by itself.
            _execute(link, statement)
        log.info("dropped database %s", name)


def rename(link: connection, name: str, new: str) -> None:
    """Give a database another name. Nobody may be connected to it."""
    _execute(
        link,
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new)),
    )
    log.info("renamed database %s to %s", name, new)


def refuse_connections(link: connection, name: str) -> None:
    """Let nobody connect to a database any more; who is connected stays."""
    _answer_connections(link, name, "false")


def allow_connections(link: connection, name: str) -> None:
    """Let everybody connect to a database."""
    _answer_connections(link, name, "true")


def _answer_connections(link: connection, name: str, answer: str) -> None:
    statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    _execute(link, statement.format(sql.Identifier(name), sql.SQL(answer)))


def connections(link: connection, name: str) -> int:
    """Count the connections that clients have to a database."""
    with link.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_CLIENTS}", [name])
        ((number,),) = cursor.fetchall()
        return int(number)


def disconnect(link: connection, name: str) -> None:
    """End every connection to a database, and wait a moment until they are gone.

    A statement that finds one still there, on its way out, looks again only after 100 ms. To
    autovacuum, which has no user, it sees itself (`CountOtherDBBackends` in PostgreSQL's
    src/backend/storage/ipc/procarray.c).

    Raises:
        ServerError: one of them is another role's, which this one may not end.
    """
    until = time.monotonic() + _GONE_WITHIN
    with link.cursor() as cursor:
        while time.monotonic() < until:
            try:
                cursor.execute(f"SELECT pg_terminate_backend(pid) {_CLIENTS}", [name])
            except psycopg2.errors.InsufficientPrivilege as error:
                raise ServerError(_STRANGER.format(role=link.info.user, name=name)) from error
            if not cursor.fetchall():
                return
            time.sleep(0.001)


def roll_back_prepared(link: connection, database: Database) -> None:
    """Roll back the transactions that were prepared in a database, or it could not be dropped.

    That can be done from inside only, and by the role that prepared them:
    https://www.postgresql.org/docs/current/sql-rollback-prepared.html
    """
    with link.cursor() as cursor:
        cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", [database.name])
        found = [gid for (gid,) in cursor.fetchall()]
    if found:
        allow_connections(link, database.name)
        with closing(database.connect()) as inside:
            inside.autocommit = True
            for gid in found:
                inside.cursor().execute("ROLLBACK PREPARED %s", [gid])


def names(link: connection, beginning: str) -> list[str]:
    """List the databases whose names begin so."""
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1",
            [beginning],
        )
        return [name for (name,) in cursor.fetchall()]


def templates(link: connection) -> dict[str, bool]:
    """List this user's own templates, and say which are frozen."""
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT datname, datistemplate AND NOT datallowconn FROM pg_database"
            " WHERE starts_with(datname, %s) AND pg_get_userbyid(datdba) = current_user"
            " ORDER BY 1",
            [naming.PREFIX],
        )
        return {name: frozen for name, frozen in cursor.fetchall() if naming.is_template(name)}


def limits(link: connection) -> list[Limit]:
    """List what limits this user's connections, without those that are taken.

    Those that the server reserves are taken, too, even where this user might have them. What other
    users do is hidden from an ordinary one, but not that they are connected:
    https://www.postgresql.org/docs/current/runtime-config-connection.html
    """
    with link.cursor() as cursor:
        cursor.execute(_LIMITS)
        ((role, database, *numbers),) = cursor.fetchall()
    whole, in_use, of_role, by_role, of_database, to_database = numbers
    return [
        Limit("max_connections", whole, in_use),
        Limit(f"the CONNECTION LIMIT of the role {role}", of_role, by_role),
        Limit(f"the CONNECTION LIMIT of the database {database}", of_database, to_database, 2),
    ]


def lock_table(link: connection) -> LockTable:
    """Read how many locks the server can keep."""
    with link.cursor() as cursor:
        cursor.execute(_LOCK_TABLE)
        ((per_transaction, transactions),) = cursor.fetchall()
        return LockTable(per_transaction, transactions)


def version(link: connection) -> str:
    """Give the server's version, such as `17.6`, without what its packager appended."""
    with link.cursor() as cursor:
        cursor.execute("SHOW server_version")
        ((text,),) = cursor.fetchall()
        return str(text).split(maxsplit=1)[0]


def _execute(link: connection, statement: sql.Composable) -> None:
    with link.cursor() as cursor:
        cursor.execute(statement)
