"""The template: built once, frozen as the last step."""

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
from pgherd.template import comment
from pgherd.template.build import build

if TYPE_CHECKING:
    from pgherd import Address, Database


@pytest.fixture
def name(run: str) -> str:
    """Give the name of a template of this test's own."""
    return f"pgherd_{run}_template"


@pytest.fixture
def inside(link, ask, name: str, pg_server: Address, run: str):
    """Give a function that asks a clone of the template, which itself nobody can connect to."""

    def ask_clone(statement: str) -> list[tuple]:
        databases.create(link, f"pgherd_{run}_look", name)
        try:
            return ask(pg_server.database(f"pgherd_{run}_look"), statement)
        finally:
            databases.drop(link, f"pgherd_{run}_look")

    return ask_clone


TABLES = "SELECT relname::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1"


def test_steps_run_in_order_and_the_result_is_frozen(
    pg_server: Address, name: str, ask, inside, link
):
    """Each step finds what the one before it did, and the frozen template has it all."""
    build(
        pg_server,
        name,
        lambda database: ask(database, "CREATE TABLE one ()"),
        lambda database: ask(database, "ALTER TABLE one RENAME TO two"),
    )
    assert inside(TABLES) == [("two",)]
    assert databases.is_frozen(link, name) is True


def test_steps_see_a_database_that_takes_connections(pg_server: Address, name: str, link):
    """While it is built, the template is an ordinary database under its final name."""
    seen = []

    def step(database: Database) -> None:
        seen.append((database.name, databases.is_frozen(link, name)))

    build(pg_server, name, step)
    assert seen == [(name, False)]


def test_a_finished_template_is_not_built_again(pg_server: Address, name: str):
    """The second build finds the template and runs no step."""
    steps = []
    build(pg_server, name, lambda _: steps.append("first"))
    build(pg_server, name, lambda _: steps.append("second"))
    assert steps == ["first"]


def test_a_half_built_template_is_built_again(pg_server: Address, name: str, empty, ask, inside):
    """A template found unfrozen was left by a builder that died: nothing of it is kept."""
    ask(empty("template"), "CREATE TABLE half ()")
    build(pg_server, name, lambda database: ask(database, "CREATE TABLE whole ()"))
    assert inside(TABLES) == [("whole",)]


def test_a_half_built_template_that_somebody_looks_at(pg_server: Address, name: str, empty, link):
    """A connection to a half-built template does not keep it from being built again."""
    with closing(empty("template").connect()) as other:
        other.cursor().execute("SELECT 1")
        build(pg_server, name)
    assert databases.is_frozen(link, name) is True


def test_a_template_of_other_collations_is_built_again(pg_server: Address, name: str, link, inside):
    """An update of the server's machine may bring others; PostgreSQL then refuses to clone it."""
    if link.server_version < 150000:
        pytest.skip("a database has no version of its collations before PostgreSQL 15")
    build(pg_server, name)
    older = "UPDATE pg_database SET datcollversion = '1' WHERE datname = %s"
    link.cursor().execute(older, [name])
    with pytest.raises(psycopg2.errors.InternalError, match="collation version"):
        inside("SELECT 1")
    build(pg_server, name)
    assert inside("SELECT 1") == [(1,)]


@pytest.mark.parametrize("builders", [2, 8])
def test_builders_at_once(pg_server: Address, name: str, ask, inside, builders: int):
    """Of several builders at once one runs the steps; the others return when it is finished."""
    ready = threading.Barrier(builders)
    steps = []

    def step(database: Database) -> None:
        steps.append(database.name)
        time.sleep(0.05)
        ask(database, "CREATE TABLE t ()")

    def build(_: int) -> list[str]:
        ready.wait(10)
        build(pg_server, name, step)
        return list(steps)

    with ThreadPoolExecutor(builders) as pool:
        assert list(pool.map(build, range(builders))) == [[name]] * builders
    assert inside(TABLES) == [("t",)]


def test_builders_at_once_that_know_different_databases(pg_server: Address, name: str, ask, inside):
    """Locks are of one database; who builds from another waits all the same."""
    servers = [replace(pg_server, maintenance=each) for each in ("template1", "postgres")] * 4
    ready = threading.Barrier(len(servers))
    steps = []

    def step(database: Database) -> None:
        steps.append(database.server.maintenance)
        time.sleep(0.05)
        ask(database, "CREATE TABLE t ()")

    def build(server: Address) -> int:
        ready.wait(10)
        build(server, name, step)
        return len(steps)

    with ThreadPoolExecutor(len(servers)) as pool:
        assert list(pool.map(build, servers)) == [1] * len(servers)
    assert inside(TABLES) == [("t",)]


def test_note_tells_how_big_it_is_and_when_it_was_used(pg_server: Address, name: str, link, ask):
    """A finished template says so in the list of databases, and each further use is noted."""
    schema = "CREATE TABLE t (id serial PRIMARY KEY, body text)"
    build(pg_server, name, lambda database: ask(database, schema))
    first = comment.read(link, name)
    build(pg_server, name)
    second = comment.read(link, name)
    assert first.relations == second.relations == 3  # the table, its index, its sequence
    assert first.used < second.used


def test_different_templates_are_built_side_by_side(pg_server: Address, name: str):
    """A builder does not wait for the builder of another template."""
    both = threading.Barrier(2)
    names = [f"{name}1", f"{name}2"]
    with ThreadPoolExecutor(2) as pool:
        built = pool.map(lambda each: build(pg_server, each, lambda _: both.wait(10)), names)
        assert list(built) == [None, None]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_step_leaves_nothing(
    pg_server: Address, name: str, ask, link, error: type[BaseException]
):
    """What a step raises is raised by the build, and the database is gone, as is the lock."""

    def fail(database: Database) -> None:
        ask(database, "CREATE TABLE half ()")
        raise error("of the step")

    with pytest.raises(error, match="of the step"):
        build(pg_server, name, fail)
    assert databases.names(link, name) == []
    assert not locks.is_held(link, name)


def test_a_failing_step_that_is_still_connected(pg_server: Address, name: str, link):
    """A step that fails with a transaction open leaves nothing, either."""
    opened = []

    def fail(database: Database) -> None:
        opened.append(database.connect())
        opened[0].cursor().execute("CREATE TABLE half ()")
        raise ValueError("of the step")

    with pytest.raises(ValueError, match="of the step"):
        build(pg_server, name, fail)
    opened[0].close()
    assert databases.names(link, name) == []


def test_after_a_failure_the_next_builds(pg_server: Address, name: str, ask, inside):
    """A builder that waited while another failed builds the template itself."""
    failing = threading.Event()

    def fail(_: Database) -> None:
        failing.set()
        time.sleep(0.1)
        raise ValueError("of the first")

    def succeed() -> None:
        failing.wait(10)
        build(pg_server, name, lambda database: ask(database, "CREATE TABLE t ()"))

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(succeed)
        with pytest.raises(ValueError, match="of the first"):
            build(pg_server, name, fail)
        second.result(10)
    assert inside(TABLES) == [("t",)]


def test_a_connection_that_a_step_left_does_not_block(
    pg_server: Address, name: str, link, run: str
):
    """A step's connections end with the build, so that the first clone is made without a wait."""
    opened = []

    def forget(database: Database) -> None:
        opened.append(database.connect())
        opened[0].cursor().execute("SELECT 1")

    build(pg_server, name, forget)
    began = time.monotonic()
    databases.create(link, f"pgherd_{run}_clone", name)
    assert time.monotonic() - began < 2
    opened[0].close()
