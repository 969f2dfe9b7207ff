"""The sweep: drop the databases of this run, and those that dead runs left behind."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg2

from pgherd.postgres import connections, databases, locks, naming
from pgherd.template import comment

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from pgherd.postgres.address import Address

log = logging.getLogger("pgherd")

KEPT = 5
"""How many templates of each role stay on a server that outlives the run."""


def clones(server: Address, beginning: str) -> None:
    """Drop a run's clones, or a worker's clone and its spares.

    Args:
        server: the server of the clones.
        beginning: the result of `naming.clones_of` or `naming.clone`. For the clone of gw1, this
            drops no database of gw10.
    """
    with connections.maintenance(server) as connection:
        spares = f"{beginning.removesuffix('_')}_"
        for name in databases.names(connection, beginning):
            if name == beginning or name.startswith(spares):
                _drop(server, connection, name)


def dead_runs(server: Address) -> None:
    """Drop the clones of dead runs: those whose lock nobody holds.

    A run takes the lock of its id before it makes a clone, and the server frees the lock when the
    run's owner dies. So no clock and no process id decides.
    """
    with connections.maintenance(server) as connection:
        found = databases.names(connection, naming.PREFIX)
        runs = {run for name in found if (run := naming.run_of(name))}
        dead = {run for run in runs if not locks.is_held(connection, run)}
        for name in found:
            if naming.run_of(name) in dead:
                _drop(server, connection, name)


def templates(server: Address, keep: int = KEPT) -> None:
    """Drop this role's oldest templates and its half-built ones, except those in use.

    A template has two locks: a run that uses it holds the use lock, and a process that builds it
    holds the build lock. A run takes the use lock first, then the build lock. This function skips a
    template that is being built. It takes the build lock, and drops the template only if nobody
    holds the use lock. A run that comes later waits for the build lock, and builds the template
    again. A frozen template whose comment has another form is left alone, because the version of
    pgherd that made it may use other locks.
    """
    with connections.maintenance(server) as connection:
        for name in _superfluous(connection, keep):
            if locks.is_held(connection, name):
                continue
            with locks.exclusive(connection, name):
                if not locks.is_held(connection, naming.use_of(name)):
                    _drop(server, connection, name)


def _superfluous(connection: connection, keep: int) -> list[str]:
    """List the half-built templates, then the finished ones beyond those to keep."""
    found = databases.own_templates(connection)
    half_built = [name for name, frozen in found.items() if not frozen]
    comments = {name: comment.read(connection, name) for name in found if found[name]}
    used = sorted((each.used, name) for name, each in comments.items() if each)
    return half_built + [name for _, name in used[: max(len(used) - keep, 0)]]


def _drop(server: Address, connection: connection, name: str) -> None:
    """Drop a database; log a failure, since another role's database must not stop this run."""
    try:
        if naming.is_template(name):
            databases.thaw(connection, name)
        databases.roll_back_prepared(connection, server.database(name))
        databases.drop(connection, name)
    except psycopg2.Error as error:
        log.warning("could not drop %s: %s", name, str(error).strip())
