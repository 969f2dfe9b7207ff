"""Advisory locks: each is held under a name, and the server frees it when its holder dies."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg2

from pgherd import unpatched
from pgherd.postgres import naming
from pgherd.postgres.sqltext import THIS_DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection, cursor

_LOOK_EVERY = 0.02
"""How long to wait before looking again for a holder in another database, in seconds."""

# pg_locks shows the high half of a 64-bit key as classid, the low half as objid, and objsubid 1:
# https://www.postgresql.org/docs/current/view-pg-locks.html
_HOLDERS = """
FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
 AND classid::bigint = %s AND objid::bigint = %s
"""


@contextmanager
def exclusive(connection: connection, name: str) -> Iterator[None]:
    """Hold the lock of this name exclusively, on the whole server, until the block ends.

    PostgreSQL keeps advisory locks per database, and two runs may use different maintenance
    databases. So a process first takes the lock in its own database, then looks for holders in the
    others. When two processes find each other, the one in the database with the lower OID keeps its
    lock and waits, and the other one releases its lock and tries again:
    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """
    key = naming.lock_key(name)
    with connection.cursor() as cursor:
        _acquire(cursor, key)
        try:
            yield
        finally:
            # A lost connection has released the lock already.
            with suppress(psycopg2.OperationalError, psycopg2.InterfaceError):
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def _acquire(cursor: cursor, key: int) -> None:
    while True:
        cursor.execute("SELECT pg_advisory_lock(%s)", [key])
        while (give_way := _must_give_way(cursor, key)) is False:
            unpatched.sleep(_LOOK_EVERY)
        if give_way is None:
            return
        cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
        unpatched.sleep(_LOOK_EVERY)


def _must_give_way(cursor: cursor, key: int) -> bool | None:
    """Whether a holder in another database goes first; None if no other database has a holder."""
    others = f"{_HOLDERS} AND database <> {THIS_DATABASE}"
    cursor.execute(f"SELECT bool_or(database < {THIS_DATABASE}) {others}", _halves(key))
    ((lower,),) = cursor.fetchall()
    return None if lower is None else bool(lower)


def take_shared(connection: connection, name: str) -> None:
    """Take the lock of this name in shared mode; the server frees it when the connection ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", [naming.lock_key(name)])


def is_held(connection: connection, name: str) -> bool:
    """Whether any connection to the server, in any database, holds the lock of this name."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT {_HOLDERS})", _halves(naming.lock_key(name)))
        ((held,),) = cursor.fetchall()
        return bool(held)


def _halves(key: int) -> list[int]:
    """Split a signed 64-bit key into the two unsigned halves that pg_locks shows."""
    return [key % 2**64 >> 32, key & 0xFFFFFFFF]
