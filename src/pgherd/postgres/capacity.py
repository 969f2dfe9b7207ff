"""Capacity: whether a server has enough connections and locks for a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg2.extensions import connection

CONNECTIONS_OF_OWNER = 2
"""The connections of a run's owner: one for the run's locks, and one to drop clones."""

CONNECTIONS_OF_WORKER = 4
"""A worker's connections: its reset, making a spare, swapping it in, and the code under test.

The code under test may open several, but the workers rarely reach their maximum at the same time.
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


@dataclass(frozen=True)
class Limit:
    """How many connections one setting of the server allows."""

    setting: str
    """What to raise, as in `raise max_connections`."""
    value: int
    """How many it allows; -1 means no limit."""
    taken: int
    """How many are in use or reserved for others."""
    each: int = CONNECTIONS_OF_WORKER
    """How many a worker needs."""


def connection_limits(connection: connection) -> list[Limit]:
    """Read the limits of this role's connections, and how many connections count against each.

    Connections that the server reserves count as taken, even if this role could use them:
    https://www.postgresql.org/docs/current/runtime-config-connection.html
    """
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS)
        ((role, database, *numbers),) = cursor.fetchall()
    server, server_taken, of_role, role_taken, of_database, database_taken = numbers
    return [
        Limit("max_connections", server, server_taken),
        Limit(f"the CONNECTION LIMIT of the role {role}", of_role, role_taken),
        Limit(f"the CONNECTION LIMIT of the database {database}", of_database, database_taken, 2),
    ]


def connection_shortage(workers: int, limits: Iterable[Limit]) -> str | None:
    """Return which limit is too low for a run, and what to do; None if the run fits.

    Args:
        workers: how many processes run tests at once.
        limits: each applies to the run as a whole.
    """
    for limit in limits:
        free = max(limit.value - limit.taken, 0)
        needed = CONNECTIONS_OF_OWNER + limit.each * workers
        if limit.value >= 0 and free < needed:
            fitting = (free - CONNECTIONS_OF_OWNER) // limit.each
            return (
                f"it has {free} connections left, and this run needs {needed}: {limit.each} for "
                f"each worker ({workers}) and {CONNECTIONS_OF_OWNER} more. "
                f"{_run_with(fitting)} {limit.setting} "
                f"from {limit.value} to {limit.taken + needed}"
            )
    return None


def _run_with(workers: int) -> str:
    return f"Run with -n {workers}, or raise" if workers > 0 else "Raise"


@dataclass(frozen=True)
class LockTable:
    """How many locks a server can hold for all its transactions together.

    https://www.postgresql.org/docs/current/runtime-config-locks.html
    """

    per_transaction: int
    """The setting max_locks_per_transaction."""
    transactions: int
    """The sum of the settings max_connections and max_prepared_transactions."""

    def shortage(self, workers: int, relations: int) -> str | None:
        """Return why the locks are too few for a run, and what to do; None if the run fits.

        Args:
            workers: how many processes run tests at once.
            relations: how many tables, indexes and sequences a reset locks, in each worker.
        """
        room = self.per_transaction * self.transactions
        needed = workers * relations
        if needed <= room:
            return None
        return (
            f"it has room for {room} locks, and this run needs {needed}: one for each of "
            f"{relations} tables, indexes and sequences, in each of {workers} workers. "
            f"{_run_with(room // relations)} max_locks_per_transaction "
            f"from {self.per_transaction} to {-(-needed // self.transactions)}"
        )


def lock_table(connection: connection) -> LockTable:
    """Read how many locks the server can hold."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_TABLE)
        ((per_transaction, transactions),) = cursor.fetchall()
        return LockTable(per_transaction, transactions)
