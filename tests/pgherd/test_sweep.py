"""The sweep: what a run has made is dropped, and what dead runs have left."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import pytest
from psycopg2 import sql

from pgherd import admin, naming, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd import Address

ODD = "odd \"'%"


@pytest.fixture
def names(link) -> Callable[[str], list[str]]:
    """Give a function that lists what is left after a run's prefix."""

    def after(prefix: str) -> list[str]:
        with link.cursor() as cursor:
            cursor.execute(
                "SELECT substr(datname, length(%s) + 1) FROM pg_database"
                " WHERE starts_with(datname, %s) ORDER BY 1",
                [prefix, prefix],
            )
            return [name for (name,) in cursor.fetchall()]

    return after


class Dying(NamedTuple):
    """A run that lives until it is told to die; any sweep of another test may come at once."""

    run: str
    die: Callable[[], None]


@pytest.fixture
def dying(pg_server: Address, link) -> Iterator[Dying]:
    """Give a run that has two clones, and will not drop them."""
    run = naming.new_run()
    with ExitStack() as life:
        lifeline = life.enter_context(admin.connected(pg_server))
        life.enter_context(admin.locked(lifeline, run))
        for worker in ("gw0", ODD):
            link.cursor().execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(
                    sql.Identifier(f"pgherd_{run}_{worker}")
                )
            )
        yield Dying(run, life.close)
    for name in admin.names(link, f"pgherd_{run}_"):
        admin.drop(link, name)


def test_clones_of_a_dead_run_are_dropped(pg_server: Address, dying: Dying, names):
    """Nobody holds the lock of the run, so its databases are dropped."""
    dying.die()
    sweep.dead_runs(pg_server)
    assert names(f"pgherd_{dying.run}_") == []


def test_a_dead_run_that_somebody_looks_at(pg_server: Address, dying: Dying, names):
    """A connection to what a dead run has left does not keep it alive."""
    with closing(pg_server.database(f"pgherd_{dying.run}_gw0").connect()) as other:
        dying.die()
        sweep.dead_runs(pg_server)
        with pytest.raises(psycopg2.OperationalError):
            other.cursor().execute("SELECT 1")
    assert names(f"pgherd_{dying.run}_") == []


def test_a_living_run_keeps_its_clones(pg_server: Address, dying: Dying, names):
    """Somebody holds the lock of the run, so its databases stay."""
    sweep.dead_runs(pg_server)
    assert names(f"pgherd_{dying.run}_") == ["gw0", ODD]


@pytest.mark.parametrize(
    "name",
    [
        "pgherd_template_{run}{run}",
        "pgherd_{run}",
        "my_pgherd_{run}_gw0",
        "{run}",
        "PGHERD_{run}_gw0",
    ],
)
def test_other_databases_are_not_touched(pg_server: Address, link, names, name: str):
    """Templates, and databases whose names are not those of clones, are left alone."""
    database = name.format(run=naming.new_run())
    link.cursor().execute(f'CREATE DATABASE "{database}" TEMPLATE template0')
    try:
        sweep.dead_runs(pg_server)
        assert names(database) == [""]
    finally:
        link.cursor().execute(f'DROP DATABASE "{database}"')


def test_what_cannot_be_dropped_is_told_and_left(
    pg_server: Address, dying: Dying, link, names, caplog: pytest.LogCaptureFixture
):
    """A database that this user may not drop keeps neither the others nor the run from going on."""
    mine = f'"pgherd_{dying.run}_gw0"'
    link.cursor().execute(f"ALTER DATABASE {mine} WITH IS_TEMPLATE true")
    try:
        dying.die()
        with caplog.at_level(logging.WARNING, logger="pgherd"):
            sweep.dead_runs(pg_server)
    finally:
        link.cursor().execute(f"ALTER DATABASE {mine} WITH IS_TEMPLATE false")
    assert f"could not drop pgherd_{dying.run}_gw0: cannot drop a template database" in caplog.text
    assert ODD not in names(f"pgherd_{dying.run}_")


def test_clones_of_one_run(pg_server: Address, run: str, empty, dying: Dying, names):
    """A run drops its own databases, all of them and no other's."""
    for worker in ("gw0", "gw1", ODD):
        empty(worker)
    sweep.clones(pg_server, f"pgherd_{run}_")
    assert names(f"pgherd_{run}_") == []
    assert names(f"pgherd_{dying.run}_") == ["gw0", ODD]


def test_clones_of_one_worker(pg_server: Address, run: str, empty, names):
    """A worker's databases are dropped; those of gw10 are not gw1's."""
    for worker in ("gw1", "gw1_2", "gw10", "gw11_1"):
        empty(worker)
    sweep.clones(pg_server, f"pgherd_{run}_gw1")
    assert names(f"pgherd_{run}_") == ["gw10", "gw11_1"]
