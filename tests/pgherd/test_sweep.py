"""The sweep: pgherd drops a run's databases at its end, and those that dead runs have left."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import pytest
from psycopg2 import sql

from pgherd.postgres import connections, databases, locks, naming
from pgherd.run import sweep
from pgherd.template.build import build
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd import Address

ODD = "odd \"'%"


@pytest.fixture
def names(connection) -> Callable[[str], list[str]]:
    """Return a function that lists the databases with a prefix, without the prefix."""

    def after(prefix: str) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT substr(datname, length(%s) + 1) FROM pg_database"
                " WHERE starts_with(datname, %s) ORDER BY 1",
                [prefix, prefix],
            )
            return [name for (name,) in cursor.fetchall()]

    return after


class Dying(NamedTuple):
    """A run that ends when the test calls `die`. The sweep of another test may come first."""

    run_id: str
    die: Callable[[], None]


@pytest.fixture
def dying(pg_server: Address, connection) -> Iterator[Dying]:
    """Create a run that has two clones and does not drop them."""
    run_id = naming.new_run_id()
    with ExitStack() as life:
        lifeline = life.enter_context(connections.maintenance(pg_server))
        life.enter_context(locks.exclusive(lifeline, run_id))
        for worker in ("gw0", ODD):
            connection.cursor().execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(
                    sql.Identifier(f"pgherd_{run_id}_{worker}")
                )
            )
        yield Dying(run_id, life.close)
    for name in databases.names(connection, f"pgherd_{run_id}_"):
        databases.drop(connection, name)


def test_clones_of_a_dead_run_are_dropped(pg_server: Address, dying: Dying, names):
    """A run is dead when no connection holds its lock."""
    dying.die()
    sweep.dead_runs(pg_server)
    assert names(f"pgherd_{dying.run_id}_") == []


def test_a_connection_to_a_clone_does_not_keep_a_dead_run_alive(
    pg_server: Address, dying: Dying, names
):
    """The sweep ends the connection and drops the clone."""
    with closing(pg_server.database(f"pgherd_{dying.run_id}_gw0").connect()) as other:
        dying.die()
        sweep.dead_runs(pg_server)
        with pytest.raises(psycopg2.OperationalError):
            other.cursor().execute("SELECT 1")
    assert names(f"pgherd_{dying.run_id}_") == []


def test_a_prepared_transaction_does_not_keep_a_clone_of_a_dead_run(
    pg_server: Address, dying: Dying, names
):
    """PostgreSQL drops no database that has one, so the sweep rolls it back."""
    clone = pg_server.database(f"pgherd_{dying.run_id}_gw0")
    with closing(clone.connect()) as other, other.cursor() as cursor:
        cursor.execute("SHOW max_prepared_transactions")
        if cursor.fetchall() == [("0",)]:
            pytest.skip("this server prepares no transactions")
        cursor.execute(f"CREATE TABLE t (); PREPARE TRANSACTION 'of {dying.run_id}'")
    dying.die()
    sweep.dead_runs(pg_server)
    assert names(f"pgherd_{dying.run_id}_") == []


def test_a_living_run_keeps_its_clones(pg_server: Address, dying: Dying, names):
    """A run lives as long as a connection holds its lock."""
    sweep.dead_runs(pg_server)
    assert names(f"pgherd_{dying.run_id}_") == ["gw0", ODD]


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
def test_databases_with_other_names_are_kept(pg_server: Address, connection, names, name: str):
    """The sweep of clones drops no template and no database of the user."""
    database = name.format(run=naming.new_run_id())
    # With the lock, a template counts as being built; without it, any sweep may drop it.
    with locks.exclusive(connection, database):
        connection.cursor().execute(f'CREATE DATABASE "{database}" TEMPLATE template0')
        try:
            sweep.dead_runs(pg_server)
            assert names(database) == [""]
        finally:
            connection.cursor().execute(f'DROP DATABASE "{database}"')


def test_a_clone_that_cannot_be_dropped_is_logged(
    pg_server: Address, dying: Dying, connection, names, caplog: pytest.LogCaptureFixture
):
    """The sweep logs why, goes on with the other databases, and raises nothing."""
    clone = f'"pgherd_{dying.run_id}_gw0"'
    connection.cursor().execute(f"ALTER DATABASE {clone} WITH IS_TEMPLATE true")
    try:
        dying.die()
        with caplog.at_level(logging.WARNING, logger="pgherd"):
            sweep.dead_runs(pg_server)
    finally:
        connection.cursor().execute(f"ALTER DATABASE {clone} WITH IS_TEMPLATE false")
    assert (
        f"could not drop pgherd_{dying.run_id}_gw0: cannot drop a template database" in caplog.text
    )
    assert ODD not in names(f"pgherd_{dying.run_id}_")


def test_a_run_drops_only_its_own_clones(
    pg_server: Address, run_id: str, make_database, dying: Dying, names
):
    """All of its databases are dropped, and those of another run stay."""
    for worker in ("gw0", "gw1", ODD):
        make_database(worker)
    sweep.clones(pg_server, f"pgherd_{run_id}_")
    assert names(f"pgherd_{run_id}_") == []
    assert names(f"pgherd_{dying.run_id}_") == ["gw0", ODD]


def test_a_worker_drops_only_its_own_clones(pg_server: Address, run_id: str, make_database, names):
    """The databases of gw1 are dropped, and those of gw10 stay."""
    for worker in ("gw1", "gw1_2", "gw10", "gw11_1"):
        make_database(worker)
    sweep.clones(pg_server, f"pgherd_{run_id}_gw1")
    assert names(f"pgherd_{run_id}_") == ["gw10", "gw11_1"]


@pytest.fixture
def user(pg_server: Address, connection, run_id: str) -> Iterator[Address]:
    """Create a role that may create databases; return the server with this role."""
    connection.cursor().execute(f"CREATE ROLE role_{run_id} LOGIN CREATEDB PASSWORD 'secret'")
    yield replace(pg_server, user=f"role_{run_id}", password="secret")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s", [f"role_{run_id}"]
        )
        for (name,) in cursor.fetchall():
            databases.thaw(connection, name)
            databases.drop(connection, name)
    connection.cursor().execute(f"DROP ROLE role_{run_id}")


@pytest.fixture
def own_connection(user: Address) -> Iterator[psycopg2.extensions.connection]:
    """Open a connection of this role, as the owner of a run has it."""
    with connections.maintenance(user) as connection:
        yield connection


def built(user: Address, *texts: str) -> list[str]:
    """Build templates; return their names."""
    names = [naming.template(user.user, text) for text in texts]
    for name in names:
        build(user, name)
    return names


def test_templates_used_last_are_kept(user: Address, own_connection):
    """A template that a run used again is newer than one that was built in between."""
    first, second, third = built(user, "1", "2", "3")
    build(user, first)
    sweep.templates(user, keep=2)
    assert set(databases.own_templates(own_connection)) == {first, third}
    assert second not in databases.names(own_connection, "pgherd_template_")


def test_five_templates_are_kept(user: Address, own_connection):
    """Of seven templates, the two oldest are dropped."""
    names = built(user, *"1234567")
    sweep.templates(user)
    assert set(databases.own_templates(own_connection)) == set(names[2:])


def test_a_template_in_use_is_kept(user: Address, own_connection):
    """A run that uses it holds a lock, from any database; after that, the template is dropped."""
    names = built(user, "1", "2")
    with closing(user.database("template1").connect()) as other:
        locks.take_shared(other, naming.use_of(names[0]))
        sweep.templates(user, keep=0)
        assert set(databases.own_templates(own_connection)) == {names[0]}
    wait_until(lambda: not locks.is_held(own_connection, naming.use_of(names[0])), 5)
    sweep.templates(user, keep=0)
    assert databases.own_templates(own_connection) == {}


def test_a_half_built_template_of_a_dead_run_is_dropped(user: Address, own_connection):
    """A template is kept while a connection holds the lock for building it."""
    dead, alive = (naming.template(user.user, text) for text in ("dead", "alive"))
    databases.create(own_connection, dead)
    with connections.maintenance(user) as builder, locks.exclusive(builder, alive):
        databases.create(builder, alive)
        sweep.templates(user)
        assert databases.own_templates(own_connection) == {alive: False}


def test_a_template_whose_drop_was_interrupted_is_dropped(
    user: Address, own_connection, connection
):
    """PostgreSQL marks such a database as invalid, and refuses to alter it."""
    (name,) = built(user, "1")
    databases.thaw(own_connection, name)
    invalid = "UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s"
    connection.cursor().execute(invalid, [name])
    sweep.templates(user)
    assert databases.own_templates(own_connection) == {}


def test_templates_of_others_are_kept(
    pg_server: Address, user: Address, own_connection, connection
):
    """The sweep keeps those of another role, those without pgherd's comment, and other names."""
    (without,) = built(user, "without")
    connection.cursor().execute(f"COMMENT ON DATABASE {without} IS 'what another version wrote'")
    named = f"pgherd_template_of_{user.user}"
    build(user, named)
    sweep.templates(user, keep=0)
    assert databases.own_templates(own_connection) == {without: True}
    assert named in databases.names(own_connection, named)
    (whole,) = built(user, "whole")
    sweep.templates(pg_server, keep=1000)
    assert whole in databases.own_templates(own_connection)
    assert whole not in databases.own_templates(connection)


def test_a_template_that_is_being_dropped_is_built_again(user: Address, own_connection):
    """A run that needs it waits for the sweep, then builds it, so no run misses its template."""
    (name,) = built(user, "1")
    with connections.maintenance(user) as owner, locks.exclusive(own_connection, name):
        locks.take_shared(owner, naming.use_of(name))
        building = threading.Thread(target=build, args=[user, name])
        building.start()
        databases.thaw(own_connection, name)
        databases.drop(own_connection, name)
    building.join(10)
    assert databases.own_templates(own_connection) == {name: True}
