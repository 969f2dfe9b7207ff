"""A clone is dirty until its reset succeeds: after an error, the next test gets a new clone."""

from __future__ import annotations

import pytest

from tests.pgherd.support.suites import HELPERS, load_only_xdist

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")
"""


@pytest.fixture
def project(pytester, server, monkeypatch):
    """Return a function that runs tests in a project with one empty table."""
    load_only_xdist(monkeypatch)
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text("CREATE TABLE thing (id int)")

    def run(text: str):
        pytester.makepyfile(HELPERS + text)
        return pytester.runpytest_subprocess("-n0")

    return run


def test_the_clone_is_replaced_although_pg_disconnect_raises(project):
    """If `pg_disconnect` raises, only the current test has an error. The next gets a new clone."""
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


def test_the_clone_is_replaced_after_an_interrupted_reset(project):
    """A signal handler, such as that of pytest-timeout, can raise an exception inside the reset."""
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


def test_a_patched_sleep_fails_no_other_test(project):
    """If a test makes `time.sleep` raise, only the teardown of this test may fail."""
    result = project(
        """
import time

def test_leave(pg, request, monkeypatch):
    write(pg)
    connection = pg.connect()
    connection.cursor().execute("INSERT INTO thing VALUES (2)")
    request.session.kept = connection  # its transaction is open, so the reset waits

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
def test_rows_of_a_test_without_pg_are_removed(project, request_it: str, before: str):
    """A test that requests `pg` finds no row of a test that wrote without it."""
    result = project(before + request_it + "\ndef test_next(pg):\n    assert count(pg) == 0\n")
    result.assert_outcomes(passed=3 if before else 2)


def test_a_transaction_of_a_test_without_pg_is_ended_with_a_warning(project):
    """It is ended before the next test that requests `pg`."""
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


LATE = """
@pytest.fixture
def late(pg_database):
    yield
    write(pg_database)

@pytest.fixture
def later(late):
    yield

def test_write(late, pg):
    pass

def test_next(pg):
    assert count(pg) == 0

def test_write_through_another(later, pg):
    pass

def test_last(pg):
    assert count(pg) == 0
"""


def test_teardown_of_a_fixture_that_writes_after_the_reset(project):
    """A fixture that was set up before `pg` writes in its teardown; the next test is clean."""
    project(LATE).assert_outcomes(passed=4)
