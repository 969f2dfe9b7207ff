"""Build a template: create a database, migrate it, freeze it."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg2

from pgherd.postgres import connections, databases, locks
from pgherd.template import comment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

    from pgherd.postgres.address import Address, Database


def build(server: Address, name: str, *steps: Callable[[Database], None]) -> None:
    """Build the template, unless it exists and is frozen.

    Freezing is the last step. If a template is not frozen, its builder died: drop it and build it
    again. Do the same if the server can no longer clone the template. An advisory
    lock makes other runs and other machines wait while the template is built; the server frees the
    lock when its holder dies.

    Args:
        server: the server to build on.
        name: the template's name, which depends on what the steps do.
        steps: functions that are called with the new database, in this order. If one raises, the
            database is dropped and the exception goes to the caller.
    """
    with connections.maintenance(server) as connection, locks.exclusive(connection, name):
        if databases.is_frozen(connection, name):
            _record_use(connection, name)
            return
        with _created(connection, name):
            for step in steps:
                step(server.database(name))
                # A connection that a step left open could block the next step.
                connections.end(connection, name)
            with closing(server.database(name).connect()) as inside:
                relations = comment.count_relations(inside)
            comment.write(connection, name, relations)
        # If a connection to the template is open, CREATE DATABASE waits 5 s for it to end, then
        # fails. A step may have left one open, and a monitoring program may have opened one.
        connections.refuse(connection, name)
        connections.end(connection, name)
        databases.freeze(connection, name)


def _record_use(connection: connection, name: str) -> None:
    if found := comment.read(connection, name):
        comment.write(connection, name, found.relations)


@contextmanager
def _created(connection: connection, name: str) -> Iterator[None]:
    """Create the empty database, in place of a half-built one; drop it if the block fails."""
    databases.thaw(connection, name)
    databases.drop(connection, name)
    databases.create(connection, name)
    try:
        yield
    except BaseException:
        with suppress(psycopg2.Error):  # what the block raised is the reason to show
            databases.drop(connection, name)
        raise
