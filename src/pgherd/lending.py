"""The database of the running test, for code that cannot request a fixture."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.postgres.address import Database

REQUESTS_PG = "pgherd_requests_pg"
"""The attribute of a test, or of its class, that requests the fixture `pg` without naming it."""

_lent: list[Database] = []
_closers: list[Callable[[], None]] = []


def current() -> Database | None:
    """Return the database that `pg` lends to the running test; None if it lends none."""
    return _lent[-1] if _lent else None


@contextmanager
def lend(database: Database) -> Iterator[None]:
    """Make this the current database while the block runs."""
    _lent.append(database)
    try:
        yield
    finally:
        _lent.pop()


@contextmanager
def closing_by(close: Callable[[], None]) -> Iterator[None]:
    """While the block runs, let `close_connections` call this function."""
    _closers.append(close)
    try:
        yield
    finally:
        _closers.remove(close)


def has_closers() -> bool:
    """Whether `close_connections` closes anything."""
    return bool(_closers)


def close_connections() -> None:
    """Close the connections of the project's code, because the clone is about to be replaced."""
    for close in _closers:
        close()
