"""Clones: databases made from the template, for a worker and as its spares.

`run.worker_database` decides when a spare replaces the worker's clone.
"""

from __future__ import annotations

import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psycopg2

from pgherd import unpatched
from pgherd.errors import ServerError
from pgherd.postgres import connections, databases, recovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

    from pgherd.postgres.address import Address, Database

_CLOSED_WITHIN = 0.5
"""How long the server may take to end a connection that its client closed, in seconds."""

_LOOK_EVERY = 0.002
"""How long to wait before counting connections again, in seconds."""

_NUMBERS = itertools.count(1)
"""Numbers for the names of spares, unique in this process, across templates too."""


def make(server: Address, template: str, name: str, *, closed: bool = False) -> Database:
    """Clone the template. If a database of this name exists, drop it first.

    The owner drops the clones that are left at the end, because xdist may stop a worker before its
    teardown.

    Args:
        server: the server of the template.
        template: the name of the template.
        name: the name of the clone.
        closed: whether the clone refuses connections for now.
    """
    with connections.maintenance(server) as connection:
        databases.drop(connection, name)
        databases.create(connection, name, template, closed=closed)
    return server.database(name)


class Spares:
    """Clones that a thread makes in advance and drops later, so that no test waits for either.

    Args:
        database: the worker's clone; the name of a spare is its name with a number.
        template: the name of the template.
    """

    def __init__(self, database: Database, template: str) -> None:
        self._database = database
        self._template = template
        self._names = (f"{database.name}_{number}" for number in _NUMBERS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pgherd-spares")
        self._thread.submit(lambda: None)  # start it before a test can patch `threading`
        self._next: Future[Database] | None = None
        self._stack = ExitStack()
        self._connection: connection | None = None

    def prefetch(self) -> Future[Database]:
        """Make a spare in the background, unless one is ready or being made."""
        if self._next is None:
            # Closed: if a monitoring program connected to the spare, pgherd could not rename it.
            server, name = self._database.server, next(self._names)
            self._next = self._thread.submit(make, server, self._template, name, closed=True)
        return self._next

    def take(self) -> Database:
        """Return a pristine clone, which the caller must `discard`; start making the next one."""
        database = self._ready()
        connections.allow(self._lasting_connection(), database.name)
        self.prefetch()
        return database

    def _ready(self) -> Database:
        # Forget the spare first: if making it failed, the next call makes another.
        coming, self._next = self.prefetch(), None
        if coming.done() and coming.exception() is not None:  # perhaps long ago: try once more
            coming, self._next = self.prefetch(), None
        return coming.result()

    @contextmanager
    def lending(self) -> Iterator[Callable[[], Database]]:
        """Lend a function whose calls return further pristine clones; drop them at the end."""
        taken: list[Database] = []

        def take() -> Database:
            taken.append(self.take())
            return taken[-1]

        yield take
        for database in taken:
            self.discard(database)

    def discard(self, database: Database) -> None:
        """Drop a database in the background."""
        self._thread.submit(self._drop, database.name)

    def replace(self, *, count: bool = False) -> int:
        """Replace the worker's clone by a spare, which gets the clone's name. Its URL stays valid.

        Connections to the replaced clone are ended. If a process of the server has crashed, this
        tries again for up to 30 seconds.

        Args:
            count: whether to count the open connections. If there are any, wait up to half a second
                for the server to end those that a client has closed.

        Returns:
            How many connections there were, if they were counted; else 0.

        Raises:
            ServerError: the server does not answer, or refuses.
        """
        problem: psycopg2.Error | None = None
        for _ in unpatched.attempts(recovery.WITHIN, every=0.05):
            try:
                return self._swap(count=count)
            except psycopg2.Error as error:  # noqa: PERF203 (a retry)
                problem = error
                if not recovery.has_crashed(error):
                    break
        raise ServerError(
            f"pgherd cannot reset or replace the database {self._database.name}: "
            f"{str(problem).strip()}. Check that no test stops the server or takes rights from the "
            "role that pgherd connects as"
        ) from problem

    def _swap(self, *, count: bool) -> int:
        open_connections = 0
        spare, connection = self._ready(), self._lasting_connection()
        old = self._database.server.database(next(self._names))
        if databases.exists(connection, self._database.name):
            databases.roll_back_prepared(connection, self._database)
            # First refuse: a pool may open new connections as fast as its old ones are ended.
            connections.refuse(connection, self._database.name)
            open_connections = self._count_open(connection) if count else 0
            connections.end(connection, self._database.name)
            databases.rename(connection, self._database.name, old.name)
        databases.rename(connection, spare.name, self._database.name)
        connections.allow(connection, self._database.name)
        # After the swap, so that the waiting test does not share the server with this work.
        self.prefetch()
        self.discard(old)
        return open_connections

    def _count_open(self, connection: connection) -> int:
        found = 0
        for _ in unpatched.attempts(_CLOSED_WITHIN, _LOOK_EVERY):
            found = connections.count(connection, self._database.name)
            if not found:
                break
        return found

    def _lasting_connection(self) -> connection:
        """Return the connection of these spares; open another if it was lost.

        It stays open, because opening a connection takes longer than the queries on it.
        """
        try:
            if self._connection is not None:
                self._connection.cursor().execute("SELECT")
                return self._connection
        except psycopg2.Error:
            self._stack.close()
        opened = connections.maintenance(self._database.server)
        self._connection = self._stack.enter_context(opened)
        return self._connection

    def _drop(self, name: str) -> None:
        with connections.maintenance(self._database.server) as connection:
            databases.drop(connection, name)

    def close(self) -> None:
        """Finish the work that has begun, and cancel the rest; the owner drops what is left."""
        self._thread.shutdown(cancel_futures=True)
        self._stack.close()
