"""The sweep: drop what a run has made, and what runs that no longer live have left."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg2

from pgherd import admin, naming

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from pgherd.address import Address

log = logging.getLogger("pgherd")


def clones(server: Address, beginning: str) -> None:
    """Drop a run's clones, or one worker's: of gw1 those named gw1 or gw1_…, and not that of gw10.

    Args:
        server: where they are.
        beginning: what `naming.clones_of` or `naming.clone` gave.
    """
    with admin.connected(server) as link:
        further = f"{beginning.removesuffix('_')}_"
        for name in admin.names(link, beginning):
            if name == beginning or name.startswith(further):
                _drop(link, name)


def dead_runs(server: Address) -> None:
    """Drop the clones of the runs whose lock nobody holds any more.

    A run holds the lock of its id from before its first clone until after its last, and the server
    frees it when the run's owner dies, so neither a clock nor a process id is needed.
    """
    with admin.connected(server) as link:
        found = admin.names(link, naming.PREFIX)
        runs = {run for name in found if (run := naming.run_of(name))}
        dead = {run for run in runs if not admin.is_locked(link, run)}
        for name in found:
            if naming.run_of(name) in dead:
                _drop(link, name)


def _drop(link: connection, name: str) -> None:
    """Drop a database; it may be another user's, and must not keep this run from going on."""
    try:
        admin.drop(link, name)
    except psycopg2.Error as error:
        log.warning("could not drop %s: %s", name, str(error).strip())
