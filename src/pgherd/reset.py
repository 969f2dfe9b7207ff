"""The reset: undo what a test did to the clone, in place.

The clone has a function for it, which `undo` generated into the template; a `Resetter` calls it
after each test, and sees to what a function cannot do.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2

from pgherd.naming import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection

    from pgherd.address import Database

log = logging.getLogger("pgherd")

# As a replica, no foreign key is checked and no trigger or rule fires, so that the tables can be
# restored in any order. Only a superuser may say so; without the right nothing is undone in place,
# and the clone is replaced whatever changed. It is said once a connection: each change of it makes
# the server throw its cached plans away.
_AS_REPLICA = "SET session_replication_role = replica"

# Prepared, it is neither parsed nor planned again.
_PREPARE = f"PREPARE pgherd_reset AS SELECT * FROM {SCHEMA}.reset()"
_RESET = "EXECUTE pgherd_reset"

_LEFT = """
SELECT pid, state, query,
  extract(epoch FROM clock_timestamp() - coalesce(xact_start, state_change))::float
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND (xact_start IS NOT NULL OR state LIKE 'idle in transaction%' OR pid IN (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))
"""
_END = "SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid"
_PREPARED = """
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float FROM pg_prepared_xacts
WHERE database = current_database()
"""

_GRACE = 0.5
"""How long a connection may take to end by itself, in seconds: the server notices that a client
closed it only after the client's next statement."""

_PATIENCE = 0.5
"""How long to wait for what stands in the way of a reset, in seconds."""


@dataclass(frozen=True)
class LeftOpen:
    """A connection that was still in a transaction, or held a lock, when its test had ended."""

    pid: int
    state: str
    query: str
    age: float
    """How long it had been so, in seconds."""

    def __str__(self) -> str:
        """Say what was found, and what to do about it."""
        return (
            f"the test left a connection in a transaction or holding a lock, for {self.age:.1f} s, "
            "which pgherd ended: commit, roll back, unlock or close it in the test. It was "
            f"{self.state}; its last statement: {self.query}"
        )


@dataclass(frozen=True)
class LeftPrepared:
    """A prepared transaction that nobody had committed or rolled back when its test had ended."""

    name: str
    age: float
    """How long ago it was prepared, in seconds."""

    def __str__(self) -> str:
        """Say what was found, and what to do about it."""
        return (
            f"the test left the prepared transaction {self.name!r}, {self.age:.1f} s old, which "
            "pgherd rolled back: commit it or roll it back in the test"
        )


class Resetter:
    """A connection to the clone that lasts, and what is asked of it after each test."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._link: connection | None = None
        self.left: list[LeftOpen | LeftPrepared] = []
        """What the last test left behind, and `undo` ended."""

    def undo(self) -> bool:
        """Undo what was done to the clone; say whether it is certain that it is pristine."""
        self.left = []
        try:
            state, bloated = self._reset()
            if state == "busy":
                self.left = [*self.end_connections(), *self._roll_back_prepared()]
                state, bloated = self._reset()
            for table in bloated or ():
                self._query(f"VACUUM {table}")
        except psycopg2.Error:
            # Whatever the reason (the test dropped our schema, a lock is held), a new clone cures.
            log.debug("the reset of %s failed", self._database.name, exc_info=True)
            return False
        return bool(state == "pristine")

    def end_connections(self) -> list[LeftOpen]:
        """End the connections that are in a transaction or hold a lock, and list them."""
        left = self._in_the_way(_GRACE)
        if left:
            self._query(_END, [connection.pid for connection in left])
            self._in_the_way(_PATIENCE)
        return left

    def _in_the_way(self, patience: float) -> list[LeftOpen]:
        """Wait a moment until nobody is in the way, and list who still is."""
        until = time.monotonic() + patience
        while (found := self._query(_LEFT)) and time.monotonic() < until:
            time.sleep(0.002)
        return [LeftOpen(*row) for row in found]

    def _roll_back_prepared(self) -> list[LeftPrepared]:
        left = [LeftPrepared(*row) for row in self._query(_PREPARED)]
        for transaction in left:
            self._query("ROLLBACK PREPARED %s", transaction.name)
        return left

    def _reset(self) -> tuple[str, list[str] | None]:
        ((state, bloated),) = self._query(_RESET)
        return state, bloated

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._ask(query, values)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            # A test may end every connection to its database, ours with them.
            if self._link is None or not self._link.closed:
                raise
            self.close()
            return self._ask(query, values)

    def _ask(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if self._link is None:
            self._link = self._database.connect()
            self._link.autocommit = True
            self._ask(f"SET lock_timeout = {_PATIENCE * 1000:.0f}", ())
            if self._link.get_parameter_status("is_superuser") == "on":
                self._ask(_AS_REPLICA, ())
            with suppress(psycopg2.Error):  # a test dropped our schema: the reset will say so
                self._ask(_PREPARE, ())
        with self._link.cursor() as run:
            run.execute(query, values or None)
            return run.fetchall() if run.description else []


@contextmanager
def resetter(database: Database) -> Iterator[Resetter]:
    """Lend the resetter of a clone."""
    with closing(Resetter(database)) as lent:
        yield lent
