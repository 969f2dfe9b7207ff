"""The names of `pgherd.peewee`, as a typed project with Peewee uses them.

mypy reads this file and nothing runs it. An unused `type: ignore` is an error, so each of them
states a call that mypy has to refuse.
"""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import TYPE_CHECKING

import peewee
import pytest

from pgherd.peewee import PeeweeMigrations, bound, create_tables, disconnect, with_test_db

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pgherd

database = peewee.PostgresqlDatabase(None)
proxy = peewee.DatabaseProxy()


class User(peewee.Model):
    """A table."""

    name = peewee.TextField()


class Role(peewee.Model):
    """Another table."""

    name = peewee.TextField()


def migrations_of_each_kind(kind: str) -> pgherd.Migrations:
    """Return migrations, as the fixture `pg_migrations` does."""
    if kind == "models":
        return create_tables(database, [User, Role])
    if kind == "models behind a proxy":
        return create_tables(proxy, (User,))
    if kind == "path":
        return PeeweeMigrations(Path(__file__).parent / "migrations")
    return PeeweeMigrations("app/migrations")


@pytest.fixture(scope="session")
def bound_database(pg_database: pgherd.Database) -> Iterator[peewee.Database]:
    """Bind the project's database to this worker's clone."""
    with bound(database, pg_database) as real:
        yield real


@pytest.fixture(scope="session")
def bound_proxy(pg_database: pgherd.Database) -> Iterator[peewee.Database]:
    """Bind a proxy."""
    with bound(proxy, pg_database) as real:
        yield real


@pytest.fixture(scope="session")
def pg_disconnect() -> Callable[[], None]:
    """Close what a database keeps open, that of a proxy too."""
    disconnect(proxy)
    return lambda: disconnect(database)


@with_test_db((User, Role))
def decorated(name: str, *, admin: bool = False) -> str:
    """Keep the signature under the decorator."""
    return name if admin else ""


@with_test_db([User])
async def decorated_async(name: str) -> str:
    """Keep the signature of an async function."""
    return name


@with_test_db([User])
class Decorated:
    """Stay a class under the decorator."""

    def test_name(self) -> str:
        """Return a text."""
        return "ada"


@with_test_db([User])
class DecoratedCase(unittest.TestCase):
    """Stay a test case under the decorator."""

    def test_name(self) -> None:
        """Do nothing."""


def signatures() -> None:
    """Call what the decorator returned as it was before."""
    text: str = decorated("ada", admin=True)
    text = Decorated().test_name()
    assert text
    assert DecoratedCase().countTestCases()
    decorated(1)  # type: ignore[arg-type]
    decorated("ada", role="admin")  # type: ignore[call-arg]
    number: int = decorated("ada")  # type: ignore[assignment]
    assert number


async def async_signatures() -> None:
    """Await what the decorator returned as it was before."""
    text: str = await decorated_async("ada")
    text = decorated_async("ada")  # type: ignore[assignment]
    assert text


def refused_calls(pg_database: pgherd.Database) -> None:
    """Call the functions in ways that mypy has to refuse."""
    with_test_db(User)  # type: ignore[arg-type]
    with_test_db((User(), Role()))  # type: ignore[arg-type]
    create_tables(database, User)  # type: ignore[arg-type]
    create_tables("postgresql://localhost/app", [User])  # type: ignore[arg-type]
    PeeweeMigrations()  # type: ignore[call-arg]
    bound(pg_database, database)  # type: ignore[arg-type]
    disconnect(pg_database)  # type: ignore[arg-type]
