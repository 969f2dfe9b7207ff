"""The database that this process's test has now, for code that no fixture reaches."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.address import Database

ASKS = "pgherd_asks_for_pg"
"""The attribute of a test, or of its class, that asks for the fixture `pg` without naming it."""

_lent: list[Database] = []
_closers: list[Callable[[], None]] = []


def database() -> Database | None:
    """Give the database that the fixture `pg` lends now; None where no test has it."""
    return _lent[-1] if _lent else None


@contextmanager
def lent(database: Database) -> Iterator[None]:
    """Tell that a test has this database."""
    _lent.append(database)
    try:
        yield
    finally:
        _lent.pop()


@contextmanager
def closed_by(close: Callable[[], None]) -> Iterator[None]:
    """Have a function called whenever a clone is about to be replaced."""
    _closers.append(close)
    try:
        yield
    finally:
        _closers.remove(close)


def knows_what_to_close() -> bool:
    """Say whether `disconnect` closes anything."""
    return bool(_closers)


def disconnect() -> None:
    """Close what was announced: the clone is about to be replaced."""
    for close in _closers:
        close()
