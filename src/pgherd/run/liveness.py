"""The locks that show other runs that this run is alive."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg2

from pgherd.postgres import connections, locks

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from pgherd.postgres.address import Address

log = logging.getLogger("pgherd")

_CHECK_EVERY = 5.0
"""How long to wait between two checks of the connection, in seconds."""

_LAST_CHECK_WITHIN = 1.0
"""How long `close` waits for a check that is under way, in seconds."""


class Liveness:
    """The locks of a live run: one for its id, and one for each template that it uses.

    While it holds them, no other run drops its clones or those templates. The locks belong to a
    connection, which can be lost: the server restarts, or an administrator ends idle connections.
    So a thread checks the connection, and takes the locks again through a new one if it was lost.
    Until then, for at most five seconds, another run could take this one for dead.

    Args:
        server: the server of the run's databases.
        run_id: the run's id.
    """

    def __init__(self, server: Address, run_id: str) -> None:
        self._server = server
        self._names = [run_id]
        self._stack = ExitStack()
        self._connection = self._connect()
        self._mutex = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pgherd-liveness", daemon=True)
        self._thread.start()

    def hold(self, name: str) -> None:
        """Hold the lock of this name as well."""
        with self._mutex:
            self._names.append(name)
            try:
                locks.take_shared(self._connection, name)
            except psycopg2.Error:
                self._connection = self._connect()

    def _connect(self) -> connection:
        self._stack.close()
        connection = self._stack.enter_context(connections.maintenance(self._server))
        for name in self._names:
            locks.take_shared(connection, name)
        return connection

    def _watch(self) -> None:
        while not self._ended.wait(_CHECK_EVERY):
            with self._mutex:
                try:
                    self._check()
                except psycopg2.Error:
                    log.debug("the server cannot be reached", exc_info=True)

    def _check(self) -> None:
        try:
            self._connection.cursor().execute("SELECT")
        except psycopg2.Error as error:
            log.warning(
                "lost the connection that holds the locks of this run; connecting again: %s", error
            )
            self._connection = self._connect()

    def close(self) -> None:
        """Release the locks by closing the connection."""
        self._ended.set()
        self._thread.join(_LAST_CHECK_WITHIN)
        # If the thread still waits, the server is out of reach, and closing would wait as well.
        if not self._thread.is_alive():
            self._stack.close()
