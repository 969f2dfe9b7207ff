"""The resetter: call the reset function after each test, and end connections that block it.

`generator` wrote the function, `pgherd.reset()`, into the template, so each clone has it. If a
reset does not succeed, `run.worker_database` replaces the clone.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2

from pgherd import unpatched
from pgherd.postgres.naming import SCHEMA
from pgherd.postgres.sqltext import FIRST_OF_USER

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from pgherd.postgres.address import Database

log = logging.getLogger("pgherd")

# With this setting, PostgreSQL checks no foreign keys, and ordinary triggers and rules do not fire,
# so the tables can be restored in any order. Only a superuser may set it. For another role, pgherd
# replaces the clone after every change. It is set once for each connection, because each change of
# it makes the server discard its cached plans:
# https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE
_REPLICATION_ROLE = "SET session_replication_role = replica"

# If a row policy hides rows from this role (FORCE ROW LEVEL SECURITY), the reset must fail, or it
# would leave these rows. Then the clone is replaced.
_ROW_SECURITY = "SET row_security = off"

# A crash of the server must not lose a reset and keep what the test wrote before. And a server or
# role may be read-only by default.
_SETTINGS = "SET synchronous_commit = on; SET default_transaction_read_only = off"

# A prepared statement is parsed and planned only once.
_PREPARE = f"PREPARE pgherd_reset AS SELECT * FROM {SCHEMA}.reset()"
_RESET = "EXECUTE pgherd_reset"

# Other clients that are in a transaction or hold an advisory lock. An aborted transaction has no
# xact_start, so check the state too.
_BLOCKERS = """
SELECT pid, state, query,
  extract(epoch FROM clock_timestamp() - coalesce(xact_start, state_change))::float
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND (xact_start IS NOT NULL OR state LIKE 'idle in transaction%' OR pid IN (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    OR state = 'disabled' AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'virtualxid'))
"""
_TERMINATE = "SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid"
_PREPARED_TRANSACTIONS = """
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float FROM pg_prepared_xacts
WHERE database = current_database()
"""

_UNLOGGED = """
SELECT oid::regclass::text FROM pg_class
WHERE relpersistence = 'u' AND relkind = 'r' AND oid >= %s
"""

_ENDS_BY_ITSELF_WITHIN = 0.5
"""How long a blocking connection may take to end by itself, in seconds: the server notices that a
client closed it only after the client's last statement."""

_TERMINATED_WITHIN = 0.5
"""How long a terminated connection may take to end, in seconds."""

_LOCK_TIMEOUT = 0.5
"""How long the reset waits for a lock, in seconds."""

_LOOK_EVERY = 0.002
"""How long to wait before looking for blocking connections again, in seconds."""


@dataclass(frozen=True)
class BlockingConnection:
    """A connection that was in a transaction, or held an advisory lock, when its test had ended."""

    pid: int
    state: str
    query: str
    age: float
    """The age of its transaction, or else how long it has been idle, in seconds."""

    def __str__(self) -> str:
        """Return what was left, and what to do."""
        return (
            f"the test left a connection in a transaction or holding an advisory lock, and pgherd "
            f"ended the connection after {self.age:.1f} s. In the test, commit, roll back, release "
            f"the lock or close the connection. Its state: {self.state}. Its last statement: "
            f"{self.query}"
        )


@dataclass(frozen=True)
class PreparedTransaction:
    """A prepared transaction that was neither committed nor rolled back when its test had ended."""

    name: str
    age: float
    """How long ago it was prepared, in seconds."""

    def __str__(self) -> str:
        """Return what was left, and what to do."""
        return (
            f"the test left the prepared transaction {self.name!r}, {self.age:.1f} s old, and "
            "pgherd rolled it back. Commit it or roll it back in the test"
        )


class Resetter:
    """An open connection that resets the clone after each test.

    Args:
        database: the clone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: connection | None = None
        self.left: list[BlockingConnection | PreparedTransaction] = []
        """What the last test left behind, and the last reset ended."""

    def reset(self) -> bool:
        """Undo what was done to the clone; return whether it is certainly pristine."""
        self.left = []
        try:
            state, bloated = self._call()
            if state == "busy":
                self.left = [*self.end_blocking_connections(), *self._roll_back_prepared()]
                state, bloated = self._call()
            for table in bloated or ():
                self._query(f"VACUUM {table}")
        except psycopg2.Error:
            # Whatever the reason (a dropped schema `pgherd`, a lock), WorkerDatabase replaces it.
            log.debug("the reset of %s failed", self._database.name, exc_info=True)
            return False
        return bool(state == "pristine")

    def unlogged_tables(self) -> list[str]:
        """List the clone's unlogged tables, which a crash of the server empties."""
        return [name for (name,) in self._query(_UNLOGGED, FIRST_OF_USER)]

    def _call(self) -> tuple[str, list[str] | None]:
        ((state, bloated),) = self._query(_RESET)
        return state, bloated

    def end_blocking_connections(self) -> list[BlockingConnection]:
        """End the connections that are in a transaction or hold an advisory lock, and list them."""
        blocking = self._blocking_after(_ENDS_BY_ITSELF_WITHIN)
        if blocking:
            self._query(_TERMINATE, [each.pid for each in blocking])
            self._blocking_after(_TERMINATED_WITHIN)
        return blocking

    def _blocking_after(self, seconds: float) -> list[BlockingConnection]:
        """Wait until no connection blocks the reset, at most this long; list those that do."""
        found: list[tuple[Any, ...]] = []
        for _ in unpatched.attempts(seconds, _LOOK_EVERY):
            found = self._query(_BLOCKERS)
            if not found:
                break
        return [BlockingConnection(*row) for row in found]

    def _roll_back_prepared(self) -> list[PreparedTransaction]:
        found = [PreparedTransaction(*row) for row in self._query(_PREPARED_TRANSACTIONS)]
        for transaction in found:
            self._query("ROLLBACK PREPARED %s", transaction.name)
        return found

    def _query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._execute(query, values)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            # A test may end all connections to the database, including this one.
            if self._connection is None or not self._connection.closed:
                raise
            self.close()
            return self._execute(query, values)

    def _execute(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = self._database.connect()
            self._prepare(self._connection)
        with self._connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def _prepare(self, connection: connection) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {_LOCK_TIMEOUT * 1000:.0f}")
            if connection.get_parameter_status("is_superuser") == "on":
                cursor.execute(_REPLICATION_ROLE)
            cursor.execute(_ROW_SECURITY)
            cursor.execute(_SETTINGS)
            # If a test dropped the schema `pgherd`, this fails, and so will the reset.
            with suppress(psycopg2.Error):
                cursor.execute(_PREPARE)

    def close(self) -> None:
        """Close the connection; the next reset opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
