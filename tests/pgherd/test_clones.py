"""The clone: a worker's own database, made from the template."""

from __future__ import annotations

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
def template(empty, ask, link) -> str:
    """Give the name of a frozen template with a table and a row."""
    database = empty("template")
    ask(database, TABLE)
    databases.freeze(link, database.name)
    return database.name


def test_a_clone_has_what_the_template_has(pg_server: Address, template: str, run: str, ask):
    """Tables, rows and the state of sequences are those of the template."""
    database = clones.make(pg_server, template, f"pgherd_{run}_gw0")
    assert (database.server, database.name) == (pg_server, f"pgherd_{run}_gw0")
    ask(database, "INSERT INTO t (name) VALUES ('Bob')")
    assert ask(database, "SELECT * FROM t") == [(1, "Ada"), (2, "Bob")]


SETTINGS = """
SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database AS base ON base.oid = setdatabase
WHERE datname = '{}'
"""


def test_a_clone_has_the_settings_of_the_template(pg_server, empty, ask, run: str):
    """CREATE DATABASE leaves out what ALTER DATABASE set, whatever has to be quoted in it."""
    made = empty("set")
    for each in (
        """search_path = "$user", "it's odd", public""",
        """app.tenant = 'it''s "1, 2"'""",
        "DateStyle = 'German, DMY'",
        "work_mem = '5MB'",
    ):
        ask(made, f"ALTER DATABASE {made.name} SET {each}")
    clones.make(pg_server, made.name, f"pgherd_{run}_gw0")
    settings = ask(made, SETTINGS.format(made.name))
    assert len(settings) == 4
    assert ask(made, SETTINGS.format(f"pgherd_{run}_gw0")) == settings


def test_clones_are_apart(pg_server: Address, template: str, run: str, ask):
    """What is written in one clone is not in the other."""
    one = clones.make(pg_server, template, f"pgherd_{run}_gw0")
    two = clones.make(pg_server, template, f"pgherd_{run}_gw1")
    ask(one, "DELETE FROM t")
    assert ask(two, "SELECT name FROM t") == [("Ada",)]


def test_a_clone_is_no_template(pg_server: Address, template: str, run: str, link):
    """A clone takes connections and can be dropped, although it was made from a frozen template."""
    clones.make(pg_server, template, f"pgherd_{run}_gw0")
    assert databases.is_frozen(link, f"pgherd_{run}_gw0") is False


def test_a_clone_replaces_the_one_before_it(pg_server: Address, template: str, run: str, ask):
    """A database of the same name is dropped with whoever is connected; its URL stays true."""
    old = clones.make(pg_server, template, f"pgherd_{run}_gw0")
    ask(old, "DROP TABLE t")
    with closing(old.connect()) as connected:
        connected.cursor().execute("CREATE TABLE u ()")
        new = clones.make(pg_server, template, f"pgherd_{run}_gw0")
        with pytest.raises(psycopg2.OperationalError):
            connected.cursor().execute("SELECT 1")
    assert new.url == old.url
    assert ask(old, "SELECT name FROM t") == [("Ada",)]


def test_many_clones_at_once(pg_server: Address, template: str, run: str, ask):
    """Eight workers that start at once have their clones, and no errors."""
    names = [f"pgherd_{run}_gw{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        clones = list(pool.map(lambda name: clones.make(pg_server, template, name), names))
    assert [ask(each, "SELECT name FROM t") for each in clones] == [[("Ada",)]] * 8


def test_a_template_that_is_not_there(pg_server: Address, run: str, link):
    """Without the template nothing is made: PostgreSQL's own error is raised."""
    with pytest.raises(psycopg2.errors.InvalidCatalogName, match=f"pgherd_{run}_none"):
        clones.make(pg_server, f"pgherd_{run}_none", f"pgherd_{run}_gw0")
    assert databases.names(link, f"pgherd_{run}_") == []


def test_spare_that_could_not_be_made_is_made_again(empty, link, run: str):
    """That one failed, when the server was full say, does not spoil the next."""
    template = f"pgherd_{run}_late"
    with closing(clones.Spares(empty("gw0"), template)) as spares:
        with pytest.raises(psycopg2.errors.InvalidCatalogName):
            spares.take()
        databases.create(link, template)
        assert spares.take().name == f"pgherd_{run}_gw0_2"


def test_a_lost_connection_is_made_again(pg_server: Address, template: str, run: str, link):
    """A test may end all connections to the server, ours with them."""
    database = clones.make(pg_server, template, f"pgherd_{run}_gw0")
    with closing(clones.Spares(database, template)) as spares:
        spares.replace()
        pid = spares._link.info.backend_pid  # noqa: SLF001
        link.cursor().execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        spares.replace()
        assert spares._link.info.backend_pid != pid  # noqa: SLF001


def test_a_clone_is_replaced_while_others_keep_connecting(
    pg_server: Address, template: str, run: str, ask, link
):
    """A pool that opens a connection for each that is ended does not hold a clone."""
    database = clones.make(pg_server, template, f"pgherd_{run}_gw0")
    ended = threading.Event()

    def keep_connecting() -> None:
        while not ended.is_set():
            with suppress(psycopg2.OperationalError), closing(database.connect()) as own:
                own.cursor().execute("SELECT pg_sleep(7)")

    with ThreadPoolExecutor(12) as pool, closing(clones.Spares(database, template)) as spares:
        for _ in range(12):
            pool.submit(keep_connecting)
        try:
            for _ in range(20):
                spares.replace()
        finally:
            ended.set()
            connections.end(link, database.name)
    assert ask(database, "SELECT name FROM t") == [("Ada",)]
