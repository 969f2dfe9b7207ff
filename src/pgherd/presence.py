"""That a run lives: what it holds on its server, for other runs to see."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg2

from pgherd import admin

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from pgherd.address import Address

log = logging.getLogger("pgherd")

_LOOK_EVERY = 5.0
_LAST_LOOK_WITHIN = 1.0


class Presence:
    """Locks that a run holds for as long as it lives: of its id, and of templates that it clones.

    While it does, no other run takes its clones for a dead one's, or drops those templates. They
    are a connection's, which can be lost: the server is started anew, or an administrator ends what
    seems idle. So a thread looks after it, and takes the locks again on another.

    Args:
        server: where the run's databases are.
        run: the run's id.
    """

    def __init__(self, server: Address, run: str) -> None:
        self._server = server
        self._names = [run]
        self._stack = ExitStack()
        self._link = self._connect()
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pgherd-presence", daemon=True)
        self._thread.start()

    def hold(self, name: str) -> None:
        """Hold the lock of this name, too."""
        with self._one_at_a_time:
            self._names.append(name)
            try:
                admin.share(self._link, name)
            except psycopg2.Error:
                self._link = self._connect()

    def _connect(self) -> connection:
        self._stack.close()
        link = self._stack.enter_context(admin.connected(self._server))
        for name in self._names:
            admin.share(link, name)
        return link

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_EVERY):
            with self._one_at_a_time:
                try:
                    self._look()
                except psycopg2.Error:
                    log.debug("the server cannot be reached", exc_info=True)

    def _look(self) -> None:
        try:
            self._link.cursor().execute("SELECT")
        except psycopg2.Error as error:
            log.warning("the connection that shows that this run lives was lost: %s", error)
            self._link = self._connect()

    def close(self) -> None:
        """Let go of everything, by ending the connection."""
        self._ended.set()
        self._thread.join(_LAST_LOOK_WITHIN)
        if not self._thread.is_alive():  # else the server is out of reach, and nobody to wait for
            self._stack.close()
