"""The budget of a run on a server that has only so many connections and locks to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FOR_THE_RUN = 2
"""The connections of a run's owner: its lock, and dropping the clones of a worker that is gone."""

FOR_A_WORKER = 4
"""A worker's connections: its reset, a clone made ahead, its swap for another, the code under test.

The last may open more than one, and not every worker has all of them open at once.
"""


@dataclass(frozen=True)
class Limit:
    """How many connections there may be, by one of the settings that say so."""

    setting: str
    """What to raise, as in `raise max_connections`."""
    value: int
    """What it is set to; -1 is no limit."""
    taken: int
    """How many of them are in use or reserved for others."""
    each: int = FOR_A_WORKER
    """How many of them a worker needs."""


def shortage(workers: int, limits: Iterable[Limit]) -> str | None:
    """Say which limit is too low for so many workers, and what fits; None where there is room.

    Args:
        workers: how many processes run tests at once.
        limits: each holds for the run as a whole.
    """
    for limit in limits:
        free = max(limit.value - limit.taken, 0)
        needed = FOR_THE_RUN + limit.each * workers
        if limit.value >= 0 and free < needed:
            return (
                f"it has {free} connections left, and this run needs {needed}: {limit.each} for "
                f"each worker ({workers}) and {FOR_THE_RUN} more. "
                f"{_run_with((free - FOR_THE_RUN) // limit.each)} {limit.setting} "
                f"from {limit.value} to {limit.taken + needed}"
            )
    return None


def _run_with(workers: int) -> str:
    return f"Run with -n {workers}, or raise" if workers > 0 else "Raise"


@dataclass(frozen=True)
class LockTable:
    """How many locks a server can keep for all its transactions together.

    https://www.postgresql.org/docs/current/runtime-config-locks.html
    """

    per_transaction: int
    """The setting max_locks_per_transaction."""
    transactions: int
    """The sum of the settings max_connections and max_prepared_transactions."""

    def shortage(self, workers: int, relations: int) -> str | None:
        """Say why so many workers cannot each lock so many tables, indexes and sequences at once.

        Each does so in the reset after a test. None where there is room.
        """
        room = self.per_transaction * self.transactions
        needed = workers * relations
        if needed <= room:
            return None
        return (
            f"it keeps {room} locks, and this run needs {needed}: one for each of {relations} "
            f"tables, indexes and sequences, in each of {workers} workers. "
            f"{_run_with(room // relations)} max_locks_per_transaction "
            f"from {self.per_transaction} to {-(-needed // self.transactions)}"
        )
