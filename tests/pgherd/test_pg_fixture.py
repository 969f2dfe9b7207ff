"""The fixtures `pg` and `pg_factory`: every test gets a pristine database."""

from __future__ import annotations

import pytest

from tests.pgherd.support import suites
from tests.pgherd.support.runs import clones, databases
from tests.pgherd.support.suites import HELPERS

pytestmark = pytest.mark.slow

suite, project = suites.suite, suites.project


def test_a_changed_schema_is_restored(project):
    """Each test finds the table that the test before it dropped."""
    project.makepyfile(
        HELPERS
        + """
@pytest.mark.parametrize("number", range(2))
def test_drop(pg, number):
    assert count(pg) == 0
    execute(pg, "DROP TABLE thing")
"""
    )
    project.runpytest_subprocess("-n0").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "change", ["write(pg_database)", "execute(pg_database, 'DROP TABLE thing')"]
)
def test_pg_is_pristine_after_a_test_that_did_not_request_it(project, change):
    """A test that changes `pg_database` alone leaves its change to no test that requests `pg`."""
    project.makepyfile(
        HELPERS
        + f"""
def test_without_pg(pg_database):
    {change}

def test_with_pg(pg):
    assert count(pg) == 0
"""
    )
    project.runpytest_subprocess("-n0").assert_outcomes(passed=2)


ISOLATED = """
@pytest.fixture(scope="session")
def kept(pg_database):
    return []

@pytest.fixture(scope="session")
def pg_disconnect(kept):
    def disconnect():
        while kept:
            kept.pop().close()
    return disconnect

@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("number", range(5))
def test_isolated(pg, kept, number):
    assert count(pg) == 0
    write(pg)
    kept.append(pg.connect())
    kept[0].cursor().execute("SET application_name TO kept")
    kept[0].commit()
    execute(pg, "CREATE TABLE other (id int)")
    record(pg)
"""


def test_isolation_clone_replaces_the_database_after_each_test(project, server):
    """The new clone has the URL of the old one, and no clone is left after the run."""
    project.makepyfile(HELPERS + ISOLATED)
    project.runpytest_subprocess("-n2", "--log-level=INFO").assert_outcomes(passed=5)
    names = clones(project)
    assert len(names) <= 2
    left = databases(server)
    assert not {name for name in left if any(name.startswith(clone) for clone in names)}


def test_the_factory_returns_a_further_database_for_each_call(project, server):
    """Each of them is pristine, and all are dropped by the end of the run."""
    project.makepyfile(
        HELPERS
        + """
@pytest.mark.parametrize("number", range(2))
def test_three(pg, pg_factory, number):
    three = [pg, pg_factory(), pg_factory()]
    assert len({database.name for database in three}) == 3
    for database in three:
        assert count(database) == 0
        write(database)
        record(database)
"""
    )
    project.runpytest_subprocess("-n0").assert_outcomes(passed=2)
    assert len(clones(project)) == 5
    assert not clones(project) & databases(server)
