"""Fixtures for the server kind `external`: roles, a small server, a server without other users."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pgherd.postgres import databases
from tests.pgherd.support import clusters, external, suites
from tests.pgherd.support.runs import owners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd import Address

suite = suites.suite


@pytest.fixture
def make_role(pg_server: Address, connection, run_id: str) -> Iterator[Callable[[str], Address]]:
    """Return a function that creates a role; its databases are dropped after the test."""
    name = f"role_{run_id}"

    def make(attributes: str) -> Address:
        connection.cursor().execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {attributes}")
        return replace(pg_server, user=name, password="secret")

    yield make
    for database, owner in owners(pg_server).items():
        if owner == name:
            databases.thaw(connection, database)
            databases.drop(connection, database)
    connection.cursor().execute(f"DROP ROLE IF EXISTS {name}")


@pytest.fixture(scope="module")
def small_server() -> Iterator[external.SmallServer]:
    """Run a server that has room for ten connections and accepts only TLS."""
    with external.small_server() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[Address]:
    """Run a server that only this test uses."""
    with clusters.directory() as place, clusters.running(clusters.initialise(place)) as address:
        yield address
