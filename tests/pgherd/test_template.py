"""Templates: each is built once, and freezing it is the last step."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg2
import pytest

from pgherd.postgres import databases, locks
from pgherd.reset import generator
from pgherd.template import comment
from pgherd.template.build import build

if TYPE_CHECKING:
    from pgherd import Address, Database


@pytest.fixture
def name(run_id: str) -> str:
    """Return the name of a template that only this test uses."""
    return f"pgherd_{run_id}_template"


@pytest.fixture
def execute_in_clone(connection, execute, name: str, pg_server: Address, run_id: str):
    """Return a function that executes SQL in a clone, as the template accepts no connections."""

    def execute_in(statement: str) -> list[tuple]:
        databases.create(connection, f"pgherd_{run_id}_look", name)
        try:
            return execute(pg_server.database(f"pgherd_{run_id}_look"), statement)
        finally:
            databases.drop(connection, f"pgherd_{run_id}_look")

    return execute_in


TABLES = "SELECT relname::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1"


def test_steps_run_in_order_and_the_result_is_frozen(
    pg_server: Address, name: str, execute, execute_in_clone, connection
):
    """Each step sees what the step before it did, and the frozen template contains all of it."""
    build(
        pg_server,
        name,
        lambda database: execute(database, "CREATE TABLE one ()"),
        lambda database: execute(database, "ALTER TABLE one RENAME TO two"),
    )
    assert execute_in_clone(TABLES) == [("two",)]
    assert databases.is_frozen(connection, name) is True


def test_a_template_is_not_frozen_while_it_is_built(pg_server: Address, name: str, connection):
    """A step gets an ordinary database that already has the template's name."""
    seen = []

    def step(database: Database) -> None:
        seen.append((database.name, databases.is_frozen(connection, name)))

    build(pg_server, name, step)
    assert seen == [(name, False)]


def test_a_finished_template_is_not_built_again(pg_server: Address, name: str):
    """If the template exists and is frozen, the build runs no step."""
    steps = []
    build(pg_server, name, lambda _: steps.append("first"))
    build(pg_server, name, lambda _: steps.append("second"))
    assert steps == ["first"]


def test_a_half_built_template_is_built_again(
    pg_server: Address, name: str, make_database, execute, execute_in_clone
):
    """An unfrozen template was left by a process that died, so it is dropped and built again."""
    execute(make_database("template"), "CREATE TABLE half ()")
    build(pg_server, name, lambda database: execute(database, "CREATE TABLE whole ()"))
    assert execute_in_clone(TABLES) == [("whole",)]


def test_a_half_built_template_with_an_open_connection_is_built_again(
    pg_server: Address, name: str, make_database, connection
):
    """A connection to a half-built template does not prevent the build."""
    with closing(make_database("template").connect()) as other:
        other.cursor().execute("SELECT 1")
        build(pg_server, name)
    assert databases.is_frozen(connection, name) is True


def test_a_template_with_outdated_collations_is_built_again(
    pg_server: Address, name: str, connection, execute_in_clone
):
    """If the machine's collations changed, PostgreSQL cannot clone the template: build it again."""
    if connection.server_version < 150000:
        pytest.skip("before PostgreSQL 15, a database has no version of its collations")
    build(pg_server, name)
    older = "UPDATE pg_database SET datcollversion = '1' WHERE datname = %s"
    connection.cursor().execute(older, [name])
    with pytest.raises(psycopg2.errors.InternalError, match="collation version"):
        execute_in_clone("SELECT 1")
    build(pg_server, name)
    assert execute_in_clone("SELECT 1") == [(1,)]


@pytest.mark.parametrize("builders", [2, 8])
def test_one_of_several_builders_runs_the_steps(
    pg_server: Address, name: str, execute, execute_in_clone, builders: int
):
    """If several builders start at once, one runs the steps and the others wait for it."""
    ready = threading.Barrier(builders)
    steps = []

    def step(database: Database) -> None:
        steps.append(database.name)
        time.sleep(0.05)
        execute(database, "CREATE TABLE t ()")

    def build_at_once(_: int) -> list[str]:
        ready.wait(10)
        build(pg_server, name, step)
        return list(steps)

    with ThreadPoolExecutor(builders) as pool:
        assert list(pool.map(build_at_once, range(builders))) == [[name]] * builders
    assert execute_in_clone(TABLES) == [("t",)]


def test_builders_in_different_maintenance_databases_wait_for_each_other(
    pg_server: Address, name: str, execute, execute_in_clone
):
    """One builder runs the steps, although each lock of PostgreSQL belongs to one database."""
    servers = [replace(pg_server, maintenance=each) for each in ("template1", "postgres")] * 4
    ready = threading.Barrier(len(servers))
    steps = []

    def step(database: Database) -> None:
        steps.append(database.server.maintenance)
        time.sleep(0.05)
        execute(database, "CREATE TABLE t ()")

    def build_at_once(server: Address) -> int:
        ready.wait(10)
        build(server, name, step)
        return len(steps)

    with ThreadPoolExecutor(len(servers)) as pool:
        assert list(pool.map(build_at_once, servers)) == [1] * len(servers)
    assert execute_in_clone(TABLES) == [("t",)]


