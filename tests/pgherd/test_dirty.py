"""A clone counts as dirty until a reset succeeded: no error on the way hands it to a test."""

from __future__ import annotations

import pytest

CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")
"""
HELPERS = """
import pytest

def execute(database, statement):
    connection = database.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall() if cursor.description else []
    connection.close()
    return found

def write(database):
    execute(database, "INSERT INTO thing VALUES (1)")

def count(database):
    [(number,)] = execute(database, "SELECT count(*) FROM thing")
    return number
"""


@pytest.fixture
def project(pytester, server):
    """Return a function that runs tests of a project with one empty table."""
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text("CREATE TABLE thing (id int)")

    def run(text: str):
        pytester.makepyfile(HELPERS + text)
        return pytester.runpytest_subprocess("-n0", "-pno:randomly")

    return run


def test_disconnect_that_raises(project):
    """`pg_disconnect` raises before the clone is replaced, and the next test gets a new clone."""
    result = project(
        """
@pytest.fixture(scope="session")
def pg_disconnect():
    calls = []

    def fail():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("another loop's pool")

    return fail

def test_change(pg):
    write(pg)
    execute(pg, "ALTER TABLE thing ADD COLUMN more int")

def test_next(pg):
    assert count(pg) == 0
    assert execute(pg, "SELECT * FROM thing") == []
    execute(pg, "ALTER TABLE thing ADD COLUMN more int")
"""
    )
    result.assert_outcomes(passed=2, errors=1)


def test_reset_that_is_interrupted(project):
    """An exception inside the reset, as pytest-timeout raises it, leaves the clone dirty."""
    result = project(
        """
from pgherd.reset.resetter import Resetter

def test_write(pg, monkeypatch):
    write(pg)
    reset = Resetter.reset

    def interrupted(self):
        Resetter.reset = reset
        raise TimeoutError("as a signal handler raises")

    Resetter.reset = interrupted

def test_next(pg):
    assert count(pg) == 0
"""
    )
    result.assert_outcomes(passed=2, errors=1)


def test_patched_clock(project):
    """A test that patches `time.sleep` to raise makes its own teardown fail, and no other test."""
    result = project(
        """
import time

def test_leave(pg, request, monkeypatch):
    write(pg)
    connection = pg.connect()
    connection.cursor().execute("INSERT INTO thing VALUES (2)")
    request.session.kept = connection  # a transaction is open, so the reset waits and sleeps

    def fail(seconds):
        raise RuntimeError("no sleep")

    request.session.sleep = time.sleep
    time.sleep = fail

@pytest.fixture(autouse=True)
def _awake(request):
    yield
    time.sleep = getattr(request.session, "sleep", time.sleep)

def test_next(pg):
    assert count(pg) == 0
"""
    )
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 2
    assert outcomes.get("failed", 0) == 0


@pytest.mark.parametrize(
    "request_it",
    [
        "def test_write(pg_database):\n    write(pg_database)\n",
        "def test_write(request):\n    write(request.getfixturevalue('pg_database'))\n",
        """
@pytest.fixture
def helper(request):
    return request.getfixturevalue("pg_database")

def test_write(helper):
    write(helper)
""",
    ],
    ids=["named", "dynamic", "through a fixture"],
)
@pytest.mark.parametrize("before", ["", "def test_first(pg):\n    write(pg)\n"], ids=["", "later"])
def test_writes_without_pg(project, request_it: str, before: str):
    """A test that writes without requesting `pg` does not leave its rows to one that does."""
    result = project(before + request_it + "\ndef test_next(pg):\n    assert count(pg) == 0\n")
    result.assert_outcomes(passed=3 if before else 2)


def test_what_a_test_without_pg_leaves_open_is_reported(project):
    """A transaction that such a test left open is ended before the next test, with a warning."""
    result = project(
        """
kept = []

def test_leave(pg_database):
    kept.append(pg_database.connect())
    kept[0].cursor().execute("INSERT INTO thing VALUES (1)")

def test_next(pg):
    assert count(pg) == 0
"""
    )
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*left a connection in a transaction*INSERT INTO thing*"])
