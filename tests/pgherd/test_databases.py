"""The SQL that creates, freezes, drops and lists databases."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
import pytest

from pgherd.postgres import databases

if TYPE_CHECKING:
    from pgherd import Address

ODD = "ü \"'%s; --"


def flags(connection, name: str) -> tuple | None:
    """Return whether a database is a template and allows connections; None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datistemplate, datallowconn FROM pg_database WHERE datname = %s", [name]
        )
        return cursor.fetchone()


@pytest.mark.parametrize("name", ["plain", "MiXed", ODD])
def test_database_is_created_and_dropped(connection, run_id: str, name: str):
    """`create` creates a database and `drop` drops it, whatever characters its name has."""
    database = f"pgherd_{run_id}_{name}"
    databases.create(connection, database)
    assert flags(connection, database) == (False, True)
    databases.drop(connection, database)
    assert flags(connection, database) is None


def test_empty_database_contains_nothing_of_template1(
    connection, run_id: str, execute, pg_server: Address
):
    """A table that somebody created in template1 is not in an empty database."""
    template1 = pg_server.database("template1")
    execute(template1, f"CREATE TABLE of_{run_id} ()")
    try:
        databases.create(connection, f"pgherd_{run_id}_one")
    finally:
        execute(template1, f"DROP TABLE of_{run_id}")
    tables = "SELECT relname FROM pg_class WHERE oid >= 16384"
    assert execute(pg_server.database(f"pgherd_{run_id}_one"), tables) == []


def test_clone_contains_the_tables_and_rows_of_its_template(
    connection, run_id: str, make_database, execute, pg_server: Address
):
    """`create` with a template copies its tables and rows."""
    execute(make_database("one"), "CREATE TABLE t AS SELECT 42 AS answer")
    databases.create(connection, f"pgherd_{run_id}_{ODD}", f"pgherd_{run_id}_one")
    clone = pg_server.database(f"pgherd_{run_id}_{ODD}")
    assert execute(clone, "SELECT answer FROM t") == [(42,)]


def test_create_raises_an_error_if_the_name_is_taken(connection, run_id: str, make_database):
    """If a database of that name exists, `create` raises PostgreSQL's own error."""
    make_database("one")
    with pytest.raises(psycopg2.errors.DuplicateDatabase):
        databases.create(connection, f"pgherd_{run_id}_one")


def test_frozen_template_refuses_connections(connection, make_database):
    """Not even a superuser can connect to a frozen template."""
    database = make_database(ODD)
    databases.freeze(connection, database.name)
    assert flags(connection, database.name) == (True, False)
    with pytest.raises(psycopg2.OperationalError, match="not currently accepting connections"):
        database.connect()


def test_frozen_template_cannot_be_dropped(connection, make_database):
    """PostgreSQL refuses to drop a frozen template."""
    database = make_database("one")
    databases.freeze(connection, database.name)
    with pytest.raises(psycopg2.errors.WrongObjectType, match="cannot drop a template database"):
        databases.drop(connection, database.name)
    assert flags(connection, database.name) == (True, False)


def test_is_frozen(connection, run_id: str, make_database):
    """`is_frozen` is True for a frozen database, and False for an ordinary or a missing one."""
    database = make_database("one")
    assert databases.is_frozen(connection, database.name) is False
    databases.freeze(connection, database.name)
    assert databases.is_frozen(connection, database.name) is True
    assert databases.is_frozen(connection, f"pgherd_{run_id}_none") is False


def test_drop_ends_connections(connection, make_database):
    """`drop` does not wait for a connection with an open transaction; it ends the connection."""
    database = make_database("one")
    with closing(database.connect()) as other, other.cursor() as cursor:
        cursor.execute("CREATE TABLE t ()")
        began = time.monotonic()
        databases.drop(connection, database.name)
        assert time.monotonic() - began < 3
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")


def test_drop_of_a_missing_database_does_nothing(connection, run_id: str):
    """`drop` raises no error if the database does not exist."""
    databases.drop(connection, f"pgherd_{run_id}_none")
    assert flags(connection, f"pgherd_{run_id}_none") is None


def test_names_lists_databases_by_the_beginning_of_their_names(
    connection, run_id: str, make_database
):
    """`names` lists names in order; `%` and `.` have no special meaning in the beginning."""
    for name in ("b", "a", "%", "a_b"):
        make_database(name)
    beginning = f"pgherd_{run_id}_"
    assert databases.names(connection, f"{beginning}a") == [f"{beginning}a", f"{beginning}a_b"]
    assert databases.names(connection, f"{beginning}%") == [f"{beginning}%"]
    assert databases.names(connection, f"pgherd.{run_id}") == []
    assert len(databases.names(connection, beginning)) == 4


def test_log_contains_each_step(connection, run_id: str, caplog: pytest.LogCaptureFixture):
    """The log has a line with the name for each database created, cloned, frozen or dropped."""
    one, two = f"pgherd_{run_id}_one", f"pgherd_{run_id}_two"
    with caplog.at_level(logging.INFO, logger="pgherd"):
        databases.create(connection, one)
        databases.freeze(connection, one)
        databases.create(connection, two, one)
        databases.drop(connection, two)
        databases.drop(connection, two)
    assert caplog.messages == [
        f"created database {one}",
        f"froze template {one}",
        f"created database {two} from {one}",
        f"dropped database {two}",
    ]
