"""The sweep: drop what a run has made, and what runs that no longer live have left."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg2

from pgherd import admin, naming, note

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from pgherd.address import Address

log = logging.getLogger("pgherd")

KEPT = 5
"""How many templates are kept on a server that outlives the run, for each user."""


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
                _drop(server, link, name)


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
                _drop(server, link, name)


def templates(server: Address, keep: int = KEPT) -> None:
    """Drop this user's templates but for those used last, those in use, and those being built.

    A run takes the lock of a template's use before that of its building, in which it finds the
    template or builds it. So who has the lock of its building, and sees nobody use it, can drop it:
    whoever asks from then on waits for the lock, and finds that it has to be built. A frozen one
    without a note is none of this version's, and who uses it may not say so: it is left alone.
    """
    with admin.connected(server) as link:
        found = admin.templates(link)
        notes = {name: noted for name in found if (noted := note.read(link, name))}
        finished = sorted(
            (name for name in notes if found[name]), key=lambda name: notes[name].used
        )
        half_built = [name for name, frozen in found.items() if not frozen]
        for name in (*half_built, *finished[: max(len(finished) - keep, 0)]):
            if admin.is_locked(link, name):
                continue
            with admin.locked(link, name):
                if not admin.is_locked(link, naming.use_of(name)):
                    _drop(server, link, name)


def _drop(server: Address, link: connection, name: str) -> None:
    """Drop a database; it may be another user's, and must not keep this run from going on."""
    try:
        if naming.is_template(name):
            admin.thaw(link, name)
        admin.roll_back_prepared(link, server.database(name))
        admin.drop(link, name)
    except psycopg2.Error as error:
        log.warning("could not drop %s: %s", name, str(error).strip())
