"""The sweep: what a run has made is dropped, and what dead runs have left."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import pytest
from psycopg2 import sql

from pgherd.postgres import connections, databases, locks, naming
from pgherd.run import sweep
from pgherd.template.build import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

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
    run = naming.new_run_id()
    with ExitStack() as life:
        lifeline = life.enter_context(connections.maintenance(pg_server))
        life.enter_context(locks.exclusive(lifeline, run))
        for worker in ("gw0", ODD):
            link.cursor().execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(
                    sql.Identifier(f"pgherd_{run}_{worker}")
                )
            )
        yield Dying(run, life.close)
    for name in databases.names(link, f"pgherd_{run}_"):
        databases.drop(link, name)


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


def test_a_prepared_transaction_of_a_dead_run_goes_with_its_clone(
    pg_server: Address, dying: Dying, names
):
    """Nobody is left to end it, and with it in the way the clone could not be dropped."""
    clone = pg_server.database(f"pgherd_{dying.run}_gw0")
    with closing(clone.connect()) as other, other.cursor() as cursor:
        cursor.execute("SHOW max_prepared_transactions")
        if cursor.fetchall() == [("0",)]:
            pytest.skip("this server prepares no transactions")
        cursor.execute(f"CREATE TABLE t (); PREPARE TRANSACTION 'of {dying.run}'")
    dying.die()
    sweep.dead_runs(pg_server)
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
    database = name.format(run=naming.new_run_id())
    # As if it were being built: a half-built template is anybody's to drop after the next build.
    with locks.exclusive(link, database):
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


@pytest.fixture
def user(pg_server: Address, link, run: str) -> Iterator[Address]:
    """Give the server as a role of this test's own sees it, who may create databases."""
    link.cursor().execute(f"CREATE ROLE role_{run} LOGIN CREATEDB PASSWORD 'secret'")
    yield replace(pg_server, user=f"role_{run}", password="secret")
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s", [f"role_{run}"]
        )
        for (name,) in cursor.fetchall():
            databases.thaw(link, name)
            databases.drop(link, name)
    link.cursor().execute(f"DROP ROLE role_{run}")


@pytest.fixture
def mine(user: Address) -> Iterator[connection]:
    """Give that role's connection, as the owner of a run has it."""
    with connections.maintenance(user) as link:
        yield link


def built(user: Address, *texts: str) -> list[str]:
    """Build templates; give their names."""
    names = [naming.template(user.user, text) for text in texts]
    for name in names:
        build(user, name)
    return names


def test_templates_used_last_are_kept(user: Address, mine):
    """The newest few stay; one that was asked for again is newer than one built after it."""
    first, second, third = built(user, "1", "2", "3")
    build(user, first)
    sweep.templates(user, keep=2)
    assert set(databases.own_templates(mine)) == {first, third}
    assert second not in databases.names(mine, "pgherd_template_")


def test_five_templates_are_kept(user: Address, mine):
    """Of seven templates two are dropped."""
    names = built(user, *"1234567")
    sweep.templates(user)
    assert set(databases.own_templates(mine)) == set(names[2:])


def test_a_template_in_use_is_kept(user: Address, mine):
    """A run that may clone it holds its lock, from whatever database; afterwards it is dropped."""
    names = built(user, "1", "2")
    with closing(user.database("template1").connect()) as other:
        locks.take_shared(other, naming.use_of(names[0]))
        sweep.templates(user, keep=0)
        assert set(databases.own_templates(mine)) == {names[0]}
    until = time.monotonic() + 5
    while locks.is_held(mine, naming.use_of(names[0])):
        assert time.monotonic() < until
    sweep.templates(user, keep=0)
    assert databases.own_templates(mine) == {}


def test_a_template_that_is_half_built_is_dropped_unless_it_is_being_built(user: Address, mine):
    """Nobody holds the lock of its building, so its builder is dead."""
    dead, alive = (naming.template(user.user, text) for text in ("dead", "alive"))
    databases.create(mine, dead)
    with connections.maintenance(user) as builder, locks.exclusive(builder, alive):
        databases.create(builder, alive)
        sweep.templates(user)
        assert databases.own_templates(mine) == {alive: False}


def test_a_template_whose_drop_was_interrupted_is_dropped(user: Address, mine, link):
    """PostgreSQL calls it invalid, and ends the connection of who would alter it."""
    (name,) = built(user, "1")
    databases.thaw(mine, name)
    invalid = "UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s"
    link.cursor().execute(invalid, [name])
    sweep.templates(user)
    assert databases.own_templates(mine) == {}


def test_templates_of_others_are_left_alone(pg_server: Address, user: Address, mine, link):
    """Another user's, one without a note of ours, and one of another name are not dropped."""
    (without,) = built(user, "without")
    link.cursor().execute(f"COMMENT ON DATABASE {without} IS 'what another version wrote'")
    named = f"pgherd_template_of_{user.user}"
    build(user, named)
    sweep.templates(user, keep=0)
    assert databases.own_templates(mine) == {without: True}
    assert named in databases.names(mine, named)
    (whole,) = built(user, "whole")
    sweep.templates(pg_server, keep=1000)
    assert whole in databases.own_templates(mine)
    assert whole not in databases.own_templates(link)


def test_who_asks_while_a_template_is_dropped_finds_it_built_again(user: Address, mine):
    """Whoever sweeps and whoever uses take turns, so that no run is left without its template."""
    (name,) = built(user, "1")
    with connections.maintenance(user) as owner, locks.exclusive(mine, name):
        locks.take_shared(owner, naming.use_of(name))
        asked = threading.Thread(target=build, args=[user, name])
        asked.start()
        databases.thaw(mine, name)
        databases.drop(mine, name)
    asked.join(10)
    assert databases.own_templates(mine) == {name: True}
