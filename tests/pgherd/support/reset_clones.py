"""Clones whose reset is tested: the fixtures that make them, and a comparison with the template.

conftest.py imports the fixtures, so that all test files can use them.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pgherd import clones
from pgherd.postgres import connections, databases, locks, naming
from pgherd.reset import generator
from pgherd.reset.resetter import Resetter
from pgherd.template.build import build
from tests.pgherd.support import shop as shop_sql
from tests.pgherd.support.database_state import read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd import Address, Database


@dataclass
class Clone:
    """A clone with its resetter, and the state that it had when it was new."""

    database: Database
    as_superuser: Database
    """The same database. A superuser may read every catalog of it."""
    template: str
    resetter: Resetter
    execute_in: Callable[..., list[tuple]]
    pristine_state: list[tuple[str, str]]

    def execute(self, statement: str, *parameters: object) -> list[tuple]:
        """Execute a statement through a connection of its own, commit, and return the rows."""
        return self.execute_in(self.database, statement, *parameters)

    def difference(self) -> list[tuple[str, str]]:
        """Return the lines in which the clone's state differs from its pristine state."""
        return sorted(set(read_state(self.as_superuser)) ^ set(self.pristine_state))

    def assert_reset(self) -> None:
        """Reset the clone; fail unless this makes it pristine in place, without a new clone."""
        assert self.reset_or_replace(), "the reset did not undo the changes in place"

    def assert_replaced(self) -> None:
        """Reset the clone; fail unless the reset refuses, so that a new clone is needed."""
        assert not self.reset_or_replace(), "the reset undid the changes in place"

    def reset_or_replace(self) -> bool:
        """Reset the clone, or replace it if the reset refuses; fail unless it is pristine then.

        Returns:
            Whether the reset undid everything in place.
        """
        self.resetter.end_blocking_connections()
        in_place = self.resetter.reset()
        if not in_place:
            self.resetter.close()
            clones.make(self.database.server, self.template, self.database.name)
        difference = self.difference()
        assert not difference, f"not pristine although reset() returned {in_place}: {difference}"
        return in_place


@pytest.fixture(scope="session")
def pristine_states() -> dict[str, list[tuple[str, str]]]:
    """Return the state that all new clones of a template have, by the template's name."""
    return {}


@pytest.fixture
def make_clone(
    pg_server: Address, execute, run_id: str, pristine_states
) -> Iterator[Callable[..., Clone]]:
    """Return a function that builds a template from SQL, or takes a finished one, and clones it."""
    resetters = []

    def make(setup: str = "", template: str = "", server: Address = pg_server) -> Clone:
        template = template or f"pgherd_{run_id}_template"
        build(server, template, lambda database: execute(database, setup), generator.install)
        database = clones.make(server, template, f"pgherd_{run_id}_clone")
        resetter = Resetter(database)
        resetters.append(resetter)
        as_superuser = pg_server.database(database.name)
        if template not in pristine_states:
            pristine_states[template] = read_state(as_superuser)
        state = pristine_states[template]
        return Clone(database, as_superuser, template, resetter, execute, state)

    yield make
    for resetter in resetters:
        resetter.close()


@pytest.fixture(scope="session")
def shop_template(pg_server: Address) -> Iterator[str]:
    """Build the shop's template, which all tests of a worker share, and drop it at the end."""
    run_id = naming.new_run_id()
    with connections.maintenance(pg_server) as connection, locks.exclusive(connection, run_id):
        name = f"pgherd_{run_id}_shop"
        build(pg_server, name, _create_shop, generator.install)
        yield name
        databases.thaw(connection, name)
        databases.drop(connection, name)


def _create_shop(database: Database) -> None:
    with closing(database.connect()) as connection, connection:
        connection.cursor().execute(shop_sql.SCHEMA)


@pytest.fixture
def shop(make_clone, shop_template: str) -> Clone:
    """Create a clone of the shop."""
    return make_clone(template=shop_template)
