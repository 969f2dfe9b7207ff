"""The template: a database migrated once, frozen, named by its fingerprint."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from pgherd import admin, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgherd.address import Address, Database


def build(server: Address, name: str, *steps: Callable[[Database], None]) -> None:
    """Make sure that the template is there and frozen; build it if it is not.

    Freezing is the last step, so a template found unfrozen is half-built by someone who died: it is
    dropped and built again, like one that the server cannot clone any more. Whoever else builds the
    same template, in another run or on another machine, waits for the advisory lock; the server
    frees it when its holder dies.

    Args:
        server: where to build.
        name: the template's name, which stands for what the steps do.
        steps: each is given the new database, and changes it. What one raises is raised here, and
            leaves nothing behind.
    """
    with admin.connected(server) as link, admin.locked(link, name):
        if admin.is_frozen(link, name):
            if noted := note.read(link, name):
                note.write(link, name, noted.relations)
            return
        admin.thaw(link, name)
        admin.drop(link, name)
        admin.create(link, name)
        try:
            for step in steps:
                step(server.database(name))
            with closing(server.database(name).connect()) as inside:
                note.write(link, name, note.relations(inside))
        except BaseException:
            admin.drop(link, name)
            raise
        # A connection that a step left open, or that somebody made who looks into each database,
        # would stay, and each clone of the template would wait 5 s for it to go, then fail.
        admin.refuse_connections(link, name)
        admin.disconnect(link, name)
        admin.freeze(link, name)
