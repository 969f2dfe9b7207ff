"""The fixtures of pgherd in a typed conftest.py and in typed tests, as a project writes them.

mypy reads this file and nothing runs it. An unused `type: ignore` is an error, so each of them
states a use that mypy has to refuse.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import pgherd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection


@pytest.fixture(scope="session")
def pg_migrations() -> pgherd.Migrations:
    """Override the fixture that says how to migrate an empty database."""
    return pgherd.sql_files("migrations")


class Pool:
    """A pool of connections, as the code under test may keep one."""

    def __init__(self, url: str) -> None:
        self.url = url

    def close(self) -> None:
        """Close all connections."""


@pytest.fixture(scope="session")
def pool(pg_database: pgherd.Database) -> Pool:
    """Make the pool once, on this worker's database."""
    return Pool(pg_database.url)


@pytest.fixture(scope="session")
def pg_disconnect(pool: Pool) -> Callable[[], None]:
    """Override the fixture that returns a function to close what the code keeps open."""
    return pool.close


@pytest.fixture
def link(pg: pgherd.Database) -> Iterator[connection]:
    """Lend a connection to the pristine database."""
    with closing(pg.connect()) as lent:
        yield lent


@pytest.mark.pg(isolation="clone")
def test_database(pg: pgherd.Database, pg_server: pgherd.Address, pg_template: str) -> None:
    """Compare what the fixtures return."""
    assert pg.server == pg_server
    assert pg.name != pg_template


def test_factory(pg_factory: Callable[[], pgherd.Database], link: connection) -> None:
    """Take two further databases."""
    source, target = pg_factory(), pg_factory()
    assert source.url != target.url
    assert link.server_version


def test_refused(pg: pgherd.Database, pg_factory: Callable[[], pgherd.Database]) -> None:
    """Take the database for a connection, and give the factory an argument."""
    pg.cursor()  # type: ignore[attr-defined]
    pg_factory("name")  # type: ignore[call-arg]
