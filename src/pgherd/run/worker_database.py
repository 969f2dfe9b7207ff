"""A worker's database: its clone, which every test gets pristine, and the clone's spares.

This module decides between the two ways to make the clone pristine again: reset it, or replace it
by a spare. It replaces the clone if the reset did not succeed, and after a test with the mark
`pg(isolation="clone")`.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgherd import clones, lending
from pgherd.clones import Spares
from pgherd.errors import LeftBehindWarning, ServerError
from pgherd.postgres import connections
from pgherd.reset.resetter import Resetter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.postgres.address import Address, Database

_CONNECTIONS_ENDED = (
    "pgherd replaced the database, and ended connections to it that were still open: {count}. A "
    "pool that still holds one will fail. Override the fixture pg_disconnect: return a function "
    "that closes these connections, such as SQLAlchemy's engine.dispose"
)


def close_nothing() -> None:
    """Close no connection: what `pg_disconnect` returns in a project that does not override it."""


class WorkerDatabase:
    """The database of one worker, and the means to make it pristine again.

    It counts as dirty from the moment a test may write to it until a reset or a replacement has
    succeeded. So an error in between, whatever its cause, cannot hand a dirty database to a test.

    Args:
        server: the run's server.
        template: the name of the frozen template.
        name: the name of the worker's clone.

    Raises:
        ServerError: the server refuses to clone the template.
    """

    def __init__(self, server: Address, template: str, name: str) -> None:
        with connections.translated_errors():
            self.database: Database = clones.make(server, template, name)
        self.spares = Spares(self.database, template)
        self._resetter = Resetter(self.database)
        self._disconnect: Callable[[], None] = close_nothing
        self._unlogged: list[str] | None = None
        self._dirty = False
        self._reset_since_test_began = False

    def test_begins(self) -> None:
        """Count the database as dirty, unless it was reset during the test before."""
        self._dirty = self._dirty or not self._reset_since_test_began
        self._reset_since_test_began = False

    def fixture_ends(self) -> None:
        """Record that a fixture has ended that may have written in its teardown."""
        self._reset_since_test_began = False

    @contextmanager
    def lent(self, disconnect: Callable[[], None], *, replace: bool) -> Iterator[Database]:
        """Lend the pristine database to a test; make it pristine again at the end.

        Args:
            disconnect: the value of the project's `pg_disconnect`.
            replace: whether to replace the database at the end even if a reset succeeded.

        Raises:
            ServerError: the database can be neither reset nor replaced.
        """
        self._disconnect = disconnect
        if self._dirty:
            self._restore(replace=False)
        self._dirty = True
        with lending.lend(self.database):
            yield self.database
        self._restore(replace=replace)

    def _restore(self, *, replace: bool) -> None:
        """Reset the clone; replace it if the reset did not succeed, or if the test asked for it."""
        succeeded = self._resetter.reset()
        left = self._resetter.left
        if left:
            self.close_connections()  # the project may keep one that the reset has ended
        if not succeeded or replace:
            self._replace()
        self._dirty, self._reset_since_test_began = False, True
        for each in left:
            warnings.warn(str(each), LeftBehindWarning, stacklevel=1)

    def close_connections(self) -> None:
        """Close the connections of the project's code, as far as it has said how."""
        self._disconnect()
        lending.close_connections()

    def _replace(self) -> None:
        self._resetter.close()
        self.close_connections()
        # Count open connections only if the project has no function that closes them; such a
        # project may not know that it has any.
        unaware = self._disconnect is close_nothing and not lending.has_closers()
        count = self.spares.replace(count=unaware)
        with connections.translated_errors():
            self._verify()
        if count:
            message = _CONNECTIONS_ENDED.format(count=count)
            warnings.warn(message, LeftBehindWarning, stacklevel=1)

    def _verify(self) -> None:
        """Check a new clone, if the template may have been damaged by a crash of the server."""
        if self._unlogged is None:
            self._unlogged = self._resetter.unlogged_tables()
        if self._unlogged and not self._resetter.reset():
            raise ServerError(
                "the server has crashed, and its recovery has emptied UNLOGGED tables of the "
                f"template: {', '.join(self._unlogged)}. Run the tests again, or use logged tables"
            )

    def close(self) -> None:
        """Close what this process holds open; the owner drops the databases."""
        self._resetter.close()
        self.spares.close()
