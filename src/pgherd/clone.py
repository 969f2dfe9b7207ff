"""The clone: a worker's own database, made from the template."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg2

from pgherd import admin
from pgherd.errors import ServerError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from pgherd.address import Address, Database

_GRACE = 0.5
"""How long a connection that was closed may take to end, in seconds, on a busy machine."""

_LOOK_EVERY = 0.002


def make(server: Address, template: str, name: str, *, closed: bool = False) -> Database:
    """Clone the template; a database that has the name already is dropped.

    The clone outlives whoever made it: the owner drops it, because xdist cuts the teardown of its
    workers off. If it is made closed, nobody can connect to it yet.
    """
    with admin.connected(server) as link:
        admin.drop(link, name)
        admin.create(link, name, template, closed=closed)
    return server.database(name)


class Spares:
    """Clones that a thread makes ahead and drops afterwards, so that nobody waits for either.

    Args:
        database: the worker's clone; its spares are called like it, with a number.
        template: what they are made from.
    """

    def __init__(self, database: Database, template: str) -> None:
        self._database = database
        self._template = template
        self._names = (f"{database.name}_{number}" for number in itertools.count(1))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pgherd-spares")
        self._next: Future[Database] | None = None
        self._stack = ExitStack()
        self._link: connection | None = None

    def prefetch(self) -> Future[Database]:
        """Have one made, if none is there or under way."""
        if self._next is None:
            # Closed, or else whoever looks into each database of the server would be in the way.
            server, name = self._database.server, next(self._names)
            self._next = self._thread.submit(make, server, self._template, name, closed=True)
        return self._next

    def take(self) -> Database:
        """Give a pristine clone, and have the next one made. Whoever takes it discards it."""
        database = self._ready()
        admin.allow_connections(self._connected(), database.name)
        self.prefetch()
        return database

    def _ready(self) -> Database:
        coming, self._next = self.prefetch(), None  # one that failed is not asked for again
        return coming.result()

    def discard(self, database: Database) -> None:
        """Have a database dropped, some time before the end."""
        self._thread.submit(self._drop, database.name)

    def replace(self, *, count: bool = False) -> int:
        """Put a pristine clone in the place of the worker's, so that its URL stays true.

        Connections to the one that is replaced are ended.

        Args:
            count: whether to count those that nobody had closed; half a second, if there are any.

        Returns:
            How many there were, if they were counted.

        Raises:
            ServerError: the server does not answer, or refuses.
        """
        try:
            return self._swap(count=count)
        except psycopg2.Error as error:
            raise ServerError(
                f"what this test left cannot be undone: its database {self._database.name} cannot "
                "be reached or replaced. See that no test stops the server, or takes its rights "
                f"away. {str(error).strip()}"
            ) from error

    def _swap(self, *, count: bool) -> int:
        kept = 0
        spare, link = self._ready(), self._connected()
        old = self._database.server.database(next(self._names))
        if admin.exists(link, self._database.name):
            # A pool may open new ones as fast as its old ones are ended.
            admin.refuse_connections(link, self._database.name)
            kept = self._kept(link) if count else 0
            admin.disconnect(link, self._database.name)
            admin.rename(link, self._database.name, old.name)
        admin.rename(link, spare.name, self._database.name)
        admin.allow_connections(link, self._database.name)
        # Only now: the server would do it at the expense of what the test waits for.
        self.prefetch()
        self.discard(old)
        return kept

    def _kept(self, link: connection) -> int:
        until = time.monotonic() + _GRACE
        while (kept := admin.connections(link, self._database.name)) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)
        return kept

    def _connected(self) -> connection:
        """Give a connection that lasts, or another where it was lost: to make one takes longest."""
        try:
            if self._link is not None:
                self._link.cursor().execute("SELECT")
                return self._link
        except psycopg2.Error:
            self._stack.close()
        self._link = self._stack.enter_context(admin.connected(self._database.server))
        return self._link

    def _drop(self, name: str) -> None:
        with admin.connected(self._database.server) as link:
            admin.drop(link, name)

    def close(self) -> None:
        """Wait until what was begun is done; the owner drops what is left."""
        self._thread.shutdown(cancel_futures=True)
        self._stack.close()
