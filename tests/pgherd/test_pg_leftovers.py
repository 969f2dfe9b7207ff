"""What a test leaves in its database: pgherd ends it and warns the test that left it."""

from __future__ import annotations

import pytest

from tests.pgherd.support import suites
from tests.pgherd.support.suites import HELPERS

pytestmark = pytest.mark.slow

suite, project = suites.suite, suites.project


def test_an_open_transaction_is_ended_with_a_warning(project):
    """It would block the reset, so pgherd ends its connection; the warning has its statement."""
    project.makepyfile(
        HELPERS
        + """
left = []

def test_leave(pg):
    left.append(pg.connect())
    left[0].cursor().execute("INSERT INTO thing VALUES (7)")

def test_after(pg):
    assert count(pg) == 0
"""
    )
    result = project.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*test_leave*", "*left a connection*INSERT INTO thing VALUES (7)"])


def test_only_the_test_that_left_a_transaction_is_warned(project):
    """The next test, whose database pgherd replaces, gets no warning."""
    project.makepyfile(
        """
        import pytest

        left = []

        def test_leave(pg):
            left.append(pg.connect())
            left[0].cursor().execute("SELECT 1")

        @pytest.mark.pg(isolation="clone")
        def test_isolated(pg):
            pass
        """
    )
    result = project.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=2, warnings=1)


KEEPS = """
import pytest

kept = []

{disconnect}

def test_keeps_nothing(pg):
    pass

@pytest.mark.parametrize("number", range(3))
def test_keep(pg, number):
    pg.connect().close()
    kept.append(pg.connect())
    kept[-1].autocommit = True
    kept[-1].cursor().execute("CREATE TABLE made ()")
"""
DISCONNECT = """
@pytest.fixture(scope="session")
def pg_disconnect():
    return lambda: kept.pop().close()
"""


@pytest.mark.parametrize(("disconnect", "warnings"), [("", 3), (DISCONNECT, 0)])
def test_ended_connections_are_reported(project, disconnect, warnings):
    """When pgherd replaces a clone, it warns of the open connections that `pg_disconnect` missed.

    Without the warning, a later test that gets a dead connection from a pool would fail without an
    explanation.
    """
    project.makepyfile(KEEPS.replace("{disconnect}", disconnect))
    result = project.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=4, warnings=warnings)
    if warnings:
        result.stdout.fnmatch_lines(["*were still open: 1.*Override the fixture pg_disconnect*"])


def test_a_prepared_transaction_is_rolled_back_with_a_warning(project):
    """PostgreSQL renames no database that has one, so pgherd rolls it back to replace the clone."""
    project.makepyfile(
        """
import pytest

@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("number", range(2))
def test_leave(pg, number):
    connection = pg.connect()
    connection.cursor().execute("INSERT INTO thing VALUES (7)")
    connection.cursor().execute(f"PREPARE TRANSACTION 'of {pg.name}'")
    connection.close()
"""
    )
    result = project.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=2, warnings=2)
    result.stdout.fnmatch_lines(["*left the prepared transaction 'of pgherd_*"])
