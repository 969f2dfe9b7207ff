"""A run: its owner, its workers, and what a worker may ask of the owner.

- coordinator      The owner's state: the server, and who builds which template.
- transport        How workers reach the owner, and how the owner learns that a worker has crashed.
- liveness, sweep  The locks that show that a run is alive, and the removal of what dead runs left.
- shared_template  One worker builds the template, the others wait.
- worker_database  Each worker's clone: lend it to a test, then reset or replace it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pgherd.postgres.address import Address


class Coordination(Protocol):
    """What a process that runs tests may ask of the run's owner."""

    def clone_name(self, worker: str) -> str:
        """Return the name of the worker's clone."""

    def server(self) -> Address:
        """Return the run's server; the first request starts it, and later ones wait for it.

        Raises:
            ServerError: the server cannot be started.
        """

    def claim(self, template: str, worker: str) -> bool:
        """Whether this worker must build the template; wait while another worker builds it.

        Raises:
            MigrationError: another worker could not build it.
        """

    def settle(self, template: str, built: bool) -> None:  # noqa: FBT001
        """Report whether a claimed template was built.

        Raises:
            ServerError: the server has too few locks for so many workers and so big a schema.
        """
