"""The small suite that runs inside tests: its conftest, its tests, and their helpers."""

from __future__ import annotations

import pytest

CREATE = """
        connection = psycopg2.connect(url)
        connection.cursor().execute("CREATE TABLE thing (id int)")
        connection.commit()
        connection.close()
"""
# Each `apply` adds a word to the file `applied`, so that a test can count the builds.
CONFTEST = """
import time

import psycopg2
import pytest

class Things:
    def fingerprint(self):
        return "{fingerprint}"

    def apply(self, url):
        with open("applied", "a") as file:
            file.write("once ")
        {apply}

@pytest.fixture(scope="session")
def pg_migrations():
    return Things()
"""
HELPERS = """
import pytest

def execute(database, statement):
    connection = database.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows

def write(database):
    execute(database, "INSERT INTO thing VALUES (1)")

def count(database):
    [(rows,)] = execute(database, "SELECT count(*) FROM thing")
    return rows

def tables(database):
    statement = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    return [name for (name,) in execute(database, statement)]

def record(database):
    with open("clones", "a") as file:
        file.write(database.name + " ")
"""
TESTS = """
@pytest.mark.parametrize("number", range(3))
def test_write(pg, number):
    record(pg)
    assert count(pg) == 0
    write(pg)
"""
SCHEMA_CHANGE = """
def test_schema_change(pg):
    record(pg)
    assert count(pg) == 0
    write(pg)
    execute(pg, "CREATE TABLE other ()")
"""


def conftest(fingerprint: str, apply: str = CREATE) -> str:
    """Return the conftest of the suite.

    Args:
        fingerprint: the fingerprint of its migrations.
        apply: the statements of the migrations' method `apply(self, url)`.
    """
    return CONFTEST.replace("{fingerprint}", fingerprint).replace("{apply}", apply.strip())


def load_only_xdist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inner runs load only pytest-xdist and pgherd.

    The virtual environment has many other plugins, and loading them takes most of an inner run's
    time. Without pytest-randomly, inner tests run in the order of their files.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin,pgherd.plugin")


def load_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inner runs load all installed plugins again, as a user's run does."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a project with migrations of its own and three tests that write and record.

    A test that calls `makepyfile` with a text alone replaces these three tests.
    """
    load_only_xdist(monkeypatch)
    pytester.makeconftest(conftest(f"things of {pytester.path}"))
    pytester.makepyfile(HELPERS + TESTS)
    return pytester


@pytest.fixture
def project(suite: pytest.Pytester, server) -> pytest.Pytester:
    """Return the same suite; its runs use the outer run's server."""
    return suite