def test_the_comment_has_the_size_and_the_last_use(
    pg_server: Address, name: str, connection, execute
):
    """The comment on a template counts its relations, and each build records the time of use."""
    schema = "CREATE TABLE t (id serial PRIMARY KEY, body text)"
    build(pg_server, name, lambda database: execute(database, schema))
    first = comment.read(connection, name)
    build(pg_server, name)
    second = comment.read(connection, name)
    assert first.relations == second.relations == 3  # the table, its index, its sequence
    assert first.used < second.used


def test_different_templates_are_built_at_once(pg_server: Address, name: str):
    """A builder does not wait for the builder of another template."""
    both = threading.Barrier(2)
    names = [f"{name}1", f"{name}2"]
    with ThreadPoolExecutor(2) as pool:
        built = pool.map(lambda each: build(pg_server, each, lambda _: both.wait(10)), names)
        assert list(built) == [None, None]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_step_leaves_no_database_and_no_lock(
    pg_server: Address, name: str, execute, connection, error: type[BaseException]
):
    """The build raises what a step raises, after it has dropped the database and unlocked."""

    def fail(database: Database) -> None:
        execute(database, "CREATE TABLE half ()")
        raise error("of the step")

    with pytest.raises(error, match="of the step"):
        build(pg_server, name, fail)
    assert databases.names(connection, name) == []
    assert not locks.is_held(connection, name)


def test_a_failing_step_with_an_open_transaction_leaves_no_database(
    pg_server: Address, name: str, connection
):
    """If a step fails with a transaction open, the database is dropped all the same."""
    opened = []

    def fail(database: Database) -> None:
        opened.append(database.connect())
        opened[0].cursor().execute("CREATE TABLE half ()")
        raise ValueError("of the step")

    with pytest.raises(ValueError, match="of the step"):
        build(pg_server, name, fail)
    opened[0].close()
    assert databases.names(connection, name) == []


def test_a_waiting_builder_builds_after_another_failed(
    pg_server: Address, name: str, execute, execute_in_clone
):
    """A builder that waited for another one builds the template itself if the other one failed."""
    failing = threading.Event()

    def fail(_: Database) -> None:
        failing.set()
        time.sleep(0.1)
        raise ValueError("of the first")

    def succeed() -> None:
        failing.wait(10)
        build(pg_server, name, lambda database: execute(database, "CREATE TABLE t ()"))

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(succeed)
        with pytest.raises(ValueError, match="of the first"):
            build(pg_server, name, fail)
        second.result(10)
    assert execute_in_clone(TABLES) == [("t",)]


def test_a_connection_that_a_step_left_open_delays_no_clone(
    pg_server: Address, name: str, connection, run_id: str
):
    """The build ends the connections to the template, so the first clone need not wait for them."""
    opened = []

    def forget(database: Database) -> None:
        opened.append(database.connect())
        opened[0].cursor().execute("SELECT 1")

    build(pg_server, name, forget)
    began = time.monotonic()
    databases.create(connection, f"pgherd_{run_id}_clone", name)
    assert time.monotonic() - began < 2
    opened[0].close()


def test_a_connection_that_the_migrations_left_open_does_not_block_the_generator(
    pg_server: Address, name: str
):
    """Connections are ended after each step, so an open transaction blocks no VACUUM FULL."""
    opened = []

    def migrate(database: Database) -> None:
        opened.append(database.connect())
        cursor = opened[0].cursor()
        cursor.execute("CREATE TABLE country AS SELECT generate_series(1, 60000) AS id")
        opened[0].commit()
        cursor.execute("SELECT count(*) FROM country")  # leaves the transaction open

    with ThreadPoolExecutor(1) as pool:
        pool.submit(build, pg_server, name, migrate, generator.install).result(30)
    with pytest.raises(psycopg2.OperationalError):
        opened[0].cursor().execute("SELECT 1")


FOLD = """
CREATE FUNCTION fold(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
  'BEGIN RETURN fold($1); END';
CREATE TABLE person (name text);
CREATE INDEX ON person (norm(name));
COPY person FROM PROGRAM 'seq 1 58000';
"""


def test_a_table_that_vacuum_full_cannot_rewrite_is_no_error(
    pg_server: Address, name: str, execute, connection
):
    """A function of an index needs the usual search path; without it, VACUUM FULL fails."""
    build(pg_server, name, lambda database: execute(database, FOLD), generator.install)
    assert databases.is_frozen(connection, name) is True
