"""Clones: a worker's own databases, made from the template."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import psycopg2
import pytest

from pgherd import clones
from pgherd.postgres import connections, databases

if TYPE_CHECKING:
    from pgherd import Address

TABLE = """
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, name text);
INSERT INTO t (name) VALUES ('Ada')
"""


@pytest.fixture
def template(make_database, execute, connection) -> str:
    """Create a frozen template with a table and a row, and return its name."""
    database = make_database("template")
    execute(database, TABLE)
    databases.freeze(connection, database.name)
    return database.name


def test_a_clone_contains_what_the_template_contains(
    pg_server: Address, template: str, run_id: str, execute
):
    """A clone has the tables, rows and sequence values of its template."""
    database = clones.make(pg_server, template, f"pgherd_{run_id}_gw0")
    assert (database.server, database.name) == (pg_server, f"pgherd_{run_id}_gw0")
    execute(database, "INSERT INTO t (name) VALUES ('Bob')")
    assert execute(database, "SELECT * FROM t") == [(1, "Ada"), (2, "Bob")]


SETTINGS = """
SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database AS base ON base.oid = setdatabase
WHERE datname = '{}'
"""


def test_a_clone_has_the_settings_of_the_template(pg_server, make_database, execute, run_id: str):
    """A clone gets the settings that ALTER DATABASE gave the template, correctly quoted.

    CREATE DATABASE does not copy them.
    """
    template = make_database("set")
    for setting in (
        """search_path = "$user", "it's odd", public""",
        """app.tenant = 'it''s "1, 2"'""",
        "DateStyle = 'German, DMY'",
        "work_mem = '5MB'",
    ):
        execute(template, f"ALTER DATABASE {template.name} SET {setting}")
    clones.make(pg_server, template.name, f"pgherd_{run_id}_gw0")
    settings = execute(template, SETTINGS.format(template.name))
    assert len(settings) == 4
    assert execute(template, SETTINGS.format(f"pgherd_{run_id}_gw0")) == settings


def test_clones_are_independent(pg_server: Address, template: str, run_id: str, execute):
    """A change in one clone does not appear in another."""
    one = clones.make(pg_server, template, f"pgherd_{run_id}_gw0")
    two = clones.make(pg_server, template, f"pgherd_{run_id}_gw1")
    execute(one, "DELETE FROM t")
    assert execute(two, "SELECT name FROM t") == [("Ada",)]


def test_a_clone_is_not_frozen(pg_server: Address, template: str, run_id: str, connection):
    """A clone of a frozen template accepts connections and can be dropped."""
    clones.make(pg_server, template, f"pgherd_{run_id}_gw0")
    assert databases.is_frozen(connection, f"pgherd_{run_id}_gw0") is False


def test_a_new_clone_replaces_the_old_one(pg_server: Address, template: str, run_id: str, execute):
    """A new clone replaces a database of the same name, ends its connections and keeps its URL."""
    old = clones.make(pg_server, template, f"pgherd_{run_id}_gw0")
    execute(old, "DROP TABLE t")
    with closing(old.connect()) as connection:
        connection.cursor().execute("CREATE TABLE u ()")
        new = clones.make(pg_server, template, f"pgherd_{run_id}_gw0")
        with pytest.raises(psycopg2.OperationalError):
            connection.cursor().execute("SELECT 1")
    assert new.url == old.url
    assert execute(old, "SELECT name FROM t") == [("Ada",)]


def test_many_clones_are_made_at_once(pg_server: Address, template: str, run_id: str, execute):
    """Eight workers that start at the same time all get their clones."""
    names = [f"pgherd_{run_id}_gw{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda name: clones.make(pg_server, template, name), names))
    assert [execute(clone, "SELECT name FROM t") for clone in made] == [[("Ada",)]] * 8


def test_a_missing_template_raises_an_error(pg_server: Address, run_id: str, connection):
    """If the template does not exist, PostgreSQL's error is raised and no database is created."""
    with pytest.raises(psycopg2.errors.InvalidCatalogName, match=f"pgherd_{run_id}_none"):
        clones.make(pg_server, f"pgherd_{run_id}_none", f"pgherd_{run_id}_gw0")
    assert databases.names(connection, f"pgherd_{run_id}_") == []


def test_a_spare_is_made_after_another_failed(make_database, connection, run_id: str, monkeypatch):
    """If making a spare fails, the next call makes another one."""
    monkeypatch.setattr(clones, "_NUMBERS", itertools.count(1))
    template = f"pgherd_{run_id}_late"
    with closing(clones.Spares(make_database("gw0"), template)) as spares:
        with pytest.raises(psycopg2.errors.InvalidCatalogName):
            spares.take()
        databases.create(connection, template)
        assert spares.take().name == f"pgherd_{run_id}_gw0_2"


def test_spares_connect_again_if_their_connection_was_ended(
    pg_server: Address, template: str, run_id: str, connection
):
    """If a test ends all connections to the server, the next replacement opens a new one."""
    database = clones.make(pg_server, template, f"pgherd_{run_id}_gw0")
    with closing(clones.Spares(database, template)) as spares:
        spares.replace()
        pid = spares._connection.info.backend_pid  # noqa: SLF001
        connection.cursor().execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        spares.replace()
        assert spares._connection.info.backend_pid != pid  # noqa: SLF001


def test_a_clone_is_replaced_while_clients_keep_connecting(
    pg_server: Address, template: str, run_id: str, execute, connection
):
    """A clone is replaced even if a pool opens a new connection for each that is ended."""
    database = clones.make(pg_server, template, f"pgherd_{run_id}_gw0")
    stopped = threading.Event()

    def keep_connecting() -> None:
        while not stopped.is_set():
            with suppress(psycopg2.OperationalError), closing(database.connect()) as client:
                client.cursor().execute("SELECT pg_sleep(7)")

    with ThreadPoolExecutor(12) as pool, closing(clones.Spares(database, template)) as spares:
        for _ in range(12):
            pool.submit(keep_connecting)
        try:
            for _ in range(20):
                spares.replace()
        finally:
            stopped.set()
            connections.end(connection, database.name)
    assert execute(database, "SELECT name FROM t") == [("Ada",)]
